"""The whole configuration, composed of the sections that the packages declare."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from components.base.errors import ConfigError
from components.base.values import Value
from components.data import features, storage
from components.evaluation.settings import Evaluation
from components.exports.settings import ExportSettings
from components.gates.settings import Balance, DataGateLimits, Serving
from components.ingest import exclusion
from components.ingest.settings import Data, Exclusion, Labels, NearLimits, Pool, Source
from components.labels import kinds
from components.labels.kind import LabelKind
from components.model.comparing.settings import ComparisonSettings, Plan
from components.model.features.settings import FeatureSettings
from components.model.settings import BUILT_IN, DecisionSettings, TrainerSettings, Training
from components.model.synthesis.settings import SynthesisSettings
from components.model.tuning.settings import TunerSettings, Tuning
from components.model.tuning.space import BY_DEFAULT
from components.notify.settings import Recipient
from components.push.settings import Push
from components.push.signing import trust
from components.push.signing.trust import Trust
from components.sinks.settings import Sinks
from pipeline.config import checks, places
from pipeline.config.kubeflow import Kubeflow
from pipeline.config.output import Output

if TYPE_CHECKING:
    Task = str
else:  # a new label kind adds its name without a change here
    Task = Literal[tuple(kinds.KINDS)]


class Config(Value):
    """The name of the pipeline, its task, and the sections of the configuration.

    Attributes:
        folder: absolute folder of the configuration file, where relative paths start.
        file: absolute path of the configuration file, or "".
    """

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="Name of the pipeline: letters, digits, `.`, `_` and `-`, beginning with a letter or a digit.",
    )
    task: Task = Field(
        description="`single_label`: each image has exactly one label. `multi_label`: each image has any number of "
        "labels. `segmentation`: each pixel has one label."
    )
    output: Output = Field(default_factory=Output)
    data: Data
    labels: Labels = Field(default_factory=Labels)
    balance: Balance = Field(default_factory=Balance)
    training: Training = Field(default_factory=Training)
    tuning: Tuning | None = None
    decisions: DecisionSettings = Field(default_factory=DecisionSettings)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    serving: Serving = Field(default_factory=Serving)
    push: Push
    notify: tuple[Recipient, ...] = Field(
        (),
        description="Who is told how a run ended, see [an entry](#an-entry-of-notify) and [notifications](notify.md).",
    )
    sinks: Sinks = Field(default_factory=Sinks)
    kubeflow: Kubeflow = Field(default_factory=Kubeflow)
    beam: tuple[str, ...] = Field(
        (),
        description="Options of a Beam runner, such as `--runner=FlinkRunner`; none of them is overridden. "
        "`imagegate check` names those that Beam does not know or cannot read, and what the runner still needs; "
        "nothing is downloaded that no option names. Without `--runner`, Beam runs in the process of `imagegate run`, "
        "on this machine.",
    )
    folder: str = Field(exclude=True)
    file: str = Field("", exclude=True)

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        checks.check(self)
        return self

    @property
    def data_root(self) -> str:
        """`data.root`, absolute."""
        return self._absolute(self.data.root)

    @property
    def output_folder(self) -> str:
        """`output.folder`, absolute."""
        return self._absolute(self.output.folder or f"runs/{self.name}")

    @property
    def artifacts(self) -> str:
        """`output.artifacts`, or "" if stages write to this machine alone."""
        return (self.output.artifacts or "").rstrip("/")

    @property
    def destination(self) -> str:
        """`push.destination`, absolute."""
        return self._absolute(self.push.destination)

    @property
    def schema_path(self) -> str | None:
        """`data.schema_file`, absolute."""
        return None if self.data.schema_file is None else self._absolute(self.data.schema_file)

    @property
    def exclude_path(self) -> str | None:
        """`data.exclude`, absolute; None if it is no file."""
        return self._absolute(self.data.exclude) if isinstance(self.data.exclude, str) else None

    @property
    def exclusions(self) -> tuple[Exclusion, ...]:
        """The rows of `data.exclude`.

        Raises:
            ConfigError: the file cannot be read, or is no such table.
        """
        told, path = self.data.exclude, self.exclude_path
        if path is None:
            return () if told is None or isinstance(told, str) else told
        try:
            with open(path, "rb") as f:
                return exclusion.parse(f.read(), path)
        except OSError as error:
            hint = "; `imagegate check CONFIG -o issues.csv` writes such a file"
            raise ConfigError(f"data.exclude: {path}: {error.strerror}{hint}") from None

    @property
    def kind(self) -> LabelKind:
        """The label kind of the task."""
        return kinds.kind(self.task)

    @property
    def label_weights(self) -> str | dict[str, float]:
        """How the labels are weighted in the loss."""
        return self.training.weighting(self.kind)

    @property
    def detects(self) -> bool:
        """Whether one label is enough: familiarity in a pretrained backbone's features needs no classifier."""
        return self.kind.one_per_image and self.training.pretrained

    @property
    def unlabelled_root(self) -> str | None:
        """`data.unlabelled`, absolute."""
        return None if self.data.unlabelled is None else self._absolute(self.data.unlabelled)

    @property
    def out_of_distribution_root(self) -> str | None:
        """`evaluation.out_of_distribution`, absolute."""
        return (
            None if self.evaluation.out_of_distribution is None else self._absolute(self.evaluation.out_of_distribution)
        )

    @property
    def backbone(self) -> str:
        """`training.backbone`; a path is absolute."""
        return self._network(self.training.backbone)

    @property
    def module_path(self) -> str | None:
        """`training.module`, absolute."""
        return None if self.training.module is None else self._absolute(self.training.module)

    @property
    def backbone_files(self) -> tuple[tuple[str, str], ...]:
        """The files that a network is built from: the key, and the absolute path."""
        files = [("training.backbone", path) for path in self.backbones if path.endswith(".keras")]
        return (*files, *([("training.module", self.module_path)] if self.module_path else []))

    @property
    def backbones(self) -> tuple[str, ...]:
        """The backbone, and those that a search tries; paths are absolute."""
        others = (self._network(str(name)) for name in self._tried("backbone"))
        return tuple(dict.fromkeys((self.backbone, *others)))

    @property
    def imagenet(self) -> tuple[str, ...]:
        """The networks of `keras.applications` whose ImageNet weights a training takes, or one of a search."""
        taken = "imagenet" in (self.training.weights, *self._tried("weights"))
        return tuple(name for name in self.backbones if taken and name not in BUILT_IN and not name.endswith(".keras"))

    @property
    def tuned_path(self) -> str | None:
        """`training.tuned`, absolute."""
        return None if self.training.tuned is None else self._absolute(self.training.tuned)

    @property
    def searches(self) -> bool:
        """Whether every run searches for better settings before it trains."""
        return self.tuning is not None and self.training.tuned is None

    @property
    def tunes(self) -> tuple[str, ...]:
        """The keys of `training` that a search of the section `tuning` tries values of."""
        return tuple((self.tuning or Tuning()).over or BY_DEFAULT)

    @property
    def columns(self) -> dict[str, str]:
        """Column by which the evaluation can be sliced -> the feature with its values."""
        own = {c: features.SLICE + c for c in self.data.columns.slices}
        return {c: f for c, f in features.SLICES.items() if c != "label" or not self.kind.per_pixel} | own

    @property
    def slices(self) -> tuple[tuple[str, ...], ...]:
        """The configured combinations of columns, and those that only a threshold names."""
        default = () if self.kind.per_pixel else ("label",)
        configured = default if self.evaluation.slices is None else self.evaluation.slices
        crosses = [(s,) if isinstance(s, str) else s for s in configured]
        crosses += [tuple(t.columns) for t in self.evaluation.thresholds if t.columns]
        return tuple(sorted({tuple(sorted(c)) for c in crosses}))

    @property
    def source(self) -> Source:
        """The settings of ingest. Those of later stages are constant, so that they do not change its cache key."""
        data = {"root": self.data_root} | dict.fromkeys(("max_bad_fraction", "schema_file", "exclude", "unlabelled"))
        labels = {"positive": None, "count_ignored": False}
        distance, free = self.balance.near_duplicate_distance, self.balance.allow_duplicates_across_splits
        share = self.balance.max_near_duplicates
        near = None if distance is None or free else NearLimits(distance=distance, max_share=share)
        return Source(
            near=near,
            exclude=tuple(row for row in self.exclusions if row.decision != "keep"),
            exclusive=self.kind.exclusive,
            per_pixel=self.kind.per_pixel,
            data=self.data.model_copy(update=data),
            labels=self.labels.model_copy(update=labels),
            skipped=places.skipped(self),
            pool=places.pool(self),
        )

    @property
    def pool(self) -> Pool | None:
        """The settings with which training reads images without labels; None if there are none, or it uses none."""
        return None if self.training.unlabelled == "none" else self.unlabelled_images

    @property
    def unlabelled_images(self) -> Pool | None:
        """The settings with which images without labels are read; None if there are none."""
        if self.unlabelled_root is None:
            return None
        return Pool(
            root=self.unlabelled_root,
            max_pixels=self.data.max_pixels,
            bits=self.data.bits,
            distance=self.balance.near_duplicate_distance,
            max_bad_fraction=self.data.max_bad_fraction,
            skipped=(*places.skipped(self, self.unlabelled_root), *places.masks(self, self.unlabelled_root)),
        )

    @property
    def data_gate_limits(self) -> DataGateLimits:
        """The limits of the data gate, for `imagegate check` and for the run."""
        # Images without labels that are learnt from are no fault; those in a table are among them.
        left = {"max_cooccurrence": self.kind.exclusive, "max_unlabelled": self.pool is not None}
        limits = self.balance.model_copy(update={key: None for key, off in left.items() if off})
        return DataGateLimits(
            **dict(limits),
            max_bad_fraction=self.data.max_bad_fraction,
            contradictions=self.kind.one_per_image,
            min_labels=self.kind.fewest_labels(pretrained=self.training.pretrained),
            kept=tuple(row for row in self.exclusions if row.decision == "keep"),
        )

    def trainer_settings(self, code_fingerprint: str) -> TrainerSettings:
        """Returns the settings of the Trainer."""
        return TrainerSettings(
            **dict(self.training)
            | {
                "backbone": self.backbone,
                "module": self.module_path,
                "task": self.task,
                "positive": self.labels.positive,
                "bits": self.data.bits,
                "bands": self.data.arrays,
                **self._of_arrays,
                "decisions": self.decisions,
                "checkpoints": os.path.join(self.output_folder, "checkpoints"),
                "features": os.path.join(self.output_folder, "features"),
                "code_fingerprint": code_fingerprint,
                "tuned": None,  # its values are in the section already
            }
        )

    def feature_settings(self, code_fingerprint: str = "") -> FeatureSettings | None:
        """Returns the backbone whose features the data gate looks at; None if there are none."""
        return FeatureSettings.of(self.trainer_settings(code_fingerprint))

    @property
    def _of_arrays(self) -> dict[str, Any]:
        """Keys of `training` that arrays decide: rows of a table without a label are not learnt from."""
        return {} if self.data.arrays is None else {"unlabelled": "none"}

    def tuner_settings(self, code_fingerprint: str) -> TunerSettings:
        """Returns the settings of the Tuner."""
        whole = self.trainer_settings(code_fingerprint)
        training = self.training.model_dump(mode="json", exclude_unset=True, exclude={"tuned"})
        tuning = self.tuning or Tuning()
        networks = tuning.over.get("backbone")
        if isinstance(networks, tuple):
            over = {**tuning.over, "backbone": tuple(self._network(str(name)) for name in networks)}
            tuning = tuning.model_copy(update={"over": over})
        return TunerSettings(
            tuning=tuning,
            training={**training, "backbone": self.backbone, "module": self.module_path, **self._of_arrays},
            trainer=whole.model_dump(mode="json", exclude={*Training.model_fields, "checkpoints"}),
            checkpoints=os.path.join(self.output_folder, "tuning"),
        )

    def synthesis_settings(self, code_fingerprint: str) -> SynthesisSettings:
        """Returns the settings of the stage that makes images of rare labels, which the configuration wants."""
        told = self.training
        assert told.synthetic is not None
        return SynthesisSettings(
            task=self.task,
            synthetic=told.synthetic,
            image_size=told.image_size,
            seed=told.seed,
            code_fingerprint=code_fingerprint,
        )

    def export_settings(self, code_fingerprint: str) -> ExportSettings:
        """Returns the settings of the stage that exports the model to further formats."""
        return ExportSettings(
            name=self.name,
            task=self.task,
            bits=self.data.bits,
            formats=self.push.exports,
            max_drop=self.push.max_export_drop,
            min_agreement=self.push.min_export_agreement,
            thresholds=self.evaluation.thresholds,
            code_fingerprint=code_fingerprint,
        )

    def comparison_settings(self, code_fingerprint: str, plan: Plan) -> ComparisonSettings:
        """Returns the settings of a comparison of methods."""
        told = self.tuner_settings(code_fingerprint)
        place = os.path.join(self.output_folder, "comparisons")
        return ComparisonSettings(plan=plan, training=told.training, trainer=told.trainer, checkpoints=place)

    @property
    def absolute_evaluation(self) -> Evaluation:
        """The section `evaluation` with `slices` as evaluated and an absolute path."""
        return self.evaluation.model_copy(
            update={"slices": self.slices, "out_of_distribution": self.out_of_distribution_root}
        )

    @property
    def absolute_push(self) -> Push:
        """The section `push` with absolute paths."""
        told: dict[str, Any] = {"destination": self.destination}
        if self.push.sign is not None and self.push.sign.key is not None:
            told["sign"] = self.push.sign.model_copy(update={"key": self._absolute(self.push.sign.key)})
        if self.push.verify is not None:
            keys = tuple(map(self._absolute, self.push.verify.keys))
            told["verify"] = self.push.verify.model_copy(update={"keys": keys})
        return self.push.model_copy(update=told)

    def trust(self) -> Trust:
        """Whose signatures versions in the push destination need to be read.

        Raises:
            ConfigError: a public key cannot be read.
        """
        return trust.reader(self.absolute_push.verify)

    def trust_to_write(self) -> Trust:
        """The same, with the private key that signs new versions.

        Raises:
            ConfigError: a key cannot be read.
        """
        return trust.writer(self.absolute_push)

    def plain(self) -> dict[str, Any]:
        """Returns the keys and values of the file and the command line, without defaults, as JSON."""
        return self.model_dump(mode="json", exclude_unset=True)

    def portable(self) -> dict[str, Any]:
        """Returns `plain` for another machine: without what concerns this one, with the rows of `data.exclude`."""
        raw = self.model_dump(mode="json", exclude_unset=True, exclude={"kubeflow", "notify", "sinks"})
        if self.data.exclude is not None:
            raw["data"]["exclude"] = [dict(one) for one in self.exclusions]
        return raw

    def published(self) -> dict[str, Any]:
        """Returns `portable` for all who get the model: without where and how it ran.

        Of the rows of `data.exclude`, which name files, only the SHA-256 of their JSON is left.
        """
        raw = {key: value for key, value in self.portable().items() if key not in ("beam", "output")}
        if self.data.exclude is not None:
            rows = json.dumps(raw["data"]["exclude"], sort_keys=True).encode()
            raw["data"]["exclude"] = {"sha256": hashlib.sha256(rows).hexdigest()}
        return raw

    def fingerprint(self) -> str:
        """Returns the SHA-256 of all settings that change a result."""
        without: dict[str, Any] = {"kubeflow": True, "notify": True, "sinks": True, "output": {"keep"}}
        told = self.model_dump_json(exclude=without)
        return hashlib.sha256(told.encode()).hexdigest()

    def _tried(self, key: str) -> tuple[object, ...]:
        """The values of a key of `training` that a search tries besides the configured one."""
        tried = self.tuning.over.get(key) if self.tuning is not None and self.searches else None
        return tried if isinstance(tried, tuple) else ()

    def _network(self, name: str) -> str:
        return self._absolute(name) if name.endswith(".keras") else name

    def _absolute(self, path: str) -> str:
        return path if storage.is_url(path) else os.path.normpath(os.path.join(self.folder, os.path.expanduser(path)))
