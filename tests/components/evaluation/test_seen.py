"""What the shards say of the images: in the order of the predictions, whatever their own order is."""

import io
from typing import Any

import keras
import numpy as np
import pytest
from answered import ingested
from PIL import Image

from components.data import images, properties
from components.evaluation.groups import seen
from components.evaluation.predictions import identity
from components.model.features.settings import FeatureSettings

SIZE = (8, 8)


def png(level: int) -> bytes:
    """Noise around a level, 12 x 8 pixels."""
    random = np.random.default_rng(level)
    out = io.BytesIO()
    Image.fromarray(random.integers(level, level + 50, (8, 12, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


FILES = {
    f"{split}/{label}/{i}.png": png(20 * i + 100 * (label == "dog") + 5 * (split == "test"))
    for split in ("train", "test")
    for label in ("cat", "dog")
    for i in range(4)
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    return ingested(tmp_path_factory.mktemp("seen"), FILES)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> FeatureSettings:
    folder = tmp_path_factory.mktemp("backbone")
    keras.utils.set_random_seed(3)
    inputs = keras.Input((None, None, 3))
    keras.Model(inputs, keras.layers.Conv2D(6, 3, strides=2)(inputs / 255.0)).save(folder / "backbone.keras")
    return FeatureSettings(
        backbone=str(folder / "backbone.keras"),
        weights="imagenet",
        image_size=SIZE,
        mixed_precision=False,
        folder=str(folder / "features"),
    )


def predicted(shards: str) -> list[Any]:
    """Rows for the images of the test split, sorted by path."""
    found = sorted(identity(record) for record in seen._records(shards, "test"))
    return [{"path": path, "sha256": sha256} for path, sha256 in found]


def direct(settings: FeatureSettings, paths: list[str]) -> np.ndarray:
    """The mean over the pixels of the network's map, by the network itself."""
    whole = keras.models.load_model(settings.backbone)
    pixels = np.stack([images.decode(FILES[path], SIZE).numpy() for path in paths]).astype(np.float32)
    return np.asarray(whole(pixels)).mean(axis=(1, 2))


def test_properties_are_those_that_ingest_measures(shards: str) -> None:
    rows = predicted(shards)
    found = seen.look(shards, rows, None)
    assert found.features is None
    assert sorted(found.properties) == sorted(properties.NAMES)
    for i, row in enumerate(rows):
        expected = images.check(FILES[row["path"]], 1_000).properties
        assert [found.properties[name][i] for name in properties.NAMES] == pytest.approx(expected)


def test_features_are_those_of_the_network_in_the_order_of_the_predictions(
    shards: str, settings: FeatureSettings
) -> None:
    rows = predicted(shards)[::-1]
    found = seen.look(shards, rows, settings)
    assert found.features is not None
    np.testing.assert_allclose(found.features, direct(settings, [row["path"] for row in rows]), atol=1e-5)


def test_neighbours_are_the_images_of_train_with_their_labels(shards: str, settings: FeatureSettings) -> None:
    found = seen.neighbours(shards, ["cat", "dog"], settings)
    paths = [identity(record)[0] for record in seen._records(shards, "train")]
    assert found.applies.tolist() == [["/cat/" in path, "/dog/" in path] for path in paths]
    np.testing.assert_allclose(found.features, direct(settings, paths), atol=1e-5)


def test_what_is_no_image_has_no_properties() -> None:
    assert np.isnan(seen._properties(b"no image")).all()
