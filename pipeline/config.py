"""One YAML file -> frozen, validated settings. Every contradiction is an error that names the key.

The field descriptions below are the reference: docs/configuration.md is made from them.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from components import features, metrics, storage
from components.errors import ConfigError

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
# As labels come out of the data, whatever the editor or file system that their names were copied from.
LabelName = Annotated[str, AfterValidator(lambda name: unicodedata.normalize("NFC", name))]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Split(_Section):
    """Shares of the splits."""

    train: Fraction = Field(0.8, description="share of the images to learn from")
    eval: Fraction = Field(0.1, description="share that decides when training stops")
    test: Fraction = Field(0.1, description="share that the model gate judges")

    @model_validator(mode="after")
    def _sums_to_one(self) -> Split:
        total = self.train + self.eval + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + eval + test must be 1, got {total:g}")
        for name, share in self:
            if share <= 0:
                raise ValueError(f"{name} must be above 0: each split has its stage")
        return self


class Data(_Section):
    """Where the images are."""

    root: str = Field(description="folder or fsspec URL; a relative path counts from the configuration file's folder")
    layout: Literal["folders"] = Field("folders", description="`folders`: one folder per label")
    split: Split = Field(
        Split.model_construct(train=0.8, eval=0.1, test=0.1),
        description="by hash of each image's content, so equal images are never in two splits. Not used where folders "
        "`train/`, `eval|val|valid|validation|dev/`, `test/` stand above the labels; of these, a missing one is cut "
        "from train",
    )
    max_bad_fraction: Fraction | None = Field(
        0.01,
        description="broken files go to quarantine with a reason; above this share the data gate refuses",
    )
    max_pixels: Positive = Field(
        100_000_000,
        description="larger images go to quarantine, judged by their header before any pixel is decoded",
    )


class Labels(_Section):
    """The labels and their order."""

    names: tuple[LabelName, ...] | None = Field(
        None,
        description="every label, in the order of the model's outputs; default: found in the data, sorted",
    )

    @field_validator("names")
    @classmethod
    def _distinct(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names is not None:
            if len(names) < 2:
                raise ValueError(f"a classifier needs two labels or more, got {len(names)}")
            twice = sorted({n for n in names if names.count(n) > 1})
            if twice:
                raise ValueError(f"{twice[0]!r} is listed twice")
        return names


class Balance(_Section):
    """The data gate; each limit can be null: off."""

    min_examples: Positive | None = Field(10, description="per label in train")
    min_eval_examples: Positive | None = Field(1, description="per label in eval and in test, each")
    max_ratio: Annotated[float, Field(ge=1)] | None = Field(
        100, description="examples of the most frequent label per example of the least frequent one"
    )
    allow_duplicates_across_splits: bool = Field(
        False, description="whether equal files may lie in two of the folders train, eval, test"
    )


class Training(_Section):
    """The model and how it learns."""

    backbone: str = Field(
        "small",
        description="`small` (a built-in CNN), a name of keras.applications such as `MobileNetV3Small`, or a path to "
        "a `.keras` file that maps RGB images in 0-255 to feature maps (no head)",
    )
    weights: Literal["imagenet"] | None = Field(
        "imagenet", description="for keras.applications; null starts from random weights"
    )
    image_size: tuple[Positive, Positive] = Field((224, 224), description="height and width in pixels")
    freeze_epochs: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="first train the head alone on the pretrained backbone's features, which are computed once; at "
        "most this many epochs. Default: 20 with a pretrained backbone, else 0",
    )
    epochs: Annotated[int, Field(ge=0)] = Field(
        20, description="then train everything, at most this many; stops early on the eval split's loss"
    )
    batch_size: Positive = Field(32, description="images per step")
    learning_rate: Annotated[float, Field(gt=0)] = Field(
        1e-3, description="of Adam; a pretrained backbone is trained at a tenth of it"
    )
    label_weights: Literal["median_frequency", "none"] | dict[LabelName, Annotated[float, Field(ge=0)]] = Field(
        "median_frequency",
        description="weight of each label in the loss: `median_frequency`, `none`, or a number per label",
    )
    augment: bool = Field(
        True, description="random flips, shifts, zooms and contrast; turn it off where left and right matter"
    )
    mixed_precision: Literal["auto"] | bool = Field("auto", description="16-bit arithmetic; auto: on a GPU that has it")
    seed: int = Field(1, description="of every random choice")

    @property
    def pretrained(self) -> bool:
        """Whether the backbone knows something before training."""
        return self.backbone != "small" and (self.backbone.endswith(".keras") or self.weights is not None)

    @model_validator(mode="after")
    def _consistent(self) -> Training:
        if self.backbone.endswith((".h5", ".hdf5", ".pkl", ".pickle")):
            raise ValueError(f"backbone: {self.backbone} may run code when loaded; save it as a .keras file")
        if self.freeze_epochs and not self.pretrained:
            raise ValueError(f"freeze_epochs: backbone {self.backbone!r} starts from random weights, nothing to freeze")
        if self.freeze_epochs is None:
            object.__setattr__(self, "freeze_epochs", 20 if self.pretrained else 0)
        if not self.epochs and not self.freeze_epochs:
            raise ValueError("epochs: 0 and no freeze_epochs leave nothing to train")
        return self


class Threshold(_Section):
    """One rule of the model gate."""

    metric: str = Field(description="a metric's name")
    label: LabelName | None = Field(None, description='a label\'s name, or "*": each label by itself')
    slice: dict[str, LabelName] | None = Field(None, description="column: value, for the examples it is about")
    min: float | None = Field(None, description="smallest value that passes")
    max: float | None = Field(None, description="largest value that passes")
    max_drop: Annotated[float, Field(ge=0)] | None = Field(
        None, description="how much worse than the model now served it may be; holds where none is served"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Threshold:
        if self.min is None and self.max is None and self.max_drop is None:
            raise ValueError(f"{self.metric}: give min, max or max_drop")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"{self.metric}: min {self.min:g} is above max {self.max:g}")
        for column in self.slice or {}:
            _known_column(column)
        return self


class Evaluation(_Section):
    """The model gate."""

    slices: tuple[str | tuple[str, ...], ...] = Field(
        ("label",),
        description="columns to evaluate by, a list for a cross of several: `label`, `format` (the image's)",
    )
    thresholds: tuple[Threshold, ...] = Field(
        (),
        description="all must hold on the test split, or nothing is pushed",
    )

    @model_validator(mode="after")
    def _known(self) -> Evaluation:
        for entry in self.slices:
            for column in (entry,) if isinstance(entry, str) else entry:
                _known_column(column)
        return self


class Push(_Section):
    """Where a model goes that passed."""

    destination: str = Field(description="folder that TensorFlow Serving watches; versions are numbered folders in it")


class Config(_Section):
    """Everything a run is told.

    `folder` is the absolute folder of the configuration file; relative paths count from there.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="letters, digits, `.`, `_`, `-`")
    task: Literal["single_label"] = Field(description="`single_label`: each image has exactly one label")
    output: str | None = Field(None, description="folder of the runs; default: `runs/NAME`")
    data: Data
    labels: Labels = Labels.model_construct(names=None)
    balance: Balance = Field(default_factory=Balance)
    training: Training = Field(default_factory=Training)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    push: Push
    beam: tuple[str, ...] = Field(
        (),
        description="empty: in process on this machine; or any Beam runner's options, such as `--runner=FlinkRunner`",
    )
    folder: str = Field(exclude=True)

    @model_validator(mode="after")
    def _apart(self) -> Config:
        for i, threshold in enumerate(self.evaluation.thresholds):
            _known_metric(f"evaluation.thresholds.{i}", self.task, threshold)
        if self.labels.names is not None:
            self.check_labels(self.labels.names)
        for key, path in (("output", self.output_folder), ("push.destination", self.destination)):
            if storage.is_url(path):
                raise ValueError(f"{key}: {path} is a URL; this version writes to folders only")
        if not storage.is_url(self.data_root):
            for key, path in (("output", self.output_folder), ("push.destination", self.destination)):
                if _inside(path, self.data_root) or _inside(self.data_root, path):
                    raise ValueError(f"{key}: {path} and data.root {self.data_root} must not lie in one another")
        if _inside(self.destination, self.output_folder) or _inside(self.output_folder, self.destination):
            raise ValueError(f"push.destination: {self.destination} and output {self.output_folder} must lie apart")
        return self

    @property
    def data_root(self) -> str:
        """`data.root`, absolute."""
        return self._absolute(self.data.root)

    @property
    def output_folder(self) -> str:
        """`output`, absolute."""
        return self._absolute(self.output or f"runs/{self.name}")

    @property
    def destination(self) -> str:
        """`push.destination`, absolute."""
        return self._absolute(self.push.destination)

    @property
    def backbone(self) -> str:
        """`training.backbone`, a path made absolute."""
        name = self.training.backbone
        return self._absolute(name) if name.endswith(".keras") else name

    def check_labels(self, labels: Sequence[str]) -> None:
        """Raises ConfigError where a label that the settings name is not in `labels`."""
        given = self.training.label_weights
        named = [("training.label_weights", label) for label in (given if isinstance(given, dict) else ())]
        for threshold in self.evaluation.thresholds:
            of_slice = (threshold.slice or {}).get("label")
            named += [("evaluation.thresholds", n) for n in (threshold.label, of_slice) if n not in (None, "*")]
        for where, label in named:
            if label not in labels:
                raise ConfigError(f"{where}: {label!r} is no label; there are {', '.join(map(repr, labels))}")

    def fingerprint(self) -> str:
        """SHA-256 over every setting."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def _absolute(self, path: str) -> str:
        return path if storage.is_url(path) else os.path.normpath(os.path.join(self.folder, os.path.expanduser(path)))


def load(path: str, overrides: Sequence[str] = ()) -> Config:
    """Reads and validates a configuration file.

    Args:
        path: a YAML file.
        overrides: "KEY=VALUE" with dots in KEY and YAML in VALUE: "training.epochs=3".

    Raises:
        ConfigError: anything wrong with it, naming the file and the key.
    """
    try:
        with open(path, encoding="utf-8") as f:
            raw = yaml.load(f, Loader=_StrictLoader)  # noqa: S506  a SafeLoader underneath
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; expected a configuration file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: {error}") from None
    except _YAML_ERRORS as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(raw).__name__}")
    for key in raw:
        if not isinstance(key, str):
            raise ConfigError(f"{path}: {key!r}: unknown key; keys are names")
    for override in overrides:
        _override(raw, override)
    if "folder" in raw:
        raise ConfigError(f"{path}: folder: unknown key")
    try:
        return Config(**raw, folder=os.path.dirname(os.path.abspath(path)))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {_sentence(e)}" for e in error.errors())) from None


# A date such as 2020-13-45 raises ValueError; thousands of nested brackets, RecursionError.
_YAML_ERRORS = (yaml.YAMLError, ValueError, RecursionError)


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, where YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # `<<: *base` may be overridden, and stand more than once
                continue
            key = self.construct_object(key_node, deep=True)
            if str(key) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(str(key))
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML speaks, takes 1e-3 for text; everyone else for a number.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def _override(raw: dict[str, Any], override: str) -> None:
    dotted, equals, text = override.partition("=")
    if not equals or not dotted:
        raise ConfigError(f"--set {override}: expected KEY=VALUE, such as training.epochs=3")
    *parents, last = dotted.split(".")
    section: Any = raw
    for parent in parents:
        section = section.setdefault(parent, {})
        if not isinstance(section, dict):
            raise ConfigError(f"--set {override}: {parent} has no keys below it")
    try:
        section[last] = yaml.load(text, Loader=_StrictLoader)  # noqa: S506
    except _YAML_ERRORS as error:
        raise ConfigError(f"--set {override}: not valid YAML: {' '.join(str(error).split())}") from None


def _sentence(error: Mapping[str, Any]) -> str:
    """One pydantic error as "key: expected …, got …"."""
    # The last parts of a union's location are pydantic's names of its branches, not keys.
    branch = re.compile(r"[\[(]|^(literal|tuple|str|bool)$")
    location = ".".join(str(part) for part in error["loc"] if not branch.search(str(part)))
    message = str(error["msg"]).removeprefix("Value error, ")
    prefix = f"{location}: " if location else ""
    if error["type"] == "extra_forbidden":
        known = sorted(_keys_beside(error["loc"]))
        return f"{prefix}unknown key; known here: {', '.join(known)}"
    if error["type"] == "missing":
        return f"{prefix}this key is missing"
    if error["type"] == "value_error":
        return prefix + message
    return f"{prefix}{message[0].lower()}{message[1:]}, got {error['input']!r}"


def _keys_beside(location: Sequence[str | int]) -> set[str]:
    section: type[BaseModel] = Config
    for part in location[:-1]:
        if isinstance(part, str) and part in section.model_fields:
            found = section.model_fields[part].annotation
            if part == "thresholds":
                found = Threshold
            if isinstance(found, type) and issubclass(found, BaseModel):
                section = found
    return set(section.model_fields) - {"folder"}


def _known_metric(where: str, task: str, threshold: Threshold) -> None:
    whole = threshold.label is None
    known, other = (metrics.OVERALL, metrics.PER_LABEL) if whole else (metrics.PER_LABEL, metrics.OVERALL)
    if threshold.metric not in known[task]:
        hint = "; it needs a `label`" if whole else "; it is a metric of the whole"
        raise ValueError(
            f"{where}: metric: {threshold.metric!r} is not one of {', '.join(known[task])}"
            + (hint if threshold.metric in other[task] else "")
        )


def _known_column(column: str) -> None:
    if column not in features.SLICES:
        raise ValueError(f"{column!r} is no column to slice by; there are: {', '.join(features.SLICES)}")


def _inside(path: str, folder: str) -> bool:
    path, folder = os.path.realpath(path), os.path.realpath(folder)
    return path == folder or path.startswith(folder + os.sep)
