"""Artifact types of imagegate's own. Kubeflow finds them by import path and type name."""

from tfx.types import artifact


class ClassBalance(artifact.Artifact):
    """`class_balance.json`: what ingest counted, the label weights, the data gate's verdicts.

    And, with `images.npy`, what a model that is pushed keeps of its data; see `changes.remember`.
    """

    TYPE_NAME = "ClassBalance"


class ServingCheck(artifact.Artifact):
    """`serving.json`: what serving the model costs, and the verdicts on it."""

    TYPE_NAME = "ServingCheck"


class Report(artifact.Artifact):
    """`report.html`, and `evidence.json`: what it shows beyond the numbers; see `report.evidence`."""

    TYPE_NAME = "Report"
