"""The network's shapes, forms and errors."""

from pathlib import Path

import keras
import numpy as np
import pytest

from components.base.errors import ConfigError
from components.labels import single
from components.model.networks import network


def parts(
    backbone: str = "small", size: tuple[int, int] = (12, 8), classes: int = 3, **changed: object
) -> network.Parts:
    settings: dict = {"weights": None, "augment": False, "seed": 1, "kind": single.KIND} | changed
    return network.build(backbone, image_size=size, classes=classes, **settings)


@pytest.mark.parametrize("size", [(8, 8), (12, 8), (32, 48), (96, 128)], ids=str)
@pytest.mark.parametrize("classes", [2, 7])
def test_the_small_network_has_one_logit_per_label(size: tuple[int, int], classes: int) -> None:
    built = parts(size=size, classes=classes)
    pixels = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    logits = built.model(pixels)
    assert logits.shape == (2, classes)
    assert logits.dtype == "float32"
    assert built.head.output_shape == (None, classes)
    assert built.head.get_layer("logits").get_config()["activation"] == "linear"
    assert not built.pretrained


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)], ids=str)
def test_the_small_network_takes_any_size(size: tuple[int, int]) -> None:
    assert parts(size=size).model(np.zeros((1, *size, 3), np.uint8)).shape == (1, 3)


def test_the_three_forms_share_their_layers() -> None:
    built = parts()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 12, 8, 3), np.uint8)
    whole = built.model(pixels, training=False)
    apart = built.head(built.extractor(pixels.astype(np.float32), training=False), training=False)
    np.testing.assert_array_equal(whole, apart)
    built.head.get_layer("logits").bias.assign([5.0, 0.0, 0.0])
    np.testing.assert_allclose(built.model(pixels, training=False) - whole, [[5, 0, 0]] * 4, atol=1e-5)


def test_augmentation_changes_what_training_sees_and_nothing_else() -> None:
    built, plain = parts(size=(32, 32), augment=True), parts(size=(32, 32))
    plain.extractor.set_weights(built.extractor.get_weights())
    plain.head.set_weights(built.head.get_weights())
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    answer = built.model(pixels, training=False)
    np.testing.assert_array_equal(answer, plain.model(pixels, training=False))
    augmentation = built.model.get_layer("augmentation")
    seen = augmentation(pixels.astype(np.float32), training=True)
    assert seen.shape == pixels.shape
    assert np.abs(seen - pixels).mean() > 1
    assert 0 <= np.min(seen) <= np.max(seen) <= 255


def test_a_network_of_keras_applications_without_normalisation_of_its_own_gets_its_family_s() -> None:
    built = parts("ResNet50", (32, 32))
    assert built.extractor.output_shape == (None, 2048)
    assert not built.pretrained
    # ResNet50's preprocess_input: RGB -> BGR, minus ImageNet's means. Its first layer sees that.
    backbone = next(layer for layer in built.extractor.layers if isinstance(layer, keras.Model))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.float32)
    by_hand = backbone(pixels[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32), training=False)
    expected = np.mean(by_hand, axis=(1, 2))
    np.testing.assert_allclose(built.extractor(pixels, training=False), expected, rtol=1e-4, atol=1e-5)


def test_a_network_of_keras_applications_with_normalisation_inside_gets_raw_pixels() -> None:
    built = parts("MobileNetV3Small", (32, 32))
    backbone = next(layer for layer in built.extractor.layers if isinstance(layer, keras.Model))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.float32)
    expected = np.mean(backbone(pixels, training=False), axis=(1, 2))
    np.testing.assert_allclose(built.extractor(pixels, training=False), expected, rtol=1e-4, atol=1e-5)
    assert built.model(pixels.astype(np.uint8)).shape == (1, 3)


@pytest.fixture
def saved(tmp_path: Path):
    """Saves a tiny .keras network; `out` makes its output from its input."""

    def save(out, shape: tuple[int | None, ...] = (None, None, 3)) -> str:
        images = keras.Input(shape)
        path = str(tmp_path / "backbone.keras")
        keras.Model(images, out(images)).save(path)
        return path

    return save


