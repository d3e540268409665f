"""Small images whose labels a network learns, as the stages before the Trainer leave them; and a small backbone."""

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from prepared import Prepared

COUNTS = {"train": (12, 6), "eval": (4, 4), "test": (2, 2)}  # images of dark, of light


@pytest.fixture(scope="session")
def dark_and_light(tmp_path_factory: pytest.TempPathFactory) -> "Prepared":
    """Images of 8 x 8 pixels, of the labels dark and light."""
    from prepared import prepare

    from components.ingest.layouts import folders

    base, random = tmp_path_factory.mktemp("dark_and_light"), np.random.default_rng(0)
    for split, counts in COUNTS.items():
        for label, low, count in zip(("dark", "light"), (0, 150), counts, strict=True):
            (base / "images" / split / label).mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(low, low + 100, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(base / "images" / split / label / f"{i}.png")
    dataset = folders.read(str(base / "images"), {"train": 0.8, "eval": 0.1, "test": 0.1})
    return prepare(base, "single_label", dataset)


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of a convolution with four filters and its batch normalisation, for images of any size."""
    import keras

    keras.utils.set_random_seed(0)
    pixels = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(keras.layers.Rescaling(1 / 255)(pixels))
    path = str(tmp_path_factory.mktemp("backbone") / "backbone.keras")
    keras.Model(pixels, keras.layers.BatchNormalization(name="norm")(x)).save(path)
    return path
