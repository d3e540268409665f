"""The recognisers in the order in which their proposals are preferred."""

from __future__ import annotations

from pipeline.init.recognise import coco, cvat, folders, label_studio, labelme, masks, tables, voc, yolo
from pipeline.init.recognise.sight import Recogniser

# The first proposal of the first recogniser that has one is taken; all others are named to the user. Formats that are
# known by the content of their files come before layouts that are known by names of files and folders.
RECOGNISERS: tuple[Recogniser, ...] = (
    coco.recognise,
    yolo.recognise,
    label_studio.recognise,
    cvat.recognise,
    voc.recognise,
    labelme.recognise,
    tables.recognise,
    masks.recognise,
    folders.recognise,
)
