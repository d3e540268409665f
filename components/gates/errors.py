"""Errors that end a run when a gate refuses, with their exit codes."""

from __future__ import annotations

from collections.abc import Sequence

from components.base.errors import ImagegateError
from components.base.verdict import Verdict
from components.data.manifest import DatasetManifest
from components.gates.records import Suspicions
from components.ingest.counts.census import Images


class ModelRefused(ImagegateError):
    """The model gate refuses the model."""

    exit_code = 4


class DataRejected(ImagegateError):
    """The data gate refuses the data set. The message has one line for each rule that failed.

    Args:
        verdicts: verdicts of all rules.
        manifest, images: what ingest counted, if it has finished.
        suspicions: what was found beside.
    """

    exit_code = 3

    def __init__(
        self,
        verdicts: Sequence[Verdict],
        manifest: DatasetManifest | None = None,
        images: Images | None = None,
        suspicions: Suspicions | None = None,
    ) -> None:
        super().__init__("\n".join(v.reason for v in verdicts if not v.passed))
        self.verdicts = list(verdicts)
        self.manifest, self.images, self.suspicions = manifest, images, suspicions or Suspicions()
