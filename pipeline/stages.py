"""The table of stages. Everything that the pipeline knows of a stage by its name stands here, and nowhere else.

A stage is a module in `components.stages`, a function in `pipeline.nodes`, a line in `pipeline.graph` and a row here.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class Source(enum.Enum):
    """Where a stage reads beside its inputs. On Kubeflow its pod then needs the volumes and secrets."""

    DATA = enum.auto()
    DESTINATION = enum.auto()  # of pushed models
    BACKBONE = enum.auto()  # where it is a file
    OUT_OF_DISTRIBUTION = enum.auto()  # images of none of the labels


class View(enum.StrEnum):
    """Outputs that Kubeflow's user interface draws; see `kubeflow.views`."""

    METRICS = "metrics"
    CONFUSION = "confusion_matrix"
    PAGE = "page"


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    Args:
        name: the class in `components.stages` or TFX, and what users read and write.
        refusal: the exit code of a run that this gate refused; None: no gate.
        reads: what it reads beside its inputs.
        cached: whether the results of an earlier run with the same inputs, settings and code may be taken.
        retried: whether Kubeflow tries it again where it broke. A refusal stays one however often it is repeated.
        optional: whether the run goes on where it broke.
        trains: whether it uses the GPU, and the nodes and memory that the section `kubeflow` chooses.
        in_graph: False for the tasks before and after the graph, which only Kubeflow has.
        cpu: cores that its pod requests.
        memory: what its pod requests; None: `kubeflow.memory`. It does not grow with the data, but with the model.
        views: outputs for Kubeflow's user interface.
        settings: a parameter of the compiled pipeline -> the stage's parameter, which is JSON, and the keys in it.
    """

    name: str
    refusal: int | None = None
    reads: frozenset[Source] = frozenset()
    cached: bool = True
    retried: bool = True
    optional: bool = False
    trains: bool = False
    in_graph: bool = True
    cpu: str = "1"
    memory: str | None = "2Gi"
    views: tuple[View, ...] = ()
    settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.refusal is not None and self.retried:
            raise ValueError(f"{self.name}: a gate is not tried again")


# In the order that they run in. The names of the constants are for code that needs one certain stage.
STAGES = (
    # Looks at the data, the destination and the files when a run begins; the cache keys of the others follow.
    PREFLIGHT := Stage(
        "Preflight", reads=frozenset({Source.DATA, Source.DESTINATION}), cached=False, retried=False, in_graph=False
    ),
    INGEST := Stage(
        "ImageExampleGen",
        refusal=3,
        reads=frozenset({Source.DATA}),
        retried=False,
        cpu="2",
        memory="4Gi",
        settings={"data_root": ("source", "data", "root")},
    ),
    SCHEMA := Stage("CuratedSchema"),
    STATISTICS := Stage("StatisticsGen", cpu="2", memory="4Gi"),
    VALIDATOR := Stage("ExampleValidator"),
    DATA_GATE := Stage("ClassBalance", refusal=3, reads=frozenset({Source.DESTINATION}), retried=False),
    TRANSFORM := Stage("Transform", cpu="2", memory="4Gi"),
    TRAINER := Stage(
        "Trainer",
        reads=frozenset({Source.BACKBONE}),
        trains=True,
        cpu="4",
        memory=None,
        settings={"epochs": ("custom_config", "epochs")},
    ),
    BASELINE := Stage("Baseline", reads=frozenset({Source.DESTINATION}), memory="4Gi"),
    EVALUATOR := Stage(
        "Evaluator",
        reads=frozenset({Source.OUT_OF_DISTRIBUTION}),
        cpu="2",
        memory="8Gi",
        views=(View.METRICS, View.CONFUSION),
    ),
    SERVING_CHECK := Stage("ServingCheck", cpu="2", memory="4Gi"),
    # Its result is in the destination, where others push, roll back and delete: it looks for itself.
    PUSHER := Stage("Pusher", reads=frozenset({Source.DESTINATION}), cached=False),
    REPORT := Stage("ModelReport", optional=True, views=(View.PAGE,)),  # the model is pushed or refused by then
    # Refuses where the model gate did, once every artifact is kept.
    MODEL_GATE := Stage("ModelGate", refusal=4, cached=False, retried=False, in_graph=False),
)

BY_NAME = {stage.name: stage for stage in STAGES}
