"""The exported model answers as the contract says, with the pixels that training saw."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components import images, model, serving
from components.features import IGNORED_ID, IMAGE, MASK

LABELS = ["zebra", "ant", "red|fox ü"]  # not sorted: the order is the model's
SIZE = (10, 14)
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 28, 3), np.uint8)


def encoded(format_: str, pixels: np.ndarray = PIXELS) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format_)
    return out.getvalue()


def example(image: bytes, mask: bytes | None = None) -> bytes:
    values = {IMAGE: image} | ({} if mask is None else {MASK: mask})
    feature = {k: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for k, v in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


@pytest.fixture(scope="module")
def parts() -> model.Parts:
    return model.build("small", weights=None, image_size=SIZE, classes=3, augment=True, seed=1)


@pytest.fixture(scope="module")
def loaded(parts: model.Parts, tmp_path_factory: pytest.TempPathFactory):
    folder = str(tmp_path_factory.mktemp("model"))
    serving.export(parts, LABELS, SIZE, "single_label", folder)
    return tf.saved_model.load(folder)


@pytest.fixture(scope="module")
def serve(loaded):
    return loaded.signatures["serving_default"]


def test_the_signatures_are_the_contract_s(loaded) -> None:
    answered = {
        "labels": tf.TensorSpec([None, None], tf.string, "labels"),
        "probabilities": tf.TensorSpec([None, 3], tf.float32, "probabilities"),
        "logits": tf.TensorSpec([None, 3], tf.float32, "logits"),
    }
    for name, told in (("serving_default", "image_bytes"), ("examples", "examples")):
        signature = loaded.signatures[name]
        assert signature.structured_input_signature == ((), {told: tf.TensorSpec([None], tf.string, told)})
        found = signature.structured_outputs
        assert {key: spec.dtype for key, spec in found.items()} == {key: spec.dtype for key, spec in answered.items()}
        assert all(spec.shape.is_compatible_with(answered[key].shape) for key, spec in found.items())
    assert sorted(loaded.signatures) == ["evaluate", "examples", "serving_default"]


@pytest.mark.parametrize("n", [1, 2, 40])
def test_a_batch_gets_a_row_each(serve, n: int) -> None:
    answer = serve(image_bytes=tf.constant([encoded("PNG")] * n))
    assert answer["labels"].shape == answer["probabilities"].shape == answer["logits"].shape == (n, 3)
    assert answer["labels"].numpy().tolist() == [[label.encode() for label in LABELS]] * n
    np.testing.assert_allclose(answer["probabilities"].numpy().sum(axis=1), 1, rtol=1e-6)


def test_probabilities_are_the_softmax_of_the_logits(serve) -> None:
    random = np.random.default_rng(1)
    pngs = [encoded("PNG", random.integers(0, 256, (9, 9, 3), np.uint8)) for _ in range(5)]
    answer = serve(image_bytes=tf.constant(pngs))
    logits = answer["logits"].numpy().astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answer["probabilities"], expected, rtol=1e-5)
    assert len(np.unique(logits[:, 0])) == 5


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_every_format_is_decoded_as_in_training(serve, parts: model.Parts, format_: str) -> None:
    data = encoded(format_)
    pixels = images.decode(tf.constant(data), SIZE)[tf.newaxis]
    expected = parts.model(pixels, training=False)
    np.testing.assert_allclose(serve(image_bytes=tf.constant([data]))["logits"], expected, rtol=1e-5, atol=1e-6)


def test_formats_can_be_mixed_and_rows_keep_their_order(serve) -> None:
    data = [encoded("PNG"), encoded("BMP", 255 - PIXELS), encoded("WEBP"), encoded("PNG")]
    together = serve(image_bytes=tf.constant(data))["logits"].numpy()
    apart = [serve(image_bytes=tf.constant([d]))["logits"].numpy()[0] for d in data]
    np.testing.assert_allclose(together, apart, rtol=1e-5, atol=1e-6)
    assert not np.allclose(together[0], together[1])


def test_examples_answers_as_serving_default(loaded, serve) -> None:
    data = [encoded("PNG"), encoded("JPEG")]
    by_image = serve(image_bytes=tf.constant(data))
    by_example = loaded.signatures["examples"](examples=tf.constant([example(d) for d in data]))
    assert sorted(by_image) == sorted(by_example)
    for name, value in by_image.items():
        np.testing.assert_array_equal(value, by_example[name], err_msg=name)


def test_evaluate_gives_the_same_probabilities(loaded, serve) -> None:
    data = [encoded("PNG"), encoded("JPEG")]
    evaluated = loaded.signatures["evaluate"](examples=tf.constant([example(d) for d in data]))
    assert sorted(evaluated) == ["probabilities"]
    np.testing.assert_array_equal(evaluated["probabilities"], serve(image_bytes=tf.constant(data))["probabilities"])


@pytest.mark.parametrize("data", [b"", b"no image", encoded("PNG")[:60], encoded("JPEG")[:200]], ids=repr)
def test_what_is_no_image_is_an_error(serve, data: bytes) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        serve(image_bytes=tf.constant([encoded("PNG"), data]))


@pytest.mark.parametrize("data", [b"garbage", tf.train.Example().SerializeToString()], ids=["garbage", "no image"])
def test_what_is_no_example_is_an_error(loaded, data: bytes) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        loaded.signatures["examples"](examples=tf.constant([data]))


def test_the_same_image_gets_the_same_answer(serve) -> None:
    """Dropout and augmentation are for training only."""
    data = tf.constant([encoded("PNG")])
    np.testing.assert_array_equal(serve(image_bytes=data)["logits"], serve(image_bytes=data)["logits"])


def test_no_python_hides_in_the_graph(serve) -> None:
    graph = serve.graph.as_graph_def()
    operations = {node.op for node in graph.node} | {n.op for f in graph.library.function for n in f.node_def}
    assert not {op for op in operations if "PyFunc" in op}
    assert "DecodePng" in operations  # the nested functions were looked at, too


# Several labels.


def test_probabilities_of_several_labels_are_the_sigmoids_of_the_logits(tmp_path) -> None:
    parts = model.build("small", weights=None, image_size=SIZE, classes=3, augment=False, seed=1, task="multi_label")
    serving.export(parts, LABELS, SIZE, "multi_label", str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    data = [encoded("PNG"), encoded("PNG", 255 - PIXELS)]
    answer = loaded.signatures["serving_default"](image_bytes=tf.constant(data))
    assert sorted(answer) == ["labels", "logits", "probabilities"]
    logits = answer["logits"].numpy().astype(np.float64)
    np.testing.assert_allclose(answer["probabilities"], 1 / (1 + np.exp(-logits)), rtol=1e-5)
    assert (abs(answer["probabilities"].numpy().sum(axis=1) - 1) > 0.01).all()
    assert answer["labels"].numpy().tolist() == [[label.encode() for label in LABELS]] * 2
    evaluated = loaded.signatures["evaluate"](examples=tf.constant([example(d) for d in data]))
    np.testing.assert_allclose(evaluated["probabilities"], answer["probabilities"], rtol=1e-6)


# Masks.

# A truth of 21 x 12 pixels for an image that the model sees with 10 x 14: ids 0 to 2, some ignored.
TRUTH = np.random.default_rng(2).choice(np.array([0, 1, 2, IGNORED_ID], np.uint8), (21, 12), p=[0.4, 0.3, 0.2, 0.1])


@pytest.fixture(scope="module")
def mask_parts() -> model.Parts:
    keras.utils.set_random_seed(5)
    parts = model.build("small", weights=None, image_size=SIZE, classes=3, augment=True, seed=1, task="segmentation")
    for weight in parts.head.trainable_weights:  # an untrained head would say the same of every pixel
        if weight.path.endswith("logits/kernel"):
            weight.assign(weight * 20)
    return parts


@pytest.fixture(scope="module")
def masks(mask_parts: model.Parts, tmp_path_factory: pytest.TempPathFactory):
    folder = str(tmp_path_factory.mktemp("masks"))
    serving.export(mask_parts, LABELS, SIZE, "segmentation", folder)
    return tf.saved_model.load(folder)


def mask_logits(parts: model.Parts, data: list[bytes]) -> np.ndarray:
    """float64 [batch, H, W, K], by way of the network that was exported."""
    pixels = tf.stack([images.decode(tf.constant(d), SIZE) for d in data])
    return np.asarray(parts.model(pixels, training=False), np.float64)


def test_the_mask_signatures_are_the_contract_s(masks) -> None:
    answered = {"mask": ([None, *SIZE], tf.uint8), "labels": ([3], tf.string)}
    for name, told in (("serving_default", "image_bytes"), ("examples", "examples")):
        signature = masks.signatures[name]
        assert signature.structured_input_signature == ((), {told: tf.TensorSpec([None], tf.string, told)})
        found = {k: (spec.shape.as_list(), spec.dtype) for k, spec in signature.structured_outputs.items()}
        assert found == answered


def test_a_mask_is_the_label_of_the_largest_logit_of_each_pixel(masks, mask_parts: model.Parts) -> None:
    data = [encoded("PNG"), encoded("JPEG", 255 - PIXELS), encoded("BMP")]
    answer = masks.signatures["serving_default"](image_bytes=tf.constant(data))
    expected = mask_logits(mask_parts, data).argmax(axis=-1)
    np.testing.assert_array_equal(answer["mask"], expected)
    assert len(np.unique(expected)) > 1
    assert answer["labels"].numpy().tolist() == [label.encode() for label in LABELS]
    by_example = masks.signatures["examples"](examples=tf.constant([example(d) for d in data]))
    np.testing.assert_array_equal(by_example["mask"], expected)


def nearest(mask: np.ndarray) -> np.ndarray:
    """Of the model's size: output pixel i lies at (i + 0.5) * scale of the mask."""
    rows = ((np.arange(SIZE[0]) + 0.5) * mask.shape[0] / SIZE[0]).astype(int)
    columns = ((np.arange(SIZE[1]) + 0.5) * mask.shape[1] / SIZE[1]).astype(int)
    return mask[np.ix_(rows, columns)]


