"""Networks of the user's own: what is taken, and one sentence for each fault."""

from pathlib import Path

import keras
import numpy as np
import pytest

from components.base.errors import ConfigError, OwnCodeError
from components.labels import kinds
from components.model.networks import network, own

REQUEST = own.Request((8, 12), ("cat", "dog"), "single_label", 3)
MAPS = """
import keras
def build(settings):
    images = keras.Input((*settings.image_size, 3))
    return keras.Model(images, {})
"""


def built(tmp_path: Path, text: str, *, maps: bool = False) -> keras.Model:
    (tmp_path / "net.py").write_text(text)
    return own.build(str(tmp_path / "net.py"), REQUEST, maps=maps)


def test_the_function_is_told_what_it_needs(tmp_path: Path) -> None:
    text = MAPS.format("keras.layers.Conv2D(len(settings.labels), 3)(images), name=f'{settings.task}_{settings.seed}'")
    found = built(tmp_path, text)
    assert found.output_shape == (None, 6, 10, 2)
    assert found.name == "single_label_3"


@pytest.mark.parametrize("output", ["Conv2D(5, 3)(images)", "Dense(5)(keras.layers.Flatten()(images))"])
@pytest.mark.parametrize(("weights", "pretrained"), [("module", True), ("imagenet", False), (None, False)])
def test_maps_and_pooled_features_get_a_head(
    tmp_path: Path, output: str, weights: str | None, pretrained: bool
) -> None:
    found = built(tmp_path, MAPS.format(f"keras.layers.{output}"))
    kind = kinds.kind("single_label")
    parts = network.build(found, weights=weights, image_size=(8, 12), classes=2, augment=False, seed=1, kind=kind)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 12, 3), np.uint8)
    assert parts.extractor.output_shape == (None, 5)
    assert parts.model(pixels).shape == (2, 2)
    assert parts.pretrained == pretrained
    expected = np.asarray(found(pixels.astype(np.float32))).reshape(2, -1, 5).mean(axis=1)
    np.testing.assert_allclose(parts.extractor(pixels.astype(np.float32)), expected, rtol=1e-4)


def test_trying_a_network_does_not_change_it(tmp_path: Path) -> None:
    found = built(tmp_path, MAPS.format("keras.layers.BatchNormalization(name='norm')(images)"))
    assert np.asarray(found.get_layer("norm").moving_mean).tolist() == [0, 0, 0]


def subclass(call: str, made: str = "self.dense = keras.layers.Dense(2)") -> str:
    return f"""
import keras
class Net(keras.Model):
    def __init__(self):
        super().__init__()
        {made}
    def call(self, x):
        {call}
def build(settings):
    return Net()
"""


BROKEN = "import keras\n\ndef build(settings):\n    return settings.labels[7]\n"
FAULTS = {
    "no Python": ("def build(:", r"net\.py: it cannot be run: SyntaxError"),
    "breaks at once": (
        "import keras\n1 / 0\n",
        r"net\.py, line 2: it cannot be run: ZeroDivisionError: division by zero",
    ),
    "exits": ("raise SystemExit(3)", r"net\.py, line 1: it cannot be run: SystemExit: 3"),
    "a file beside it": ("import beside_it", r"net\.py, line 1: it cannot be run: ModuleNotFoundError: .*'beside_it'"),
    "no function": ("def make(settings): ...", r"net\.py has no function build\(settings\)"),
    "breaks": (BROKEN, r"net\.py, line 4: build broke: IndexError: tuple index out of range"),
    "no model": ("def build(settings): return 3", "is of the type int; expected a keras.Model"),
    "breaks on images": (
        subclass("return self.dense(x) + undefined"),
        r"net\.py, line 8: the network does not take images float32 \[3, 8, 12, 3\]: NameError: ",
    ),
    "other images": (
        MAPS.format("keras.layers.Conv2D(2, 3)(images)").replace("(*settings.image_size, 3)", "(8, 8, 1)"),
        r"net\.py: the network does not take images float32 \[3, 8, 12, 3\]: ",
    ),
    "two outputs": (
        subclass("return x, x"),
        "answers 3 images with the type tuple; expected feature maps .* or pooled ",
    ),
    "one number": (subclass("return keras.ops.sum(x)"), r"answers 3 images with the shape \[\]; expected "),
    "no batch": (subclass("return keras.ops.sum(x, axis=0)"), r"answers 3 images with the shape \[8, 12, 3\]"),
    "whole numbers": (
        subclass("return keras.ops.cast(x, 'int32')"),
        "numbers of the type int32; expected floating point",
    ),
    "NaN": (subclass("return self.dense(x) / 0"), "answers random images with infinite numbers or NaN"),
    "NaN while training": (
        subclass("return self.dense(x) / (0 if training else 1)").replace("(self, x)", "(self, x, training=False)"),
        "answers random images with infinite numbers or NaN",
    ),
    "other images of the batch": (
        subclass("return self.dense(x - keras.ops.mean(x, axis=0))"),
        "answers an image differently when other images are in its batch",
    ),
    "unused weights": (
        subclass(
            "return self.dense(x)", "self.dense = keras.layers.Dense(2); self.idle = self.add_weight(name='idle')"
        ),
        "has trainable weights that its output does not depend on: .*idle; remove them",
    ),
}


@pytest.mark.parametrize(("text", "message"), FAULTS.values(), ids=list(FAULTS))
def test_each_fault_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^training\.module: .*{message}") as error:
        built(tmp_path, text)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


def test_only_code_that_broke_has_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OwnCodeError):
        built(tmp_path, BROKEN)
    assert f'File "{tmp_path}/net.py", line 4, in build' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MAPS.format("keras.layers.Flatten()(images)"), r"with the shape \[3, 288\]; expected feature maps"),
        (subclass("return self.dense(x)"), r"shows no layers; for masks, expected a functional one"),
    ],
)
def test_masks_need_maps_that_can_be_found(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        built(tmp_path, text, maps=True)


def test_a_decoder_finds_the_maps(tmp_path: Path) -> None:
    found = built(
        tmp_path,
        MAPS.format("keras.layers.Conv2D(4, 3, 2, 'same')(keras.layers.Conv2D(4, 3, 2, 'same')(images))"),
        maps=True,
    )
    kind = kinds.kind("segmentation")
    parts = network.build(found, weights=None, image_size=(8, 12), classes=3, augment=False, seed=1, kind=kind)
    assert parts.model(np.zeros((2, 8, 12, 3), np.uint8)).shape == (2, 8, 12, 3)
