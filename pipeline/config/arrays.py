"""Checks of a configuration whose images are arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.model.networks.bands import SEQUENCES, SINGLE

if TYPE_CHECKING:
    from pipeline.config.config import Config

# Keys of photos alone, which would have no effect.
_OF_PHOTOS = ("image_size", "module")
_OF_PRETRAINED = ("weights", "freeze_epochs")


def check(config: Config) -> None:
    """Raises ValueError for settings that do not go with arrays, or need them."""
    training, tried = config.training, config.tuning.over if config.tuning is not None else {}
    if config.data.arrays is None:
        if training.backbone in SEQUENCES:
            raise ValueError(f"training.backbone: {training.backbone} is for sequences; it needs data.bands")
        return
    if config.data.tile is not None and not config.kind.per_pixel:
        raise ValueError("data.tile: only images with masks can be cut into tiles; remove it")
    single, known = config.data.frames is None, (SINGLE, *SEQUENCES)
    names = [
        ("training", training.backbone),
        *(("tuning.over", n) for n in tried.get("backbone") or () if n is not None),
    ]
    for where, name in names:
        if single and name in SEQUENCES:
            raise ValueError(f"{where}.backbone: {name} is for sequences; it needs data.frames")
        if not single and name not in known:
            raise ValueError(f"{where}.backbone: {name} does not take sequences; expected {', '.join(known)}")
    built_in = all(name in known for _, name in names)
    for key in (*_OF_PHOTOS, *(_OF_PRETRAINED if built_in else ())):
        if key in training.model_fields_set and getattr(training, key) is not None:
            raise ValueError(f"training.{key}: does not go with data.bands; remove it")
        if key in tried:
            raise ValueError(f"tuning.over.{key}: does not go with data.bands; remove it")
    if training.unlabelled not in ("auto", "none"):
        raise ValueError(f"training.unlabelled: {training.unlabelled} is for photos, not for data.bands; remove it")
    for where, given in (
        ("data.unlabelled", config.data.unlabelled),
        ("training.synthetic", training.synthetic),
        ("evaluation.out_of_distribution", config.evaluation.out_of_distribution),
        ("push.formats", config.push.exports or None),
    ):
        if given is not None:
            raise ValueError(f"{where}: is for photos, not for data.bands; remove it")