def test_confusion_counts_pixels_by_truth_and_answer_as_numpy_does(masks, mask_parts: model.Parts) -> None:
    truths = [TRUTH, TRUTH[::-1], np.full_like(TRUTH, IGNORED_ID), np.zeros_like(TRUTH)]
    data = [encoded("PNG"), encoded("JPEG", 255 - PIXELS), encoded("PNG"), encoded("PNG")]
    serialised = [example(d, encoded("PNG", t)) for d, t in zip(data, truths, strict=True)]
    found = masks.signatures["evaluate"](examples=tf.constant(serialised))
    assert sorted(found) == ["confusion"]
    expected = np.zeros((4, 3, 3))
    for i, answer in enumerate(mask_logits(mask_parts, data).argmax(axis=-1)):
        for truth, said in zip(nearest(truths[i]).ravel(), answer.ravel(), strict=True):
            if truth != IGNORED_ID:
                expected[i, truth, said] += 1
    np.testing.assert_array_equal(found["confusion"], expected)
    assert expected[2].sum() == 0
    assert expected[3].sum() == 140  # 10 x 14
    assert np.count_nonzero(expected[0]) > 3


def test_an_answer_that_is_no_number_counts_as_none(mask_parts: model.Parts, tmp_path) -> None:
    parts = model.build("small", weights=None, image_size=SIZE, classes=3, augment=False, seed=1, task="segmentation")
    for weight in parts.head.trainable_weights:
        if weight.path.endswith("logits/bias"):
            weight.assign([0.0, float("nan"), 0.0])  # of one label only
    serving.export(parts, LABELS, SIZE, "segmentation", str(tmp_path))
    evaluate = tf.saved_model.load(str(tmp_path)).signatures["evaluate"]
    found = evaluate(examples=tf.constant([example(encoded("PNG"), encoded("PNG", TRUTH))]))["confusion"]
    assert np.isnan(found).all()


def test_a_mask_that_is_no_id_mask_is_an_error(masks) -> None:
    for broken in (encoded("PNG", PIXELS), b"", encoded("PNG", TRUTH)[:40]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            masks.signatures["evaluate"](examples=tf.constant([example(encoded("PNG"), broken)]))
