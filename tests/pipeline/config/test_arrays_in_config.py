"""Configurations of arrays: what goes with them, and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.base.errors import ConfigError
from components.data.arrays.spec import Bands, ByBand
from pipeline import config


def load(folder: Path, data: dict[str, Any], **sections: Any) -> config.Config:
    told = {"name": "x", "task": "single_label", "data": {"root": "images", **data}, "push": {"destination": "m"}}
    (folder / "c.yaml").write_text(yaml.safe_dump(told | sections))
    return config.load(str(folder / "c.yaml"))


def test_bands_are_named_or_counted(tmp_path: Path) -> None:
    told = load(tmp_path, {"bands": ["red", "nir"], "invalid": {"band": "nir", "below": 0}, "display": ["nir"]})
    assert told.data.arrays == Bands(names=("red", "nir"), invalid=ByBand(band="nir", below=0), display=("nir",))
    assert load(tmp_path, {"bands": 2, "frames": 9, "axes": "TBHW"}).data.arrays == Bands(
        names=("band 1", "band 2"), frames=9, axes="TBHW"
    )
    assert load(tmp_path, {}).data.arrays is None


def test_rows_without_a_label_are_not_learnt_from(tmp_path: Path) -> None:
    settings = load(tmp_path, {"bands": 2})
    assert settings.trainer_settings("").unlabelled == "none"
    assert settings.tuner_settings("").of_trial({}).unlabelled == "none"


@pytest.mark.parametrize(
    ("data", "sections", "told"),
    [
        ({"frames": 3}, {}, "data: frames says how arrays are read; it needs the key bands"),
        ({"invalid": "zero"}, {}, "data: invalid says how arrays are read"),
        ({"bands": 0}, {}, "data.bands"),
        ({"bands": 2, "bits": 12}, {}, "bits: arrays keep all their bits"),
        ({"bands": ["a", "a"]}, {}, "'a' is there twice"),
        ({"bands": 2, "axes": "TBHW"}, {}, "TBHW has moments, so data.frames has to say"),
        ({"bands": 2, "invalid": {"value": "x"}}, {}, "data.invalid"),
        ({"bands": 2, "display": ["band 3"]}, {}, "display: expected one or three of band 1, band 2"),
        ({"bands": 2}, {"training": {"image_size": [8, 8]}}, "training.image_size: does not go with data.bands"),
        ({"bands": 2}, {"training": {"backbone": "convlstm"}}, "convlstm is for sequences; it needs data.frames"),
        (
            {"bands": 2, "frames": 3},
            {"training": {"backbone": "MobileNetV3Small"}},
            "MobileNetV3Small does not take sequences",
        ),
        ({"bands": 2}, {"training": {"weights": "imagenet"}}, "training.weights: does not go with"),
        ({"bands": 2}, {"training": {"freeze_epochs": 2}}, "freeze_epochs"),
        (
            {"bands": 2, "frames": 3},
            {"training": {"backbone": "x.keras"}},
            "expected small, temporal_attention, convlstm",
        ),
        (
            {},
            {"training": {"backbone": "convlstm"}},
            "training.backbone: convlstm is for sequences; it needs data.bands",
        ),
        ({"bands": 2, "unlabelled": "pool"}, {}, "data.unlabelled: is for photos"),
        ({"bands": 2}, {"training": {"synthetic": {"method": "mixup"}}}, "training.synthetic: is for photos"),
        ({"bands": 2}, {"training": {"unlabelled": "consistency"}}, "training.unlabelled: consistency is for photos"),
        ({"bands": 2}, {"evaluation": {"out_of_distribution": "x"}}, "evaluation.out_of_distribution: is for photos"),
        ({"bands": 2}, {"tuning": {"over": {"image_size": [[8, 8]]}}}, "tuning.over.image_size: does not go with"),
        (
            {"bands": 2},
            {"tuning": {"over": {"backbone": ["small", "convlstm"]}}},
            "tuning.over.backbone: convlstm is for sequences",
        ),
    ],
)
def test_what_does_not_go_with_arrays_is_named(
    tmp_path: Path, data: dict[str, Any], sections: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, data, **sections)
    assert told in str(caught.value)
