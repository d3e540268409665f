"""The section `push` of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.base.values import Flag, Fraction, Value
from components.data.location import Location

SAVED_MODEL: Literal["saved_model"] = "saved_model"
ExportFormat = Literal["litert", "litert-int8", "onnx", "onnx-int8", "openvino", "openvino-int8"]


class Push(Value):
    """The destination of models that pass the model gate; see [pushing](push.md)."""

    destination: Location = Field(
        description="Folder or fsspec URL for pushed models. Each version is a numbered folder in it. TensorFlow "
        "Serving watches a folder; for a URL, see [getting versions to a server](push.md#getting-versions-to-a-server)."
    )
    # `as` is a keyword of Python, so the field cannot be written down like the others.
    __annotations__["as"] = Literal["champion", "challenger"]
    locals()["as"] = Field(
        "champion",
        description="`champion`: the model is served once it is pushed. `challenger`: it stands beside the served "
        "version until `imagegate promote`; see [pushing](push.md#champion-and-challenger).",
    )
    keep: Annotated[int, Field(ge=1, strict=True)] | None = Field(
        5,
        description="After a push, the newest versions that imagegate pushed are kept, this many, and older ones are "
        "deleted. `null` keeps all.",
    )
    take_over: Flag = Field(
        False,
        description="Whether to push to a destination, or roll back in it, although the model served there was pushed "
        "by a configuration of another `name`.",
    )
    without_thresholds: Flag = Field(
        False,
        description="Whether to push a model although `evaluation.thresholds` is empty, so that no metric is judged.",
    )
    formats: tuple[Literal["saved_model"] | ExportFormat, ...] = Field(
        (SAVED_MODEL,),
        description="What a version holds besides the SavedModel, which is always there: the model in the formats of "
        "other runtimes, as float32 or as 8-bit integers (`-int8`). Each is run by its runtime and judged; see "
        "[exports](exports.md). One that fails is not pushed.",
    )
    required_formats: tuple[ExportFormat, ...] = Field(
        (), description="Those of `formats` without which the model is not pushed at all."
    )
    max_export_drop: Fraction = Field(
        0.05,
        description="The main metric of each label (F1, or IoU of masks) on the test split may be lower by at most "
        "this much in an export than in the SavedModel.",
    )
    min_export_agreement: Fraction = Field(
        0.9,
        description="Share of the decisions on the test split (of images, of labels of images, or of pixels) that must "
        "be the same in an export as in the SavedModel.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Push:
        if SAVED_MODEL not in self.formats:
            raise ValueError(
                f"formats: {SAVED_MODEL} is missing, which every version holds; write [{SAVED_MODEL}, "
                f"{', '.join(self.formats) or 'litert'}]"
            )
        for key in ("formats", "required_formats"):
            names = getattr(self, key)
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise ValueError(f"{key}: {twice} is named twice; remove one")
        if left := next((name for name in self.required_formats if name not in self.formats), None):
            raise ValueError(f"required_formats: {left} is not exported; add it to push.formats, or remove it here")
        return self

    @property
    def exports(self) -> tuple[str, ...]:
        """The formats besides the SavedModel."""
        return tuple(name for name in self.formats if name != SAVED_MODEL)

    @property
    def challenges(self) -> bool:
        """Whether models are pushed to stand beside the served version."""
        return bool(vars(self)["as"] == "challenger")
