"""The sections `training` and `decisions` of the configuration, and all settings of the Trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from components.base.values import Flag, Fraction, LabelName, Positive, Value
from components.data.arrays.spec import Bands
from components.labels import kinds
from components.labels.kind import LabelKind
from components.labels.learning.defaults import FOCAL_GAMMA
from components.model.networks.bands import SEQUENCES, SINGLE


class Focal(Value):
    """Focal loss (Lin et al. 2017): alpha_t (1 - p_t)^gamma times the cross-entropy of the true state."""

    gamma: Annotated[float, Field(ge=0)] = Field(
        FOCAL_GAMMA, description="How little examples count that the model gets right already; 0: as much as any other."
    )
    alpha: Fraction | dict[LabelName, Fraction] | None = Field(
        None,
        description="Factor of the loss, one for all labels or `{label: number}`. For several labels and for "
        "`labels.positive`, where the label applies; where it does not, the factor is 1 - alpha. Labels without a "
        "number have 0.5 for several labels and else 1.",
    )

    def by_label(self, names: Sequence[str], *, exclusive: bool) -> float | list[float] | None:
        """Returns alpha as the loss takes it: None, one for all labels, or one for each of `names`."""
        if not isinstance(self.alpha, dict):
            return self.alpha
        return [self.alpha.get(name, 1.0 if exclusive else _NEUTRAL) for name in names]


class Synthetic(Value):
    """Images of rare labels that are made from those in train."""

    method: Literal["vae", "conditional_vae", "mixup"] = Field(
        description="`vae`: a variational autoencoder for each label draws images of at most 64 pixels (Kingma & "
        "Welling 2014). `conditional_vae`: one for all labels, which learns from the common ones as well (Sohn et al. "
        "2015). `mixup`: images between two images of the label (Zhang et al. 2018)."
    )
    labels: Literal["rare"] | tuple[LabelName, ...] = Field(
        "rare", description="Of which labels images are made. `rare`: of all that have fewer than `up_to`."
    )
    up_to: Literal["median"] | Positive = Field(
        "median",
        description="How many images a label then has in train. `median`: as many as half of the labels have at least.",
    )


_NEUTRAL = 0.5  # alpha with which a label counts as much where it applies as where it does not
_HEAD_EPOCHS, _DECODER_EPOCHS = 20, 4  # of a head on a pretrained backbone; of a decoder


# Largest number of epochs that train everything, by recipe: from pretrained weights, and from random ones.
_TUNING = {"fast": 0, "good": 10, "best": 10}
_SCRATCH = {"fast": 5, "good": 20, "best": 60}
_BATCH, _BATCH_OF_MASKS = 32, 8
BUILT_IN = (SINGLE, *SEQUENCES)  # backbones that start from random weights
_RUNS = 3  # whose weights `best` averages


def _by_recipe(epochs: Mapping[str, int]) -> str:
    *first, last = (f"{number} (`{recipe}`)" for recipe, number in epochs.items())
    return f"{', '.join(first)} or {last}"


Unlabelled = Literal["auto", "propagation", "consistency", "autoencoder", "none"]
Imbalance = Literal[
    "weights",
    "logit_adjustment",
    "balanced_softmax",
    "post_hoc_adjustment",
    "balanced_sampling",
    "retrained_head",
    "none",
]
Weighting = Literal["median_frequency", "square_root", "none"] | dict[LabelName, Annotated[float, Field(ge=0)]]


class Training(Value):
    """The model and its training."""

    backbone: str = Field(
        "small",
        description="`small` (a built-in CNN), the name of a model of `keras.applications` such as `MobileNetV3Small`, "
        "or the path of a `.keras` file. Such a file must hold a model that maps RGB images with values from 0 to 255 "
        "to feature maps, without a head. With `data.frames`: `temporal_attention`, which `small` stands for as well, "
        "or `convlstm`; see [bands](bands.md).",
    )
    module: str | None = Field(
        None,
        description="Python file with a function `build(settings)` that returns a Keras model; it takes the place of "
        "`backbone`. See [your own network](own-model.md).",
    )
    weights: Literal["imagenet", "module"] | None = Field(
        "imagenet",
        description="Pretrained weights of a backbone of `keras.applications`; `null` starts from random weights. "
        "`module`: the function in `module` returns a network with trained weights.",
    )
    image_size: tuple[Positive, Positive] = Field(
        (224, 224), description="Height and width, in pixels, that images are resized to."
    )
    freeze_epochs: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="Largest number of epochs of a first phase that trains only the head, on the features of the "
        "pretrained backbone, which are computed once. Without the key, the head on a pretrained backbone is solved "
        "instead, in seconds, for labels of images with `loss: cross_entropy`; else it is trained for up to "
        f"{_HEAD_EPOCHS} epochs, and {_DECODER_EPOCHS} for masks. With 0, all layers are trained from the start.",
    )
    recipe: Literal["fast", "good", "best"] = Field(
        "good",
        description="How much time training may take. With a pretrained backbone, `fast` trains the head alone, in "
        "seconds where it is solved; `good` then trains the whole network; `best` does so three times, and the model "
        "has the average of those weights whose average is best on eval. Without one, it sets the number of epochs. "
        "Other keys override it. See [recipe](recipe.md#recipes).",
    )
    epochs: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="Largest number of epochs of the phase that trains the whole network. Training stops early if the "
        f"loss on eval no longer falls. Default: by recipe, {_by_recipe(_TUNING)} with a pretrained backbone, and "
        f"{_by_recipe(_SCRATCH)} without one.",
    )
    batch_size: Positive | None = Field(
        None, description=f"Images per training step. Default: {_BATCH}, and {_BATCH_OF_MASKS} for masks."
    )
    loss: Literal["cross_entropy", "focal"] = Field(
        "cross_entropy",
        description="`focal` gives more weight to examples that the model still gets wrong (Lin et al. 2017).",
    )
    focal: Focal | None = Field(None, description="Parameters of `loss: focal`.")
    learning_rate: Annotated[float, Field(gt=0)] = Field(
        1e-3,
        description="Largest learning rate of Adam. It rises over half an epoch, then falls along half a cosine.",
    )
    label_weights: Weighting | None = Field(
        None,
        description="Weight of each label in the loss: `median_frequency` gives rare labels more weight, `square_root` "
        "the square roots of those weights, `none` gives all the same; or a number for each label, such as `{cat: 1, "
        "dog: 2}`. With this key, `imbalance` is `weights`. Default: `median_frequency`, and `square_root` for masks.",
    )
    imbalance: Imbalance | None = Field(
        None,
        description="What makes up for rare labels. `weights`: the weights of `label_weights`. `logit_adjustment`: the "
        "logarithm of a label's share is added to its logit in the loss, so that the mean accuracy of the labels is "
        "learnt and not that of the images (Menon et al. 2021). `balanced_softmax` (Ren et al. 2020): the same for "
        "one label per image or pixel. `post_hoc_adjustment`: everything is trained with `none`; then the logarithm "
        "of its share is subtracted from each label's logit (Menon et al. 2021). `balanced_sampling`: an epoch draws "
        "as many images of each label. `retrained_head`: everything is trained with `none`; then the head is solved "
        "again, with median-frequency weights (Kang et al. 2020). `none`: nothing. Default: `logit_adjustment` for one "
        "label per image, else `weights`. See [labels](labels.md#rare-labels).",
    )
    unlabelled: Unlabelled = Field(
        "auto",
        description="How images without labels are learnt from. `propagation`: each gets the labels of the images that "
        "are like it, weighted by how sure that is (Zhou et al. 2004). `consistency`: the answer for an image must "
        "hold for a distorted copy of it (FixMatch; Sohn et al. 2020). `autoencoder`: the network learns to draw "
        "every image as well. A method is used only if it is better on eval than none, beyond chance. `auto`: "
        "`propagation`, where labels are those of images, and there are at least 100 without labels and as many as "
        "labelled ones. `none`: they are not used. See [few labels](few-labels.md).",
    )
    synthetic: Synthetic | None = Field(
        None,
        description="Makes images of rare labels, for one label per image. They take part in training only if that is "
        "better on eval, beyond chance. See [synthetic images](synthetic.md).",
    )
    augment: Flag = Field(
        True,
        description="Whether to train with random flips, shifts, zooms and contrast. Turn it off if left and right "
        "have "
        "different meanings.",
    )
    mixed_precision: Literal["auto"] | Flag = Field(
        "auto", description="Whether to train with 16-bit arithmetic. `auto` uses it on GPUs that support it."
    )
    # NumPy takes up to 2^32 - 1, and each augmentation adds its own number, 3 at most.
    seed: Annotated[int, Field(ge=0, le=2**32 - 4, strict=True)] = Field(1, description="Seed of all random choices.")

    tuned: str | None = Field(
        None,
        description="File of values that `imagegate tune` found. They take the place of those in this section, but not "
        "of `--set`; with it, no search runs.",
    )

    @property
    def pretrained(self) -> bool:
        """Whether the backbone starts from pretrained weights."""
        if self.module is not None:
            return self.weights == "module"
        return self.backbone not in BUILT_IN and (self.backbone.endswith(".keras") or self.weights is not None)

    @property
    def all_epochs(self) -> int:
        """Largest number of epochs that train the whole network."""
        if self.epochs is not None:
            return self.epochs
        return (_TUNING if self.pretrained else _SCRATCH)[self.recipe]

    def batch(self, *, masks: bool) -> int:
        """Images per training step."""
        return self.batch_size or (_BATCH_OF_MASKS if masks else _BATCH)

    @property
    def runs(self) -> int:
        """How many times the whole network is trained, each time from the same pretrained weights."""
        return _RUNS if self.recipe == "best" and self.pretrained and self.all_epochs else 1

    def head_epochs(self, *, masks: bool) -> int:
        """Largest number of epochs that train the head alone, where it is not solved."""
        if self.freeze_epochs is not None:
            return self.freeze_epochs
        if not self.pretrained:
            return 0
        return _DECODER_EPOCHS if masks else _HEAD_EPOCHS

    @property
    def solves_head(self) -> bool:
        """Whether the head is solved, if the labels are those of images. Focal loss is not convex."""
        return self.pretrained and self.freeze_epochs is None and self.loss == "cross_entropy"

    def method(self, kind: LabelKind) -> str:
        """What makes up for rare labels: a value of `imbalance`."""
        if self.imbalance is not None:
            return self.imbalance
        return kind.imbalance if self.label_weights is None else "weights"

    def weighting(self, kind: LabelKind) -> str | dict[str, float]:
        """How the labels are weighted in the loss, see `labels.weights.applied`."""
        if self.method(kind) != "weights":
            return "none"
        return kind.weighting if self.label_weights is None else self.label_weights

    @model_validator(mode="after")
    def _consistent(self) -> Training:
        if self.backbone.endswith((".h5", ".hdf5", ".pkl", ".pickle")):
            raise ValueError(
                f"backbone: {self.backbone}: loading such a file may run code; save the model as a .keras file"
            )
        if self.weights == "module" and self.module is None:
            raise ValueError("weights: `module` needs the key module, a Python file whose function builds the network")
        if self.freeze_epochs and not self.pretrained:
            name = self.module or self.backbone
            raise ValueError(
                f"freeze_epochs: backbone {name!r} starts from random weights, so there is nothing to freeze; "
                "remove the key, or choose a pretrained backbone"
            )
        if self.label_weights is not None and self.imbalance not in (None, "weights"):
            raise ValueError(
                f"imbalance: {self.imbalance} takes the place of weights, but label_weights is set as well; remove one "
                "of training.imbalance and training.label_weights"
            )
        if self.unlabelled in ("consistency", "autoencoder") and not self.all_epochs:
            raise ValueError(
                f"unlabelled: {self.unlabelled} needs epochs that train the whole network, and there are none; set "
                "recipe: good, or choose propagation"
            )
        if self.focal and self.loss != "focal":
            raise ValueError(f"focal: loss is {self.loss}; remove the key, or set loss: focal")
        if not self.all_epochs and not self.head_epochs(masks=False):
            raise ValueError(
                "epochs: expected 1 or more, or freeze_epochs of 1 or more; with 0 and 0, nothing is trained"
            )
        return self


class DecisionSettings(Value):
    """Calibration, thresholds and abstention, fitted to the eval split after training and stored in the model."""

    calibrate: Flag = Field(
        True,
        description="Whether to calibrate the probabilities: with one temperature (Guo et al. 2017), for `multi_label` "
        "then with a scale and a bias per label as well (Platt 1999). Each is used only if it lowers the loss on "
        "images that it was not fitted to.",
    )
    threshold: Literal["f1"] | dict[Literal["precision", "recall"], Fraction] = Field(
        "f1",
        description="The decision threshold of each label. `f1`: the one with the largest F1 to be expected from the "
        "probabilities. `{precision: 0.9}`: the lowest with at least this precision. `{recall: 0.9}`: the highest with "
        "at least this recall.",
    )
    abstain_below: Fraction | None = Field(
        0.01,
        description="The model abstains on images whose familiarity is below this value; 0.01 is about 1 % of the eval "
        "split. With `null`, it never abstains.",
    )

    @field_validator("threshold")
    @classmethod
    def _one(cls, threshold: str | dict[str, float]) -> str | dict[str, float]:
        if isinstance(threshold, dict) and len(threshold) != 1:
            raise ValueError(f"expected f1, {{precision: P}} or {{recall: R}}, got {threshold}")
        return threshold


class TrainerSettings(Training):
    """All settings of the Trainer: the section `training`, and those from the rest of the configuration.

    Attributes:
        task: the task.
        positive: `labels.positive`.
        bits: `data.bits`.
        bands: what arrays hold; None for photos.
        decisions: the section `decisions`.
        checkpoints: a folder that outlives the run; a killed training continues from there.
        features: folder of the features of frozen backbones, for all runs of an output; "": none are kept.
        code_fingerprint: changes if the code of the stage or the backbone's file changes.
    """

    task: str
    positive: str | None
    bits: int | None
    bands: Bands | None = None
    decisions: DecisionSettings
    checkpoints: str
    features: str = ""
    code_fingerprint: str

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Names the method and the weights that absent keys stand for, so that a search tells what it tried."""
        kind, weights = kinds.kind(given["task"]), given.get("label_weights")
        method = given.get("imbalance") or (kind.imbalance if weights is None else "weights")
        if method == "weights" and weights is None:
            weights = kind.weighting
        return {**given, "imbalance": method, "label_weights": weights}
