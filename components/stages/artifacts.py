"""Artifact types of imagegate's own. Kubeflow finds them by import path and type name."""

from tfx.types import artifact


class ClassBalance(artifact.Artifact):
    """`class_balance.json`: the manifest's counts, the label weights and the data gate's verdicts."""

    TYPE_NAME = "ClassBalance"
