"""Pretrained networks that are at hand."""

import dataclasses
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from components.model.networks import catalogue
from pipeline.init import backbones


def keras_file(path: Path, channels: int = 3, last: str = "Activation") -> None:
    """A file whose description is like that which Keras 3 writes; it holds no weights."""
    layers: list[dict[str, Any]] = [
        {"class_name": "InputLayer", "name": "pixels", "config": {"batch_shape": [None, None, None, channels]}},
        {"class_name": last, "name": "top", "config": {}},
    ]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"layers": layers, "output_layers": ["top", 0, 0]}}))


@pytest.fixture(autouse=True)
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for name in ("VGG16", "EfficientNetV2B0"):  # the files of these tests are empty
        digest = hashlib.sha256(b"").hexdigest()
        monkeypatch.setitem(catalogue.WEIGHTS, name, dataclasses.replace(catalogue.WEIGHTS[name], digest=digest))
    (tmp_path / "keras" / "models").mkdir(parents=True)
    return tmp_path / "keras" / "models"


def test_with_nothing_at_hand_the_built_in_network_is_taken(tmp_path: Path) -> None:
    name, why = backbones.at_hand(str(tmp_path))
    assert name == "small"
    assert "EfficientNetV2B0" in why


def test_weights_that_keras_has_are_taken_the_best_first(tmp_path: Path, keras_home: Path) -> None:
    (keras_home / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5").write_bytes(b"")
    assert backbones.at_hand(str(tmp_path))[0] == "VGG16"
    (keras_home / "efficientnetv2-b0_notop.h5").write_bytes(b"")
    assert backbones.at_hand(str(tmp_path))[0] == "EfficientNetV2B0"


def test_a_network_beside_the_configuration_comes_first(tmp_path: Path, keras_home: Path) -> None:
    (keras_home / "efficientnetv2-b0_notop.h5").write_bytes(b"")
    keras_file(tmp_path / "net.keras")
    keras_file(tmp_path / "other.keras")
    assert backbones.at_hand(str(tmp_path)) == (
        "net.keras",
        "a network without a head, beside this file; also here: other.keras",
    )


def test_a_classifier_and_what_is_no_network_are_left_aside(tmp_path: Path) -> None:
    keras_file(tmp_path / "classifier.keras", last="Dense")
    keras_file(tmp_path / "grey.keras", channels=1)
    (tmp_path / "broken.keras").write_bytes(b"PK")
    (tmp_path / "empty.keras").write_bytes(b"")
    assert backbones.at_hand(str(tmp_path))[0] == "small"


def test_weights_that_are_damaged_are_left_aside(tmp_path: Path, keras_home: Path) -> None:
    (keras_home / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5").write_bytes(b"half")
    assert backbones.at_hand(str(tmp_path))[0] == "small"
