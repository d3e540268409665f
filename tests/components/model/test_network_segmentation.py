"""Segmentation on any backbone: which maps the decoder gets, sizes, sharing of layers, and that it learns."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.base.errors import ConfigError
from components.data.features import IGNORED_ID
from components.labels import kinds
from components.labels.learning import pixels as head
from components.model.networks import augmentation, network, pyramid


def parts(backbone: str = "small", size: tuple[int, int] = (33, 47), **changed: object) -> network.Parts:
    settings: dict = {
        "weights": None,
        "augment": False,
        "seed": 1,
        "classes": 5,
        "kind": kinds.kind("segmentation"),
    } | changed
    return network.build(backbone, image_size=size, **settings)


def sizes(built: network.Parts) -> list[tuple[int, int]]:
    return [tuple(m.shape[1:3]) for m in built.extractor.outputs]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((180, 240), [(90, 120), (45, 60), (23, 30), (12, 15), (6, 8)]),
        ((33, 47), [(17, 24), (9, 12), (5, 6)]),
        ((12, 8), [(6, 4)]),
        ((1, 1), [(1, 1)]),
    ],
    ids=str,
)
def test_the_small_network_segments_images_of_any_size(size: tuple[int, int], expected: list[tuple[int, int]]) -> None:
    built = parts(size=size)
    assert sizes(built) == expected
    logits = built.model(np.zeros((2, *size, 3), np.uint8))
    assert logits.shape == (2, *size, 5)
    assert logits.dtype == "float32"
    assert not built.pretrained


@pytest.mark.parametrize("size", [(33, 47), (12, 8)], ids=["several maps", "one map"])
def test_pooled_features_are_the_means_of_the_coarsest_map(size: tuple[int, int]) -> None:
    built = parts(size=size)
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3)).astype(np.float32)
    maps = built.extractor(images, training=False)
    coarsest = np.asarray(maps[-1] if isinstance(maps, list) else maps, np.float64)
    assert coarsest.shape[1:3] == sizes(built)[-1]
    features = network.pooled(maps)
    assert features.dtype == "float32"
    np.testing.assert_allclose(features, coarsest.mean(axis=(1, 2)), rtol=1e-4, atol=1e-6)


def test_the_last_map_of_each_stride_is_taken() -> None:
    # Before the first pooling there are the input, and two blocks of convolution at full size; then pairs.
    computed = [(32, 32)] * 3 + [(16, 16)] * 3 + [(8, 8)] * 2 + [(1, 1)] + [(8, 8)] * 2 + [(4, 4)]
    assert pyramid.choose(computed, (32, 32)) == [5, 10, 11]


def test_padding_before_a_halving_does_not_count_and_missing_padding_does() -> None:
    assert pyramid.choose([(64, 64), (32, 32), (34, 34), (16, 16), (8, 8)], (64, 64)) == [1, 3, 4]
    # As InceptionV3: nothing is padded, no size is the image's / stride.
    assert pyramid.choose([(90, 120), (88, 118), (43, 58), (41, 56), (20, 27)], (181, 241)) == [1, 3, 4]


def test_maps_of_unknown_size_and_beyond_the_last_are_passed_over() -> None:
    assert pyramid.choose([(32, 32), (None, None), (16, 16), (4, 4), (8, 8)], (32, 32)) == [2, 4]
    assert pyramid.choose([(16, 16), (8, 8), (16, 16), (32, 32)], (32, 32)) == [3]  # it comes back to full size


@pytest.mark.parametrize(
    ("name", "channels"), [("MobileNetV3Small", [16, 72, 96, 288, 576]), ("ResNet50", [64, 256, 512, 1024, 2048])]
)
def test_networks_of_keras_applications_give_a_map_for_each_stride(name: str, channels: list[int]) -> None:
    built = parts(name, (65, 97))
    assert sizes(built) == [(33, 49), (17, 25), (9, 13), (5, 7), (3, 4)]
    assert [m.shape[-1] for m in built.extractor.outputs] == channels
    assert built.model(np.zeros((1, 65, 97, 3), np.uint8)).shape == (1, 65, 97, 5)


def halving(filters: int, name: str) -> keras.layers.Layer:
    return keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu", name=name)


def plain() -> keras.Model:
    """Open input size; an excitation gate beside the maps; strides 2, 4 and 8."""
    images = keras.Input((None, None, 3))
    x = keras.layers.BatchNormalization(name="norm")(images)
    x = halving(4, "two")(x)
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.layers.Multiply(name="gated")([x, gate])
    x = halving(6, "four")(x)
    return keras.Model(images, halving(8, "eight")(x))


def nested() -> keras.Model:
    images = keras.Input((None, None, 3))
    return keras.Model(images, plain()(keras.layers.Rescaling(1 / 255)(images)))


def sequential() -> keras.Model:
    inner = keras.Sequential([keras.Input((None, None, 4)), halving(6, "four"), halving(8, "eight")])
    return keras.Sequential([keras.Input((None, None, 3)), halving(4, "two"), inner])


@pytest.mark.parametrize("make", [plain, nested, sequential])
def test_a_keras_file_may_be_built_in_any_way(make, tmp_path: Path) -> None:
    path = str(tmp_path / "backbone.keras")
    backbone = make()
    backbone.save(path)
    built = parts(path)
    assert built.pretrained
    assert [m.shape[1:] for m in built.extractor.outputs] == [(17, 24, 4), (9, 12, 6), (5, 6, 8)]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 33, 47, 3)).astype(np.float32)
    maps = built.extractor(pixels)
    np.testing.assert_allclose(maps[-1], backbone(pixels), rtol=1e-4, atol=1e-5)
    assert built.extractor.count_params() == backbone.count_params()  # layers are used, not copied


def test_a_skip_is_the_output_of_its_layer(tmp_path: Path) -> None:
    backbone = plain()
    backbone.save(tmp_path / "backbone.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 33, 47, 3)).astype(np.float32)
    maps = parts(str(tmp_path / "backbone.keras")).extractor(pixels)
    for layer, skip in zip(("gated", "four", "eight"), maps, strict=True):
        expected = keras.Model(backbone.inputs, backbone.get_layer(layer).output)(pixels)
        np.testing.assert_allclose(skip, expected, rtol=1e-4, atol=1e-5)


def test_batch_statistics_of_a_pretrained_backbone_stay(tmp_path: Path) -> None:
    plain().save(tmp_path / "backbone.keras")
    built = parts(str(tmp_path / "backbone.keras"))
    before = [v.numpy() for v in built.extractor.non_trainable_variables]
    built.model(np.full((2, 33, 47, 3), 200, np.uint8), training=True)
    assert len(before) == 2
    for old, new in zip(before, built.extractor.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    assert len(built.extractor.trainable_variables) == 8


def test_a_size_that_a_network_cannot_take_is_a_configuration_error(tmp_path: Path) -> None:
    images = keras.Input((64, 64, 3))
    keras.Model(images, halving(4, "two")(images)).save(tmp_path / "backbone.keras")
    with pytest.raises(ConfigError, match=r"training\.image_size: .* cannot take images of \[33, 47\]"):
        parts(str(tmp_path / "backbone.keras"))


def test_the_three_forms_share_their_layers_and_can_be_served(tmp_path: Path) -> None:
    built = parts(size=(32, 40))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 40, 3), np.uint8)
    whole = built.model(pixels, training=False).numpy()

    class Served(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.extractor, self.head = built.extractor, built.head

        @tf.function(input_signature=[tf.TensorSpec([None, 32, 40, 3], tf.uint8)])
        def logits(self, images: tf.Tensor) -> tf.Tensor:
            return self.head(self.extractor(tf.cast(images, tf.float32), training=False), training=False)

    tf.saved_model.save(Served(), str(tmp_path))
    served = tf.saved_model.load(str(tmp_path))
    np.testing.assert_allclose(served.logits(pixels), whole, rtol=1e-4, atol=1e-5)


def test_augmentation_happens_in_tf_data_and_not_in_the_network() -> None:
    built = parts(augment=True)
    assert built.augment is augmentation.pairs
    assert parts().augment is None
    pixels = np.random.default_rng(0).integers(0, 256, (2, 33, 47, 3), np.uint8)
    assert all(layer.name != "augmentation" for layer in built.model.layers)
    assert built.model(pixels, training=True).shape == (2, 33, 47, 5)


def test_logits_are_float32_in_mixed_precision() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        built = parts()
    finally:
        keras.config.set_dtype_policy("float32")
    assert {m.dtype for m in built.extractor.outputs} == {"bfloat16"}
    logits = built.model(np.zeros((1, 33, 47, 3), np.uint8))
    assert logits.dtype == "float32"
    assert built.head.input[0].dtype == "bfloat16"


@pytest.mark.parametrize("jit", [False, True])
def test_a_step_of_training_changes_the_weights(jit: bool) -> None:
    built = parts(size=(16, 24))
    built.model.compile("adam", loss=head.loss(), metrics=head.metrics(5), jit_compile=jit)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), np.uint8)
    target = np.random.default_rng(1).integers(0, 5, (2, 16, 24)).astype(np.uint8)
    logs = built.model.train_on_batch(pixels, target, return_dict=True)
    assert set(logs) == {"loss", "pixel_accuracy", "mean_iou"}
    assert np.isfinite(logs["loss"])


def test_the_network_learns_a_square_on_a_background() -> None:
    keras.utils.set_random_seed(1)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 100, (32, 32, 32, 3)).astype(np.uint8)
    target = np.zeros((32, 32, 32), np.uint8)
    for i, (y, x) in enumerate(random.integers(0, 20, (32, 2))):
        pixels[i, y : y + 12, x : x + 12] += 120
        target[i, y : y + 12, x : x + 12] = 1
    target[:, :2] = IGNORED_ID
    built = parts(size=(32, 32), classes=2, augment=True)
    built.model.compile(keras.optimizers.Adam(3e-3), loss=head.loss(), metrics=head.metrics(2))
    data = tf.data.Dataset.from_tensor_slices((pixels, target)).batch(8)
    seeds = tf.data.Dataset.random(1, rerandomize_each_iteration=True).batch(2)
    train = tf.data.Dataset.zip(data, seeds).map(lambda pair, seed: built.augment(*pair, seed))
    built.model.fit(train, epochs=12, verbose=0)
    assert built.model.evaluate(data, verbose=0, return_dict=True)["mean_iou"] > 0.9


def test_a_positive_label_is_not_for_segmentation() -> None:
    with pytest.raises(ConfigError, match=r"labels\.positive"):
        parts(classes=2, positive=1)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_the_other_tasks_average_each_channel_over_the_image(task: str, tmp_path: Path) -> None:
    images = keras.Input((None, None, 3))
    keras.Model(images, keras.layers.Rescaling(2.0)(images)).save(tmp_path / "doubling.keras")
    built = parts(str(tmp_path / "doubling.keras"), (2, 2), kind=kinds.kind(task))
    pixels = np.zeros((1, 2, 2, 3), np.uint8)
    pixels[0, :, :, 0] = [[0, 10], [20, 90]]
    pixels[0, :, :, 2] = 7
    # Twice the mean of each channel: 2 * (0 + 10 + 20 + 90) / 4, 0 and 2 * 7. The maximum would be 180.
    np.testing.assert_allclose(built.extractor(pixels.astype(np.float32)), [[60, 0, 14]])
    assert built.model(pixels).shape == (1, 5)


def test_a_backbone_that_never_halves_its_maps_has_a_single_one(tmp_path: Path) -> None:
    pixels = keras.Input((None, None, 3))
    keras.Model(pixels, keras.layers.Conv2D(4, 3, padding="same")(pixels)).save(tmp_path / "flat.keras")
    built = parts(str(tmp_path / "flat.keras"), (8, 10))
    assert [m.shape for m in built.extractor.outputs] == [(None, 8, 10, 4)]
    assert built.model.output_shape == (None, 8, 10, 5)
