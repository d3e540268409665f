"""What became of each format that a model is exported to, as the stage ModelExport writes it."""

from __future__ import annotations

from pydantic import Field

from components.base.text import number
from components.base.values import ForeignText, Sparse
from components.base.verdict import Verdict
from components.gates.judge import failed
from components.gates.records import Latency


class Export(Sparse):
    """The model in one format; what was not measured, because the file could not be made or run, is missing."""

    format: str = Field(description='as in `push.formats`, such as "litert-int8"')
    files: tuple[str, ...] = Field((), description="paths in the folder of a version, if it passed")
    digests: dict[str, str] = Field({}, description="path -> SHA-256 of each of these files, as it was judged")
    megabytes: float | None = Field(None, description="size of the files, in 10^6 bytes")
    latency_ms: Latency | None = Field(None, description="latency of one decoded image")
    agreement: float | None = Field(
        None,
        description="share of the decisions on the test split that are those of the SavedModel: of images, of labels "
        "of images, or of pixels",
    )
    largest_difference: float | None = Field(None, description="of a probability from that of the SavedModel")
    mean_difference: float | None = Field(None, description="likewise the mean, without the sign")
    metrics: dict[str, float | None] = Field({}, description="of the test split; null: not a number")
    changes: dict[str, float | None] = Field(
        {}, description="label -> its main metric, minus that of the SavedModel; null: not a number"
    )
    verdicts: tuple[Verdict, ...] = Field((), description="of the thresholds, the drop per label, and the agreement")
    problem: ForeignText = Field("", description="why the file could not be made or run, or empty")

    @property
    def passed(self) -> bool:
        """Whether it may be pushed."""
        return not self.problem and not failed(self.verdicts)

    def sentence(self) -> str:
        """What became of it, in a sentence.

        >>> Export(format="litert", megabytes=13.5, agreement=1, largest_difference=2e-7).sentence()
        'litert: 13.5 MB, 100.00 % of the decisions are those of the SavedModel, probabilities differ by at most 2e-07'
        >>> Export(format="onnx", problem="it cannot be converted: no Foo").sentence()
        'onnx is not pushed: it cannot be converted: no Foo'
        """
        if self.problem:
            return f"{self.format} is not pushed: {self.problem}"
        if lost := failed(self.verdicts):
            more = len(lost) - 1
            also = f" (and {more} more rule{'' if more == 1 else 's'} failed)" if more else ""
            return f"{self.format} is not pushed: {lost[0].reason}{also}"
        told = [f"{self.format}: {number(self.megabytes, 3)} MB"]
        if self.latency_ms:
            told.append(f"{self.latency_ms.median:.1f} ms for one image")
        if self.agreement is not None:
            told.append(f"{100 * self.agreement:.2f} % of the decisions are those of the SavedModel")
        if self.largest_difference is not None:
            told.append(f"probabilities differ by at most {number(self.largest_difference, 2)}")
        return ", ".join(told)


class ExportResult(Sparse):
    """Every format of a run; empty if a gate had refused the model."""

    exports: tuple[Export, ...] = ()

    def refusals(self, required: tuple[str, ...]) -> list[str]:
        """A sentence for each required format that did not pass."""
        return [one.sentence() for one in self.exports if one.format in required and not one.passed]
