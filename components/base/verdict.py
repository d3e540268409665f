"""The verdict of a gate on one rule."""

from __future__ import annotations

from pydantic import Field

from components.base.values import ForeignText, Value


class Verdict(Value):
    """How one rule came out."""

    gate: str = Field(description='"data_gate", "model_gate", "serving" or "export"')
    rule: ForeignText = Field(description='as a formula: "recall >= 0.5"')
    label: ForeignText | None = Field(description="the label it is about, or null: the whole")
    slice: dict[ForeignText, ForeignText] | None = Field(description="column -> value it is about, or null: all")
    value: int | float | None = Field(description="the number that was judged; null where there was none")
    passed: bool = Field(description="a rule that passed with the value null was not judged")
    reason: ForeignText = Field(description="a sentence for people")
    bound: int | float | None = Field(
        None, description="the bound that the value broke, else the first that it held; of a drop, the lowest value"
    )
    examples: int | float | None = Field(None, description="how many examples the value rests on, or null: unknown")
    interval: tuple[float, float] | None = Field(None, description="confidence interval of the value, or null")

    @property
    def judged(self) -> bool:
        """Whether the rule was judged: one that was not neither held nor failed, and does not stop a model."""
        return not self.passed or self.value is not None
