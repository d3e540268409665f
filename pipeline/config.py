"""One YAML file -> frozen, validated settings. Every contradiction is an error that names the key.

The field descriptions below are the reference: docs/configuration.md is made from them.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from components import metrics
from components.base.errors import ConfigError
from components.data import features, perceptual, storage
from components.data.dataset import LayoutError
from components.data.mask_rules import rule
from components.ingest.layouts.columns import Columns as Meanings
from components.labels import kinds
from components.push import destination
from pipeline.stages import TRAINER

Fraction = Annotated[float, Field(ge=0, le=1)]
Byte = Annotated[int, Field(ge=0, le=255)]
Id = Annotated[int, Field(ge=0, le=65535, strict=True)]  # strict: YAML's `yes` is no 1
Positive = Annotated[int, Field(gt=0)]
# As labels come out of the data, whatever the editor or file system that their names were copied from.
LabelName = Annotated[str, AfterValidator(lambda name: unicodedata.normalize("NFC", name))]
# As Kubernetes writes amounts; YAML's `cpu: 2` is a number.
Quantity = Annotated[
    str,
    BeforeValidator(lambda v: f"{v:g}" if isinstance(v, int | float) and not isinstance(v, bool) else v),
    Field(pattern=r"^\d+(\.\d+)?(m|[kMGTP]|[KMGTP]i)?$"),
]
_DNS_NAME = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"


def _no_secret(path: str) -> str:
    if storage.is_url(path):
        try:
            destination.check_url(path)
        except ConfigError as error:
            raise ValueError(str(error)) from None
    return path


Location = Annotated[str, AfterValidator(_no_secret)]  # a path or an fsspec URL


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


class Columns(_Section):
    """Which column of a manifest means what."""

    image: str = Field("file_name", description="file names")
    labels: str | tuple[str, ...] | None = Field(
        None,
        description="a list of 0/1 columns, each named like its label (an empty cell: nobody said), or one column of "
        "names; default: `label` or `labels`, whichever there is",
    )
    weight: str | None = Field(None, description="how much an image counts in loss and metrics; a number above 0")
    split: str | None = Field(None, description="`train`, `eval` (or `val`, `dev` …), `test`, or empty: by hash")
    group: str | None = Field(None, description="all rows of a group (say, one patient) land in one split")
    slices: tuple[str, ...] = Field((), description="columns that the evaluation can be sliced by")


class Data(_Section):
    """Where the images are."""

    root: Location = Field(
        description="folder or fsspec URL; a relative path counts from the configuration file's folder, and everything "
        "below counts from root"
    )
    layout: Literal["folders", "manifest", "masks", "coco"] = Field(
        "folders",
        description="`folders`: one folder per label; `manifest`: a table with one row per image; `masks`: images and "
        "masks, paired by file name; `coco`: annotations in COCO's JSON. See [layouts](layouts.md)",
    )
    manifest: str | dict[str, str] | None = Field(
        None, description="manifest: a `.csv` or `.jsonl` file with one row per image, or one per split"
    )
    images: str | dict[str, str] | None = Field(
        None, description="folder that file names are relative to; masks and coco also take one per split"
    )
    columns: Columns = Field(Columns.model_construct(), description="manifest: see [`data.columns`](#datacolumns)")
    separator: str = Field("|", description="manifest: multi_label: between the names in one cell")
    masks: str | dict[str, str] | None = Field(None, description="masks: folder of the masks, or one per split")
    image_suffix: str = Field("", description="masks: what image names end in before the extension, such as `_image`")
    mask_suffix: str = Field("", description="masks: what mask names end in before the extension, such as `_mask`")
    lists: str | dict[str, str] | None = Field(
        None, description="masks: a text file that names the images to use, or one per split, as Pascal VOC has"
    )
    annotations: str | dict[str, str] | None = Field(None, description="coco: the JSON file, or one per split")
    split: Split = Field(
        Split.model_construct(train=0.8, eval=0.1, test=0.1),
        description="by hash of each image's content, so equal images are never in two splits. Not used where folders "
        "`train/`, `eval|val|valid|validation|dev/`, `test/` stand above the labels, or the data names splits "
        "otherwise; of these, a missing one is cut from train",
    )
    max_bad_fraction: Fraction | None = Field(
        0.01,
        description="broken files go to quarantine with a reason; above this share the data gate refuses",
    )
    schema_file: str | None = Field(
        None,
        description="a schema frozen from a run with `imagegate schema`: labels, formats, columns and slice values "
        "that differ from it stop the run; a relative path counts from the configuration file's folder",
    )
    max_pixels: Positive = Field(
        100_000_000,
        description="larger images go to quarantine, judged by their header before any pixel is decoded",
    )

    @model_validator(mode="after")
    def _of_layout(self) -> Data:
        """Each key belongs to some layouts; beside another it would be silently without effect."""
        for key, layouts in _LAYOUTS_OF.items():
            if key in self.model_fields_set and self.layout not in layouts:
                raise ValueError(f"{key} belongs to layout {' and '.join(layouts)}, not to {self.layout}")
        for key in _REQUIRED.get(self.layout, ()):
            if getattr(self, key) is None:
                raise ValueError(f"layout {self.layout} needs the key {key}")
        if self.layout == "manifest" and isinstance(self.images, dict):
            raise ValueError("images: a manifest has one folder of images, or none: each table's own")
        return self


# Key -> layouts that know it.
_LAYOUTS_OF = {
    "manifest": ("manifest",),
    "images": ("manifest", "masks", "coco"),
    "columns": ("manifest",),
    "separator": ("manifest",),
    "masks": ("masks",),
    "image_suffix": ("masks",),
    "mask_suffix": ("masks",),
    "lists": ("masks",),
    "annotations": ("coco",),
}
_REQUIRED = {"manifest": ("manifest",), "masks": ("images", "masks"), "coco": ("annotations",)}
# Task -> layouts that say enough for it.
_LAYOUTS_FOR = {
    "single_label": ("folders", "manifest"),
    "multi_label": ("manifest", "coco"),
    "segmentation": ("masks", "coco"),
}


class Labels(_Section):
    """The labels and their order."""

    names: tuple[LabelName, ...] | None = Field(
        None,
        description="every label, in the order of the model's outputs; default: found in the data, sorted. For id "
        "masks needed: pixel value i is names[i]",
    )
    positive: LabelName | None = Field(
        None, description="single_label with two names: one sigmoid unit, for this one, instead of two softmax units"
    )
    empty: Literal["unknown", "none"] = Field(
        "unknown", description="multi_label: whether an empty list of names means that nobody said, or none of them"
    )
    ignore: LabelName | Id | None = Field(
        None, description="masks: a name or an id that takes no part in loss, weights and metrics"
    )
    background: LabelName | None = Field(None, description="coco masks: label of pixels in no region; default: ignored")
    colors: dict[LabelName, tuple[Byte, Byte, Byte] | Id] | None = Field(
        None,
        description="masks drawn in colours: `name: [red, green, blue]`; or ids that are not in the order of names: "
        "`name: id`",
    )
    count_ignored: bool = Field(
        False, description="masks: count ignored pixels in the weights' frequencies, as SegNet did"
    )

    @field_validator("names")
    @classmethod
    def _distinct(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names == ():
            raise ValueError("an empty list; name the labels, or leave the key out to take those in the data")
        if names is not None:
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
    min_pixel_share: Fraction | None = Field(1e-5, description="masks: pixels of each label / known pixels of train")
    min_image_share: Fraction | None = Field(0.001, description="masks: images that each label is in / images of train")
    max_cooccurrence: Fraction | None = Field(
        0.98,
        description="multi_label: phi coefficient, of either sign: two labels that (almost) always come together, or "
        "of which always just one applies, cannot be told apart",
    )
    max_drift: Fraction | None = Field(
        0.2,
        description="Jensen-Shannon distance of the label shares in train, all together and each label's, from those "
        "of the served model's data. 0: the same, 1: nothing in common",
    )
    max_property_drift: Fraction | None = Field(
        0.4,
        description="Kolmogorov-Smirnov distance of image properties (width, height, aspect ratio, brightness, "
        "contrast, sharpness, mean red, green and blue) in train, of all images and of each label's, from those of "
        "the served model's data",
    )
    max_split_drift: Fraction | None = Field(0.5, description="the same of eval and of test from train, of all images")
    max_relabelled: Fraction | None = Field(
        0.05,
        description="images whose label (or mask) has changed since the served model was trained on them, as a share "
        "of the label's; a single image is let pass",
    )
    max_unlabelled: Fraction | None = Field(0.2, description="images of which nothing is known / all images")
    allow_duplicates_across_splits: bool = Field(
        False, description="whether equal or nearly equal images may lie in two splits"
    )
    near_duplicate_distance: Annotated[int, Field(ge=0, le=perceptual.DEFAULT_DISTANCE)] | None = Field(
        perceptual.DEFAULT_DISTANCE,
        description="images are nearly equal where no more of the 256 bits of their perceptual hashes differ; null: "
        "only equal files count",
    )
    max_near_duplicates: Fraction | None = Field(
        0.01,
        description="of eval and test, the images that are nearly equal to one of another split; where the data set "
        "itself says which split an image is in, there must be none",
    )
    allow_vanished_labels: bool = Field(False, description="whether labels that the served model knows may be missing")
    allow_new_labels: bool = Field(False, description="whether there may be labels that the served model does not know")


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
    loss: Literal["cross_entropy", "focal"] = Field(
        "cross_entropy", description="`focal` turns to what is still hard (Lin et al. 2017, gamma 2)"
    )
    learning_rate: Annotated[float, Field(gt=0)] = Field(
        1e-3,
        description="of Adam at its height: it rises over half an epoch, then falls along a cosine; a pretrained "
        "backbone is trained at 0.3 of it",
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


class Decisions(_Section):
    """How probabilities become decisions; fitted to the eval split, and carried by the model."""

    calibrate: bool = Field(
        True,
        description="make probabilities mean what they say: one temperature (Guo et al. 2017), for multi_label a scale "
        "and a bias per label (Platt 1999); used only where it helps images that it was not fitted to",
    )
    threshold: Literal["f1"] | dict[Literal["precision", "recall"], Fraction] = Field(
        "f1",
        description="of each label's `decisions`: where its F1 is largest; `{precision: 0.9}`: the lowest that is so "
        "precise; `{recall: 0.9}`: the highest that finds so many",
    )
    abstain_below: Fraction | None = Field(
        0.01,
        description="the model abstains from images less familiar than this share of the eval split; null: never",
    )

    @field_validator("threshold")
    @classmethod
    def _one(cls, threshold: str | dict[str, float]) -> str | dict[str, float]:
        if isinstance(threshold, dict) and len(threshold) != 1:
            raise ValueError("give f1, or one of {precision: P} and {recall: R}")
        return threshold


class Threshold(_Section):
    """One rule of the model gate."""

    metric: str = Field(description="a metric's name")
    label: LabelName | None = Field(None, description='a label\'s name, or "*": each label by itself')
    slice: dict[str, LabelName] | None = Field(
        None,
        description='column: value, for the examples it is about; "*": each value in the test split by itself',
    )
    min: float | None = Field(None, description="smallest value that passes")
    max: float | None = Field(None, description="largest value that passes")
    max_drop: Annotated[float, Field(ge=0)] | None = Field(
        None, description="how much worse than the model now served it may be; holds where none is served"
    )
    min_examples: Positive | None = Field(
        None,
        description="a slice value or label with fewer in the test split is let pass, and the run says so; default: 1 "
        'with "*" in `slice`, else all are judged',
    )
    confidence: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="such as 0.95: `min` must hold for the lower, `max` for the upper bound of what the number of "
        "examples allows, instead of the value itself; see [the model gate](model-gate.md)",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Threshold:
        if self.min is None and self.max is None and self.max_drop is None:
            raise ValueError(f"{self.metric}: give min, max or max_drop")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"{self.metric}: min {self.min:g} is above max {self.max:g}")
        if self.confidence is not None and self.min is None and self.max is None:
            raise ValueError(
                f"{self.metric}: confidence is for min and max; both models answer for the same images, so that their "
                "difference has no such interval"
            )
        return self


class StandardMetric(_Section):
    """One of TFMA's own metrics."""

    class_name: str
    config: dict[str, Any] = Field(default_factory=dict)


