"""The section `evaluation` of the configuration."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from components.base.values import Value
from components.data.location import Location
from components.gates.settings import Threshold


class StandardMetric(Value):
    """One of TFMA's own metrics."""

    class_name: str
    config: dict[str, Any] = Field(default_factory=dict)


class Evaluation(Value):
    """The model gate."""

    out_of_distribution: Location | None = Field(
        None,
        description="folder or fsspec URL of images of none of the labels; how well the model tells them apart is "
        "`out_of_distribution_auroc` and `out_of_distribution_abstained`. A relative path counts from "
        "the configuration file's folder",
    )

    slices: tuple[str | tuple[str, ...], ...] | None = Field(
        None,
        description="default: [label], for masks []. Columns to evaluate by, a list for a cross of several: `label` "
        "(not for masks), `format` (the image's), and those of data.columns.slices",
    )
    thresholds: tuple[Threshold, ...] = Field(
        (),
        description="all must hold on the test split, or nothing is pushed",
    )
    tfma_metrics: tuple[StandardMetric, ...] = Field(
        (),
        description="TFMA's own metrics to compute beside these: names of classes in `tfma.metrics`, or `{class_name: "
        "…, config: {…}}`; not for masks. See [the model gate](model-gate.md#tfmas-own-metrics)",
    )

    @field_validator("tfma_metrics", mode="before")
    @classmethod
    def _names(cls, asked: Any) -> Any:
        return (
            [{"class_name": one} if isinstance(one, str) else one for one in asked]
            if isinstance(asked, list | tuple)
            else asked
        )

    @field_validator("tfma_metrics")
    @classmethod
    def _computable(cls, asked: tuple[StandardMetric, ...]) -> tuple[StandardMetric, ...]:
        if asked:
            from components.evaluation import tfma_standard  # TFMA takes seconds to import

            tfma_standard.specs(asked)
        return asked
