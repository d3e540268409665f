"""Artifact types of imagegate. `TYPE_NAME` has the form that Kubeflow requires; the class has the same last name."""

from tfx.types import artifact


class ClassBalance(artifact.Artifact):
    """`class_balance.json`: counts, label weights and verdicts of the data gate; see `gates.records.DataGateResult`.

    `images.npy`, and the counts, go into the folder of a pushed model; see `gates.reference.remember`.
    """

    TYPE_NAME = "imagegate.ClassBalance"


class MethodComparison(artifact.Artifact):
    """`methods.json`: what the methods that were compared came to; see `model.comparing.record`."""

    TYPE_NAME = "imagegate.MethodComparison"


class SyntheticImages(artifact.Artifact):
    """Images that were made for rare labels, with a record and a picture of them; see `model.synthesis`."""

    TYPE_NAME = "imagegate.SyntheticImages"


class ServingCheck(artifact.Artifact):
    """`serving.json`: latency, throughput and size of the exported model, and the verdicts on them."""

    TYPE_NAME = "imagegate.ServingCheck"


class Exports(artifact.Artifact):
    """`exports.json` and the files of the formats that passed; see `exports.records`."""

    TYPE_NAME = "imagegate.Exports"


class Report(artifact.Artifact):
    """`report.html`, and `evidence.json`, the examples that it shows; see `report.evidence`."""

    TYPE_NAME = "imagegate.Report"