class Evaluation(_Section):
    """The model gate."""

    out_of_distribution: Location | None = Field(
        None,
        description="folder or fsspec URL of images of none of the labels; how well the model tells them apart is "
        "`out_of_distribution_auroc` and `out_of_distribution_abstained`. A relative path counts from "
        "the configuration file's folder",
    )

    slices: tuple[str | tuple[str, ...], ...] | None = Field(
        None,
        description="default: [label], for masks []. Columns to evaluate by, a list for a cross of several: `label` "
        "(not for masks), `format` (the image's), and those of data.columns.slices",
    )
    thresholds: tuple[Threshold, ...] = Field(
        (),
        description="all must hold on the test split, or nothing is pushed",
    )
    tfma_metrics: tuple[StandardMetric, ...] = Field(
        (),
        description="TFMA's own metrics to compute beside these: names of classes in `tfma.metrics`, or `{class_name: "
        "…, config: {…}}`; not for masks. See [the model gate](model-gate.md#tfmas-own-metrics)",
    )

    @field_validator("tfma_metrics", mode="before")
    @classmethod
    def _names(cls, asked: Any) -> Any:
        return (
            [{"class_name": one} if isinstance(one, str) else one for one in asked]
            if isinstance(asked, list | tuple)
            else asked
        )

    @field_validator("tfma_metrics")
    @classmethod
    def _computable(cls, asked: tuple[StandardMetric, ...]) -> tuple[StandardMetric, ...]:
        if asked:
            from components.evaluation import tfma_standard  # TFMA takes seconds to import

            tfma_standard.specs([one.model_dump() for one in asked])
        return asked


