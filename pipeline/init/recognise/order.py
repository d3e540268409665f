"""The recognisers in the order in which their proposals are preferred."""

from __future__ import annotations

from pipeline.init.recognise import folders, masks
from pipeline.init.recognise.sight import Recogniser

# The first proposal of the first recogniser that has one is taken; all others are named to the user.
RECOGNISERS: tuple[Recogniser, ...] = (masks.recognise, folders.recognise)
