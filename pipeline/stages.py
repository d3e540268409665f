"""The table of stages: the only place that names a stage and says how runners treat it.

A stage is a module in `components.stages`, a function in `pipeline.nodes`, a line in `pipeline.graph` and a row here.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class Source(enum.Enum):
    """A place outside the graph that a stage reads. On Kubeflow, its pod then needs the volumes and secrets."""

    DATA = enum.auto()  # the data set
    DESTINATION = enum.auto()  # the push destination
    BACKBONE = enum.auto()  # a backbone's file
    UNLABELLED = enum.auto()  # images without labels
    OUT_OF_DISTRIBUTION = enum.auto()  # images that belong to none of the labels


class View(enum.StrEnum):
    """An output that Kubeflow's user interface displays; see `kubeflow.views`."""

    METRICS = "metrics"
    CONFUSION = "confusion_matrix"
    PAGE = "page"


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    Args:
        name: name of the class in `components.stages` or TFX, which messages and the configuration use, too.
        refusal: exit code of a run that the stage refuses; None if the stage is not a gate.
        reads: places outside the graph that it reads.
        cached: whether it may reuse the results of an earlier run with the same inputs, settings and code.
        cached_by_backend: whether Kubeflow may do so.
        retried: whether Kubeflow tries it again after a failure. Gates are not: a refusal would only repeat.
        optional: whether the run continues after it failed.
        trains: whether it uses the GPU, the nodes and the memory of the section `kubeflow`.
        in_graph: False for the tasks before and after the graph, which exist only on Kubeflow.
        in_every_graph: False for a stage that only some configurations have.
        cpu: most CPU cores that its pod may use.
        memory: most memory that its pod may use; None for `kubeflow.memory`. It grows with the model, not with the
            data.
        cpu_request: CPU cores that a node must have to spare for its pod.
        memory_request: likewise for memory.
        views: its outputs for Kubeflow's user interface.
        settings: parameter of the compiled pipeline -> parameter of the stage, which is JSON, and the keys within it.
    """

    name: str
    refusal: int | None = None
    reads: frozenset[Source] = frozenset()
    cached: bool = True
    cached_by_backend: bool = True
    retried: bool = True
    optional: bool = False
    trains: bool = False
    in_graph: bool = True
    in_every_graph: bool = True
    cpu: str = "1"
    memory: str | None = "2Gi"
    # Small, so that pods start on a node of two cores that others use, too. A pod without requests asks for its limits.
    cpu_request: str = "250m"
    memory_request: str = "1Gi"
    views: tuple[View, ...] = ()
    settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.refusal is not None and self.retried:
            raise ValueError(f"{self.name}: a gate must not be retried; set retried=False")


# In the order in which they run. The constants are for code that needs one particular stage.
STAGES = (
    # Fingerprints the data, the destination and the files when a run begins; the other stages' cache keys depend on it.
    PREFLIGHT := Stage(
        "Preflight", reads=frozenset({Source.DATA, Source.DESTINATION}), cached=False, retried=False, in_graph=False
    ),
    INGEST := Stage(
        "ImageExampleGen",
        refusal=3,
        reads=frozenset({Source.DATA, Source.DESTINATION}),
        retried=False,
        cpu="2",
        memory="4Gi",
        settings={"data_root": ("source", "data", "root")},
    ),
    # Only where the configuration names a folder of images without labels.
    UNLABELLED := Stage(
        "UnlabelledExampleGen",
        refusal=3,
        reads=frozenset({Source.UNLABELLED}),
        retried=False,
        in_every_graph=False,
        cpu="2",
        memory="4Gi",
    ),
    SCHEMA := Stage("CuratedSchema"),
    STATISTICS := Stage("StatisticsGen", cpu="2", memory="4Gi"),
    VALIDATOR := Stage("ExampleValidator"),
    # It needs more than others where a pretrained backbone is configured, whose features it looks at.
    DATA_GATE := Stage(
        "ClassBalance",
        refusal=3,
        reads=frozenset({Source.DESTINATION, Source.BACKBONE}),
        retried=False,
        cpu="2",
        memory="4Gi",
    ),
    TRANSFORM := Stage("Transform", cpu="2", memory="4Gi"),
    # Only where the configuration wants images of rare labels to be made.
    SYNTHESIS := Stage(
        "Synthesis",
        trains=True,
        in_every_graph=False,
        cpu="4",
        memory=None,
        cpu_request="1",
        memory_request="4Gi",
    ),
    # Only where the configuration has a search. The journal of its trials survives a kill on this machine.
    TUNER := Stage(
        "Tuner",
        reads=frozenset({Source.BACKBONE}),
        trains=True,
        in_every_graph=False,
        cpu="4",
        memory=None,
        cpu_request="1",
        memory_request="4Gi",
        settings={"epochs": ("custom_config", "training", "epochs")},
    ),
    # Only where methods are compared, on this machine. What its trainings came to survives a kill.
    COMPARISON := Stage(
        "Comparison",
        reads=frozenset({Source.BACKBONE}),
        trains=True,
        in_every_graph=False,
        cpu="4",
        memory=None,
        cpu_request="1",
        memory_request="4Gi",
    ),
    TRAINER := Stage(
        "Trainer",
        reads=frozenset({Source.BACKBONE}),
        trains=True,
        cpu="4",
        memory=None,
        cpu_request="1",
        memory_request="4Gi",
        settings={"epochs": ("custom_config", "epochs")},
    ),
    # Kubeflow would also reuse that the served model could not be read, after it has been repaired.
    BASELINE := Stage("Baseline", reads=frozenset({Source.DESTINATION}), cached_by_backend=False, memory="4Gi"),
    EVALUATOR := Stage(
        "Evaluator",
        reads=frozenset({Source.OUT_OF_DISTRIBUTION, Source.BACKBONE}),
        cpu="2",
        memory="8Gi",
        memory_request="2Gi",
        views=(View.METRICS, View.CONFUSION),
    ),
    SERVING_CHECK := Stage("ServingCheck", cpu="2", memory="4Gi"),
    # Only where the configuration wants the model in further formats.
    MODEL_EXPORT := Stage("ModelExport", in_every_graph=False, cpu="2", memory="8Gi", memory_request="2Gi"),
    # Not cached: its result is in the destination, where others push, roll back and delete.
    PUSHER := Stage("Pusher", reads=frozenset({Source.DESTINATION}), cached=False),
    REPORT := Stage("ModelReport", optional=True, views=(View.PAGE,)),  # by then, the model is pushed or refused
    # Ends the run with the model gate's refusal, after all artifacts are stored.
    MODEL_GATE := Stage("ModelGate", refusal=4, cached=False, retried=False, in_graph=False),
    # The only task of a schedule that waits for changes; it starts the runs.
    ON_CHANGE := Stage(
        "OnChange",
        reads=frozenset({Source.DATA, Source.DESTINATION}),
        cached=False,
        retried=False,
        in_graph=False,
        in_every_graph=False,
    ),
    # Only where people are told how a run ended, whether it succeeded or not.
    NOTIFY := Stage("Notify", cached=False, retried=False, in_graph=False, in_every_graph=False),
)

BY_NAME = {stage.name: stage for stage in STAGES}