class Serving(_Section):
    """What serving may cost, measured before the push in a fresh process on this machine; each limit can be null."""

    max_latency_ms: Annotated[float, Field(gt=0)] | None = Field(
        None, description="milliseconds from one encoded image to its answer, median of 20"
    )
    max_megabytes: Annotated[float, Field(gt=0)] | None = Field(
        None, description="size of the model's files, in 10^6 bytes"
    )


class Push(_Section):
    """Where a model goes that passed."""

    destination: Location = Field(
        description="folder or fsspec URL that TensorFlow Serving watches; versions are numbered folders in it. What "
        "differs with a URL: see [pushing](push.md)"
    )
    keep: Annotated[int, Field(ge=1, strict=True)] | None = Field(
        5,
        description="after a push, remove all but so many of the newest versions that imagegate pushed; null keeps all",
    )

    without_thresholds: bool = Field(
        False, description="whether a model is pushed though `evaluation.thresholds` is empty and nothing judges it"
    )


class Gpu(_Section):
    """What the Trainer's pod asks for."""

    resource: str = Field(
        "nvidia.com/gpu",
        pattern=r"^[a-z0-9.-]+/[A-Za-z0-9_.-]+$",
        description="as the cluster's device plugin calls it, such as `amd.com/gpu` or `nvidia.com/mig-1g.5gb`",
    )
    count: Positive = Field(1, description="how many; more than one train together")


