"""Artifact types of imagegate's own. `imagegate.NAME` is how Kubeflow wants types called; `NAME` is found here."""

from tfx.types import artifact


class ClassBalance(artifact.Artifact):
    """`class_balance.json`: what ingest counted, the label weights, the data gate's verdicts.

    And, with `images.npy`, what a model that is pushed keeps of its data; see `changes.remember`.
    """

    TYPE_NAME = "imagegate.ClassBalance"


class ServingCheck(artifact.Artifact):
    """`serving.json`: what serving the model costs, and the verdicts on it."""

    TYPE_NAME = "imagegate.ServingCheck"


class Report(artifact.Artifact):
    """`report.html`, and `evidence.json`: what it shows beyond the numbers; see `report.evidence`."""

    TYPE_NAME = "imagegate.Report"