def test_a_keras_file_is_a_pretrained_backbone(saved) -> None:
    path = saved(keras.layers.Conv2D(5, 3, padding="same", name="only"))
    built = parts(path)
    assert built.pretrained
    assert built.extractor.output_shape == (None, 5)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 12, 8, 3)).astype(np.float32)
    expected = np.mean(keras.saving.load_model(path)(pixels), axis=(1, 2))
    np.testing.assert_allclose(built.extractor(pixels), expected, rtol=1e-4)


def test_batch_statistics_of_a_pretrained_backbone_stay_while_its_weights_learn(saved) -> None:
    built = parts(saved(keras.layers.BatchNormalization(name="norm")))
    pixels = np.full((4, 12, 8, 3), 200, np.uint8)
    before = [v.numpy() for v in built.extractor.non_trainable_variables]
    built.model(pixels, training=True)
    assert len(before) == 2  # moving mean and variance
    for old, new in zip(before, built.extractor.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    assert len(built.extractor.trainable_variables) == 2  # gamma and beta


@pytest.mark.parametrize(
    ("out", "shape"),
    [
        (keras.layers.GlobalAveragePooling2D(), (None, None, 3)),
        (keras.layers.Conv2D(2, 1), (None, None, 1)),
        (lambda x: [keras.layers.Conv2D(2, 1)(x), x], (None, None, 3)),
    ],
    ids=["no maps", "grey images", "two outputs"],
)
def test_a_keras_file_of_other_shapes_is_a_configuration_error(saved, out, shape) -> None:
    with pytest.raises(
        ConfigError, match=r"training\.backbone: .*backbone\.keras maps .*; expected a network that maps RGB images"
    ):
        parts(saved(out, shape))


def test_a_file_that_is_not_a_keras_model_is_a_configuration_error(tmp_path: Path) -> None:
    path = tmp_path / "backbone.keras"
    path.write_bytes(b"no archive")
    with pytest.raises(ConfigError, match=r"training\.backbone: .*backbone\.keras cannot be loaded"):
        parts(str(path))


def test_a_keras_file_with_code_inside_is_not_run(saved) -> None:
    path = saved(keras.layers.Lambda(lambda x: x * 2))
    with pytest.raises(ConfigError, match="cannot be loaded"):
        parts(path)


@pytest.mark.parametrize("name", ["ResNet5O", "mobilenet", "__doc__"])
def test_an_unknown_name_is_a_configuration_error_that_lists_the_known(name: str) -> None:
    with pytest.raises(ConfigError, match=r"training\.backbone: .*which has .*MobileNetV3Small.*ResNet50"):
        parts(name)


def test_a_size_that_a_network_cannot_take_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"training\.backbone: ResNet50 with weights None cannot be built"):
        parts("ResNet50", (8, 8))


@pytest.mark.parametrize(
    ("out", "shape"),
    [(keras.layers.Conv2D(2, 1), (64, 64, 3)), (keras.layers.Conv2D(2, 11), (None, None, 3))],
    ids=["of one size", "without padding, 12 x 8 pixels are too few"],
)
def test_a_keras_file_that_cannot_take_the_image_size_is_a_configuration_error(saved, out, shape) -> None:
    with pytest.raises(ConfigError, match=r"training\.image_size: .*backbone\.keras cannot take images of \[12, 8\]"):
        parts(saved(out, shape))


def test_a_single_label_leaves_nothing_to_learn_and_features_to_compare() -> None:
    parts = network.build("small", weights=None, image_size=(8, 8), classes=1, augment=False, seed=1, kind=single.KIND)
    assert not parts.head.weights
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    assert np.asarray(parts.model(images)).tolist() == [[0]] * 3
    features = parts.extractor(images.astype(np.float32))
    assert network.pooled(features) is features
    assert features.shape[0] == 3