class Resources(_Section):
    """Limits of one stage's pod; they are also what the pod asks for."""

    cpu: Quantity | None = Field(None, description="cores, such as `2` or `500m`")
    memory: Quantity | None = Field(None, description="bytes, such as `4Gi`")


class Secret(_Section):
    """One environment variable from a Kubernetes secret; its value is read in the cluster, and stands nowhere else."""

    secret: str = Field(pattern=_DNS_NAME, description="the secret's name")
    key: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="the key in it")
    env: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="the variable, such as `AWS_ACCESS_KEY_ID`")


class Toleration(_Section):
    """A taint that the Trainer's pod may be scheduled in spite of, in Kubernetes' words."""

    key: str | None = Field(None, description="null with `Exists`: every taint")
    operator: Literal["Equal", "Exists"] = Field("Equal", description="whether `value` counts")
    value: str | None = Field(None, description="of the taint")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="null: every effect"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Toleration:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError(f"value: {self.value!r} does not count with operator Exists; leave one of the two out")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("key: operator Equal needs one")
        return self


class Kubeflow(_Section):
    """How `imagegate compile` makes a Kubeflow pipeline of the graph; `imagegate run` does not look at it."""

    image: str | None = Field(
        None,
        pattern=r"^[^\s@]+(@sha256:[0-9a-f]{64})?$",
        description="container image that holds imagegate; needed. Give its digest (`registry/name@sha256:…`): cached "
        "results are told apart by this text, not by what a tag points to today",
    )
    pipeline_root: str = Field(
        "minio://mlpipeline/v2/artifacts",
        pattern=r"^(minio|s3|gs)://[^/]+.*$",
        description="where artifacts go: `minio://`, `s3://` or `gs://`, then a bucket",
    )
    gpu: Gpu | None = Field(None, description="of the Trainer: see [`kubeflow.gpu`](#kubeflowgpu); null: none")
    memory: Quantity = Field("16Gi", description="of the Trainer")
    shared_memory: Quantity | None = Field(
        None, description="size of the Trainer's `/dev/shm`, a part of its memory; several GPUs talk through it"
    )
    stages: dict[str, Resources] = Field(
        {}, description="stage: `{cpu: …, memory: …}`, where the defaults do not fit; `Evaluator: {memory: 16Gi}`"
    )
    node_selector: dict[str, str] = Field({}, description="labels of the nodes that the Trainer may run on")
    tolerations: tuple[Toleration, ...] = Field(
        (), description="of the Trainer: see [`kubeflow.tolerations`](#an-entry-of-kubeflowtolerations)"
    )
    volumes: dict[Annotated[str, Field(pattern=_DNS_NAME)], str] = Field(
        {},
        description="persistent volume claim: path to mount it at, in stages that read data or the push destination",
    )
    secrets: tuple[Secret, ...] = Field(
        (), description="environment variables of the same stages, from [secrets](#an-entry-of-kubeflowsecrets)"
    )
    retries: Annotated[int, Field(ge=0, le=10)] = Field(
        2, description="how often a stage that broke is tried again, after 30 s, then twice as long each; no gate is"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Kubeflow:
        trainer = TRAINER.name
        memory = self.stages.get(trainer, Resources.model_construct(memory=None)).memory
        if memory is not None and "memory" in self.model_fields_set:
            raise ValueError(f"stages.{trainer}.memory: {memory}, but memory, which is the {trainer}'s, {self.memory}")
        memory = memory or self.memory
        if self.shared_memory is not None and _amount(self.shared_memory) >= _amount(memory):
            raise ValueError(f"shared_memory: {self.shared_memory} is a part of memory, {memory}, and must be smaller")
        for claim, path in self.volumes.items():
            if not path.startswith("/") or _mount(path) in ("/", "/dev/shm"):  # noqa: S108  a mount's name
                raise ValueError(f"volumes.{claim}: expected an absolute path to mount it at, got {path!r}")
        _once("volumes: two claims are mounted at", map(_mount, self.volumes.values()))
        _once("secrets: two are to be the variable", (secret.env for secret in self.secrets))
        return self


_SUFFIXES = {"m": 1e-3} | {s: 1000.0**i for i, s in enumerate("kMGTP", 1)} | {"": 1.0}
_SUFFIXES |= {f"{s}i": 1024.0**i for i, s in enumerate("KMGTP", 1)}


def _amount(quantity: str) -> float:
    """What a Kubernetes quantity stands for."""
    number = quantity.rstrip("kKMGTPim")
    return float(number) * _SUFFIXES[quantity[len(number) :]]


def _mount(path: str) -> str:
    return "/" + os.path.normpath(path).lstrip("/")


def _once(what: str, names: Iterable[str]) -> None:
    listed = list(names)
    twice = sorted({name for name in listed if listed.count(name) > 1})
    if twice:
        raise ValueError(f"{what} {twice[0]}")


class Config(_Section):
    """Everything a run is told.

    `folder` is the absolute folder of the configuration file; relative paths count from there.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="letters, digits, `.`, `_`, `-`")
    task: Literal["single_label", "multi_label", "segmentation"] = Field(
        description="`single_label`: each image has exactly one label; `multi_label`: any number; `segmentation`: each "
        "pixel has one"
    )
    output: str | None = Field(None, description="folder of the runs; default: `runs/NAME`")
    data: Data
    labels: Labels = Field(default_factory=Labels)
    balance: Balance = Field(default_factory=Balance)
    training: Training = Field(default_factory=Training)
    decisions: Decisions = Field(default_factory=Decisions)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    serving: Serving = Field(default_factory=Serving)
    push: Push
    kubeflow: Kubeflow = Field(default_factory=Kubeflow)
    beam: tuple[str, ...] = Field(
        (),
        description="empty: in process on this machine; or any Beam runner's options, such as `--runner=FlinkRunner`",
    )
    folder: str = Field(exclude=True)

    @model_validator(mode="after")
    def _apart(self) -> Config:
        for i, threshold in enumerate(self.evaluation.thresholds):
            _known_metric(f"evaluation.thresholds.{i}", self, threshold)
        taken = sorted(set(self.data.columns.slices) & set(features.SLICES))
        if taken:
            raise ValueError(f"data.columns.slices: {taken[0]!r} is already the name of a slice; rename the column")
        for column in {c for columns in self.slices for c in columns}:
            if column not in self.columns:
                known = ", ".join(self.columns)
                raise ValueError(f"evaluation: {column!r} is no column to slice by; there are {known}")
        _labels_of_task(self)
        if self.data.layout == "manifest":
            _columns(self)
        if self.data.layout == "masks":
            names = self.labels.names or ()
            self.check_labels(rule(names, ignore=self.labels.ignore, colors=self.labels.colors).labels)
        elif self.labels.names is not None:
            self.check_labels(self.labels.names)
        if storage.is_url(self.output_folder):
            raise ValueError(f"output: {self.output_folder} is a URL; runs are written to folders only")
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
    def schema_path(self) -> str | None:
        """`data.schema_file`, absolute."""
        return None if self.data.schema_file is None else self._absolute(self.data.schema_file)

    @property
    def detects(self) -> bool:
        """Whether images of one label alone will do: a pretrained backbone sees likeness without a classifier."""
        return self.task == "single_label" and self.training.pretrained

    @property
    def out_of_distribution_root(self) -> str | None:
        """`evaluation.out_of_distribution`, absolute."""
        return (
            None if self.evaluation.out_of_distribution is None else self._absolute(self.evaluation.out_of_distribution)
        )

    @property
    def backbone(self) -> str:
        """`training.backbone`, a path made absolute."""
        name = self.training.backbone
        return self._absolute(name) if name.endswith(".keras") else name

    @property
    def columns(self) -> dict[str, str]:
        """Columns that the evaluation can be sliced by, and the feature behind each."""
        own = {c: features.SLICE + c for c in self.data.columns.slices}
        return {c: f for c, f in features.SLICES.items() if c != "label" or self.task != "segmentation"} | own

    @property
    def slices(self) -> list[list[str]]:
        """The configured crosses of columns, and those that only a threshold names."""
        default = () if self.task == "segmentation" else ("label",)
        configured = default if self.evaluation.slices is None else self.evaluation.slices
        crosses = [(s,) if isinstance(s, str) else s for s in configured]
        crosses += [tuple(t.slice) for t in self.evaluation.thresholds if t.slice]
        return [list(columns) for columns in sorted({tuple(sorted(c)) for c in crosses})]

    @property
    def layout(self) -> dict[str, Any]:
        """What `components.ingest.layouts.reading` needs to list the data set and read its masks; plain values."""
        names = self.labels.names
        return {
            "task": self.task,
            "root": self.data_root,
            "names": None if names is None else list(names),
            "split": dict(self.data.split),
            **self.data.model_dump(mode="json", include={"layout", *_LAYOUTS_OF}),
            **self.labels.model_dump(mode="json", exclude={"names", "positive", "count_ignored"}),
        }

    def check_labels(self, labels: Sequence[str]) -> None:
        """Raises ConfigError where a label that the settings name is not in `labels`."""
        given = self.training.label_weights
        named = [("training.label_weights", label) for label in (given if isinstance(given, dict) else ())]
        for threshold in self.evaluation.thresholds:
            of_slice = (threshold.slice or {}).get("label")
            names = [name for name in (threshold.label, of_slice) if name is not None]
            if "*" in names and "*" in labels:
                raise ConfigError('evaluation.thresholds: "*" means every label, and one is called that; rename it')
            named += [("evaluation.thresholds", name) for name in names if name != "*"]
        for where, label in named:
            if label not in labels:
                raise ConfigError(f"{where}: {label!r} is no label; there are {', '.join(map(repr, labels))}")
        if self.detects and len(labels) == 1:
            for i, threshold in enumerate(self.evaluation.thresholds):
                if threshold.metric not in metrics.OF_DETECTOR:
                    raise ConfigError(
                        f"evaluation.thresholds.{i}: metric: {labels[0]!r} is the only label, so the model is a "
                        f"detector of what is not like it, and {threshold.metric} says nothing of it; expected one of "
                        f"{', '.join(metrics.OF_DETECTOR)}"
                    )

    def plain(self) -> dict[str, Any]:
        """What the file and the command line say, as JSON."""
        return self.model_dump(mode="json", exclude_unset=True)

    def fingerprint(self) -> str:
        """SHA-256 over every setting but where Kubeflow runs it, which changes no result."""
        return hashlib.sha256(self.model_dump_json(exclude={"kubeflow"}).encode()).hexdigest()

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
    return validated(raw | {"folder": os.path.dirname(os.path.abspath(path))}, path)


def validated(raw: Mapping[str, Any], path: str = "the configuration") -> Config:
    """The settings, from keys and values, of which `folder` is one.

    Args:
        raw: as YAML or JSON has them.
        path: what messages call them.

    Raises:
        ConfigError: anything wrong, naming the key.
    """
    try:
        return Config(**raw)
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
    branch = re.compile(r"[\[(]|^(literal|tuple|str|bool|int|constrained-int)$")
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


# Of lists and options, whose annotation is no section.
_ENTRIES: dict[str, type[BaseModel]] = {
    "thresholds": Threshold,
    "tfma_metrics": StandardMetric,
    "gpu": Gpu,
    "stages": Resources,
    "secrets": Secret,
    "tolerations": Toleration,
}


def _keys_beside(location: Sequence[str | int]) -> set[str]:
    section: type[BaseModel] = Config
    for part in location[:-1]:
        if isinstance(part, str) and part in section.model_fields:
            found = section.model_fields[part].annotation
            found = _ENTRIES.get(part, found)
            if isinstance(found, type) and issubclass(found, BaseModel):
                section = found
    return set(section.model_fields) - {"folder"}


def _known_metric(where: str, config: Config, threshold: Threshold) -> None:
    whole, kind = threshold.label is None, kinds.kind(config.task)
    if threshold.metric in metrics.OUT_OF_DISTRIBUTION:
        if config.evaluation.out_of_distribution is None:
            raise ValueError(f"{where}: metric: {threshold.metric} needs the key evaluation.out_of_distribution")
        if threshold.label is not None or threshold.slice is not None:
            raise ValueError(f"{where}: metric: {threshold.metric} has no label and no slice")
        return
    known, other = (kind.overall, kind.per_label) if whole else (kind.per_label, kind.overall)
    if threshold.metric not in known:
        hint = "; it needs a `label`" if whole else "; it is a metric of the whole"
        raise ValueError(
            f"{where}: metric: {threshold.metric!r} is not one of {', '.join(known)}"
            + (hint if threshold.metric in other else "")
        )
    if threshold.confidence is not None and threshold.metric not in kind.proportions:
        some = ", ".join(m for m in known if m in kind.proportions)
        raise ValueError(
            f"{where}: confidence: {threshold.metric!r} has no interval; "
            + (f"those with one are {some}" if some else f"none of task {kind.task} has")
        )


def _labels_of_task(config: Config) -> None:
    """Raises ValueError where task, layout and labels contradict one another."""
    task, labels, layout = config.task, config.labels, config.data.layout
    if task == "segmentation" and config.evaluation.tfma_metrics:
        raise ValueError("evaluation.tfma_metrics: TFMA's own metrics are of labels of images, not of pixels")
    if layout not in _LAYOUTS_FOR[task]:
        raise ValueError(f"data.layout: {layout} does not fit task {task}; fit: {', '.join(_LAYOUTS_FOR[task])}")
    if labels.names is not None and len(labels.names) < 2 and task != "multi_label" and not config.detects:
        hint = "" if task == "segmentation" else "; a detector of one label needs a pretrained training.backbone"
        raise ValueError(
            f"labels.names: task {task} needs two labels or more, got {len(labels.names)}: "
            f"a softmax over one unit is always 1{hint}"
        )
    only = {
        "positive": task == "single_label",
        "empty": task == "multi_label" and layout == "manifest",
        "ignore": task == "segmentation",
        "background": task == "segmentation" and layout == "coco",
        "colors": layout == "masks",
        "count_ignored": task == "segmentation",
    }
    for key, fits in only.items():
        if key in labels.model_fields_set and not fits:
            raise ValueError(f"labels.{key} has no meaning for task {task} with layout {layout}")
    if labels.positive is not None and (labels.names is None or len(labels.names) != 2):
        raise ValueError("labels.positive needs labels.names with exactly two names: the other one is the negative")
    if labels.positive is not None and labels.positive not in (labels.names or ()):
        raise ValueError(f"labels.positive: {labels.positive!r} is not in labels.names")
    if layout == "masks" and labels.names is None:
        raise ValueError("labels.names: masks hold numbers or colours; list the names they stand for")
    if layout == "masks" and labels.count_ignored and labels.ignore is None:
        raise ValueError("labels.count_ignored: nothing is ignored; set labels.ignore, too")


def _columns(config: Config) -> None:
    """Raises ValueError or ConfigError where a column is to mean two things, or a key beside it means nothing."""
    try:
        columns = Meanings(**config.data.columns.model_dump())
    except LayoutError as error:  # the name of a label column; here it is the configuration that says it
        raise ConfigError(str(error)) from None
    if columns.split is not None and isinstance(config.data.manifest, dict):
        raise ValueError("data.columns.split: data.manifest already has one table per split; remove one of the two")
    if columns.label_of and "empty" in config.labels.model_fields_set:
        raise ValueError(
            "labels.empty: is for a column of names; in 0/1 columns an empty cell is unknown, and only zeros mean none"
        )
    if (columns.label_of or config.task == "single_label") and "separator" in config.data.model_fields_set:
        raise ValueError("data.separator: is for several names in one cell, which here there are not; leave it out")


def _inside(path: str, folder: str) -> bool:
    path, folder = (re.sub("^(file|local)://", "", where) for where in (path, folder))
    if storage.is_url(path) != storage.is_url(folder):
        return False
    if not storage.is_url(path):
        path, folder = os.path.realpath(path), os.path.realpath(folder)
    return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")
