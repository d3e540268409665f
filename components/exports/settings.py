"""Settings of the stage ModelExport."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from components.base.values import Fraction, Value
from components.gates.settings import Threshold


class ExportSettings(Value):
    """What to export, and how it is judged.

    Attributes:
        name, task, bits: as in the configuration.
        formats: names in `formats.FORMATS`.
        max_drop: `push.max_export_drop`.
        min_agreement: `push.min_export_agreement`.
        thresholds: those that the SavedModel has met.
        code_fingerprint: of the stage.
    """

    name: str
    task: str
    bits: int | None
    formats: tuple[str, ...]
    max_drop: Annotated[float, Field(ge=0)]
    min_agreement: Fraction
    thresholds: tuple[Threshold, ...]
    code_fingerprint: str
