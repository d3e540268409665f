"""The section `evaluation` of the configuration."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from components.base.values import Fraction, Value
from components.data.location import Location
from components.gates.settings import Threshold


class StandardMetric(Value):
    """One of TFMA's own metrics: the name of a class in `tfma.metrics`, and the arguments of its constructor."""

    class_name: str
    config: dict[str, Any] = Field(default_factory=dict)


class Evaluation(Value):
    """The evaluation of the model on the test split, and the rules of [the model gate](model-gate.md)."""

    out_of_distribution: Location | None = Field(
        None,
        description="Folder or fsspec URL of images that belong to none of the labels. It adds two metrics that "
        "measure "
        "how well the model recognises such images: `out_of_distribution_auroc` and `out_of_distribution_abstained`.",
    )
    slices: tuple[str | tuple[str, ...], ...] | None = Field(
        None,
        description="Columns by whose values the metrics are also computed: `label` (not for masks), `format` (the "
        "image's file format), and those of `data.columns.slices`. A list of several columns stands for each "
        "combination of their values. Default: `[label]`, for masks `[]`.",
    )
    thresholds: tuple[Threshold, ...] = Field(
        (),
        description="A model is pushed only if all these rules hold on the test split; see [an "
        "entry](#an-entry-of-evaluationthresholds).",
    )
    max_disagreement: Fraction | None = Field(
        None,
        description="`imagegate replay` ends with exit code 4 if the served model and the challenger answer a larger "
        "share of the images differently, of masks a larger share of the pixels, on average over the images. With "
        "`null`, it only reports the share.",
    )
    tfma_metrics: tuple[StandardMetric, ...] = Field(
        (),
        description="Further metrics that TFMA computes: names of classes in `tfma.metrics`, or `{class_name: …, "
        "config: {…}}`. Not for masks. See [the model gate](model-gate.md#tfmas-own-metrics).",
    )

    @field_validator("tfma_metrics", mode="before")
    @classmethod
    def _names(cls, given: Any) -> Any:
        return (
            [{"class_name": metric} if isinstance(metric, str) else metric for metric in given]
            if isinstance(given, list | tuple)
            else given
        )

    @field_validator("tfma_metrics")
    @classmethod
    def _computable(cls, given: tuple[StandardMetric, ...]) -> tuple[StandardMetric, ...]:
        if given:
            from components.evaluation import tfma_standard  # TFMA takes seconds to import

            tfma_standard.specs(given)
        return given
