"""The exported model answers as the contract says, with the pixels that training saw."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components import images, model, serving
from components.features import IMAGE

LABELS = ["zebra", "ant", "red|fox ü"]  # not sorted: the order is the model's
SIZE = (10, 14)
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 28, 3), np.uint8)


def encoded(format_: str, pixels: np.ndarray = PIXELS) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format_)
    return out.getvalue()


def example(image: bytes) -> bytes:
    value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))
    return tf.train.Example(features=tf.train.Features(feature={IMAGE: value})).SerializeToString()


@pytest.fixture(scope="module")
def parts() -> model.Parts:
    return model.build("small", weights=None, image_size=SIZE, classes=3, augment=True, seed=1)


@pytest.fixture(scope="module")
def loaded(parts: model.Parts, tmp_path_factory: pytest.TempPathFactory):
    folder = str(tmp_path_factory.mktemp("model"))
    serving.export(parts, LABELS, SIZE, folder)
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
