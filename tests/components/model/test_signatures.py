"""The exported model answers as the contract says, with the pixels that training saw."""

import dataclasses
import io
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.base.artifact_files import DECISIONS_FILE
from components.data import images
from components.data.features import IGNORED_ID, IMAGE, MASK
from components.data.untrusted import rows
from components.labels import kinds
from components.metrics import curves
from components.model import decisions, familiarity, identity, signatures
from components.model.networks import network
from components.push import versions

SINGLE, MULTI, MASKS = kinds.KINDS.values()

LABELS = ["zebra", "ant", "red|fox ü"]  # not sorted: the order is the model's
SIZE = (10, 14)
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 28, 3), np.uint8)
RED = np.full((9, 9, 3), (255, 0, 0), np.uint8)  # like none of `photos`


def encoded(format_: str, pixels: np.ndarray = PIXELS) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format_)
    return out.getvalue()


def photos(n: int, seed: int) -> list[bytes]:
    """Noise, each of its own brightness and contrast, so that their features differ."""
    random = np.random.default_rng(seed)
    lows, highs = random.integers(0, 128, (n, 3)), random.integers(128, 256, (n, 3))
    return [encoded("PNG", random.integers(*each, (9, 9, 3), np.uint8)) for each in zip(lows, highs, strict=True)]


def pixels_of(data: list[bytes]) -> tf.Tensor:
    return tf.stack([images.decode(tf.constant(d), SIZE) for d in data])


def raw_logits(parts: network.Parts, data: list[bytes]) -> np.ndarray:
    """float64 [batch, ..., K], by way of the network that was exported: without calibration."""
    return np.asarray(parts.model(pixels_of(data), training=False), np.float64)


def features_of(parts: network.Parts, data: list[bytes]) -> np.ndarray:
    return np.asarray(network.pooled(parts.extractor(tf.cast(pixels_of(data), tf.float32), training=False)))


def decided(parts: network.Parts, *, scale: list[float], bias: list[float]) -> decisions.Decisions:
    """What was learnt from 9 images, k = 1, and seen of 7; from half of the latter's distances on it abstains."""
    return decisions.Decisions(
        scale=np.array(scale),
        bias=np.array(bias),
        thresholds=np.array([0.2, 0.35, 0.5])[: len(scale)],
        reference=familiarity.fit(features_of(parts, photos(9, seed=20)), features_of(parts, photos(7, seed=21))),
        abstain_below=0.5,
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def example(image: bytes, mask: bytes | None = None) -> bytes:
    values = {IMAGE: image} | ({} if mask is None else {MASK: mask})
    feature = {k: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for k, v in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


@pytest.fixture(scope="module")
def parts() -> network.Parts:
    return build("single_label", augment=True)


def build(task: str, *, classes: int = 3, augment: bool = False) -> network.Parts:
    """With a head that, though untrained, does not say nearly the same of everything."""
    keras.utils.set_random_seed(5)
    parts = network.build(
        "small", weights=None, image_size=SIZE, classes=classes, augment=augment, seed=1, kind=kinds.kind(task)
    )
    for weight in parts.head.trainable_weights:
        if weight.path.endswith("logits/kernel"):
            weight.assign(weight * 20)
    return parts


@pytest.fixture(scope="module")
def loaded(parts: network.Parts, tmp_path_factory: pytest.TempPathFactory):
    folder = str(tmp_path_factory.mktemp("model"))
    signatures.export(parts, LABELS, SIZE, SINGLE, decided(parts, scale=[0.5] * 3, bias=[0.0] * 3), folder)
    return tf.saved_model.load(folder)


@pytest.fixture(scope="module")
def serve(loaded):
    return loaded.signatures["serving_default"]


UNLIKE = {
    "familiarity": tf.TensorSpec([None], tf.float32, "familiarity"),
    "abstain": tf.TensorSpec([None], tf.bool, "abstain"),
}


def test_the_signatures_are_the_contract_s(loaded) -> None:
    answered = {
        "labels": tf.TensorSpec([None, None], tf.string, "labels"),
        "probabilities": tf.TensorSpec([None, 3], tf.float32, "probabilities"),
        "logits": tf.TensorSpec([None, 3], tf.float32, "logits"),
        "decisions": tf.TensorSpec([None, 3], tf.bool, "decisions"),
        "error": tf.TensorSpec([None], tf.string, "error"),
    } | UNLIKE
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
    answer = serve(image_bytes=tf.constant(photos(5, seed=1)))
    logits = answer["logits"].numpy().astype(np.float64)
    np.testing.assert_allclose(answer["probabilities"], softmax(logits), rtol=1e-5)
    assert len(np.unique(logits[:, 0])) == 5


def test_logits_are_calibrated_and_a_label_applies_from_its_threshold_on(serve, parts: network.Parts) -> None:
    data = photos(12, seed=2)
    answer = serve(image_bytes=tf.constant(data))
    np.testing.assert_allclose(answer["logits"], raw_logits(parts, data) * 0.5, rtol=1e-4, atol=1e-5)
    found, p = answer["decisions"].numpy(), answer["probabilities"].numpy()
    np.testing.assert_array_equal(found, p >= np.array([0.2, 0.35, 0.5], np.float32))
    assert 0 < found.sum() < found.size
    assert (found != (p == p.max(axis=1, keepdims=True))).any()  # or they might be the largest


@pytest.mark.parametrize("neighbour", [1, 3])
def test_familiarity_matches_numpy_and_decides_on_abstention(parts: network.Parts, tmp_path, neighbour: int) -> None:
    told = decided(parts, scale=[1.0] * 3, bias=[0.0] * 3)
    rows = told.reference.features
    eval_distances = np.sort(familiarity.distances(features_of(parts, photos(7, seed=21)), rows, neighbour))
    told = dataclasses.replace(told, reference=familiarity.Reference(rows, eval_distances, neighbour))
    signatures.export(parts, LABELS, SIZE, SINGLE, told, str(tmp_path))
    data = photos(30, seed=3)
    answer = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](image_bytes=tf.constant(data))
    distances = familiarity.distances(features_of(parts, data), rows, neighbour)
    expected = familiarity.familiarity(distances, eval_distances)
    np.testing.assert_allclose(answer["familiarity"], expected, rtol=1e-6)
    assert len(np.unique(expected)) > 4
    np.testing.assert_array_equal(answer["abstain"], expected < 0.5)
    assert 0 < np.count_nonzero(answer["abstain"]) < 30


def test_an_image_learnt_from_is_the_most_familiar_and_one_like_none_the_least(serve) -> None:
    answer = serve(image_bytes=tf.constant([photos(9, seed=20)[4], encoded("PNG", RED)]))
    assert answer["familiarity"].numpy().tolist() == [1, 0]
    assert answer["abstain"].numpy().tolist() == [False, True]


def test_people_can_read_what_decides(parts: network.Parts, tmp_path) -> None:
    signatures.export(parts, LABELS, SIZE, SINGLE, decided(parts, scale=[0.5] * 3, bias=[0.0] * 3), str(tmp_path))
    told = json.loads((tmp_path / "assets.extra" / DECISIONS_FILE).read_text(encoding="utf-8"))
    assert told["labels"] == {
        label: {"threshold": t, "scale": 0.5, "bias": 0.0} for label, t in zip(LABELS, (0.2, 0.35, 0.5), strict=True)
    }
    assert told["abstain_below"] == 0.5
    assert told["reference_images"] == 9


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_every_format_is_decoded_as_in_training(serve, parts: network.Parts, format_: str) -> None:
    data = encoded(format_)
    expected = raw_logits(parts, [data]) * 0.5
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


def test_the_evaluation_signature_also_gives_uncalibrated_answers(loaded, serve, parts: network.Parts) -> None:
    data = [encoded("PNG"), encoded("JPEG")]
    evaluated = loaded.signatures["evaluate"](examples=tf.constant([example(d) for d in data]))
    assert sorted(evaluated) == ["abstain", "decisions", "familiarity", "probabilities", "uncalibrated"]
    served = serve(image_bytes=tf.constant(data))
    for name in ("abstain", "decisions", "familiarity", "probabilities"):
        np.testing.assert_array_equal(evaluated[name], served[name], err_msg=name)
    np.testing.assert_allclose(evaluated["uncalibrated"], softmax(raw_logits(parts, data)), rtol=1e-4)


BROKEN = [b"", b"no image", encoded("PNG")[:60], encoded("JPEG")[:200]]


def test_what_is_no_image_is_a_row_that_says_so(loaded, serve) -> None:
    data = [encoded("PNG"), *BROKEN]
    for answer in (
        serve(image_bytes=tf.constant(data)),
        loaded.signatures["examples"](examples=tf.constant([example(d) for d in data])),
    ):
        assert (answer["error"].numpy() == b"").tolist() == [True, False, False, False, False]
        assert answer["abstain"].numpy()[1:].all()
        for name in ("probabilities", "logits", "decisions", "familiarity"):
            assert not answer[name].numpy()[1:].any(), name
        np.testing.assert_allclose(
            answer["logits"][0], serve(image_bytes=tf.constant(data[:1]))["logits"][0], rtol=1e-5
        )


@pytest.mark.parametrize("data", BROKEN, ids=repr)
def test_in_the_evaluation_what_is_no_image_is_an_error(loaded, data: bytes) -> None:
    """Ingest proved that it decodes: an answer, even of zeros, would be counted in the metrics."""
    with pytest.raises(tf.errors.InvalidArgumentError):
        loaded.signatures["evaluate"](examples=tf.constant([example(encoded("PNG")), example(data)]))


@pytest.mark.parametrize("data", [b"garbage", tf.train.Example().SerializeToString()], ids=["garbage", "no image"])
def test_bytes_that_are_not_an_example_are_an_error(loaded, data: bytes) -> None:
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


def test_what_decodes_files_is_in_a_model_once_and_its_identity_does_not_tell_who_built_it(
    parts: network.Parts, tmp_path
) -> None:
    """The first export of a process builds the function, and those after it take it over."""
    decides, size = decided(parts, scale=[0.5] * 3, bias=[0.0] * 3), (10, 15)
    rows._graph.cache_clear()
    for name in ("first", "second"):
        signatures.export(parts, LABELS, SIZE, SINGLE, decides, str(tmp_path / name))
    assert rows._graph.cache_info().misses == 1  # not one for each signature
    assert told(tmp_path / "first") == told(tmp_path / "second")
    signatures.export(parts, LABELS, SIZE, SINGLE, decides, str(tmp_path / "of 12 bits"), bits=12)
    assert rows._graph.cache_info().misses == 2
    assert told(tmp_path / "of 12 bits") != told(tmp_path / "first")
    assert rows.decode(tf.constant([encoded("PNG")]), size)[0].shape == (1, *size, 3)


def told(folder: Path) -> str:
    return identity.identity(str(folder), versions.digests(str(folder)))


# Several labels.


def test_each_of_several_labels_has_its_own_calibration_and_threshold(tmp_path) -> None:
    parts, scale, bias = build("multi_label"), [0.25, 0.5, 2.0], [0.75, -0.5, 0.0]
    signatures.export(parts, LABELS, SIZE, MULTI, decided(parts, scale=scale, bias=bias), str(tmp_path))
    loaded, data = tf.saved_model.load(str(tmp_path)), photos(12, seed=4)
    answer = loaded.signatures["serving_default"](image_bytes=tf.constant(data))
    assert sorted(answer) == ["abstain", "decisions", "error", "familiarity", "labels", "logits", "probabilities"]
    raw = raw_logits(parts, data)
    np.testing.assert_allclose(answer["logits"], raw * scale + bias, rtol=1e-4, atol=1e-5)
    p = answer["probabilities"].numpy()
    np.testing.assert_allclose(p, sigmoid(answer["logits"].numpy().astype(np.float64)), rtol=1e-5)
    assert (abs(p.sum(axis=1) - 1) > 0.01).all()
    np.testing.assert_array_equal(answer["decisions"], p >= np.array([0.2, 0.35, 0.5], np.float32))
    assert (answer["decisions"].numpy() != (p >= 0.5)).any()
    assert answer["labels"].numpy().tolist() == [[label.encode() for label in LABELS]] * 12
    evaluated = loaded.signatures["evaluate"](examples=tf.constant([example(d) for d in data]))
    np.testing.assert_allclose(evaluated["probabilities"], p, rtol=1e-6)
    np.testing.assert_array_equal(evaluated["decisions"], answer["decisions"])
    np.testing.assert_allclose(evaluated["uncalibrated"], sigmoid(raw), rtol=1e-4, atol=1e-6)


# A single label and no other.


@pytest.mark.parametrize("signature", ["serving_default", "examples", "evaluate"])
def test_the_probability_of_a_single_label_is_the_familiarity(tmp_path, signature: str) -> None:
    parts = build("single_label", classes=1)
    told = dataclasses.replace(decided(parts, scale=[1.0], bias=[0.0]), thresholds=np.array([0.5]))
    signatures.export(parts, ["ant"], SIZE, SINGLE, told, str(tmp_path))
    data = [photos(9, seed=20)[0], encoded("PNG", RED), *photos(8, seed=5)]
    found = tf.saved_model.load(str(tmp_path)).signatures[signature]
    if signature == "serving_default":
        answer = found(image_bytes=tf.constant(data))
    else:
        answer = found(examples=tf.constant([example(d) for d in data]))
    familiar = answer["familiarity"].numpy()
    assert familiar[:2].tolist() == [1, 0]
    distances = familiarity.distances(features_of(parts, data[2:]), told.reference.features, 1)
    np.testing.assert_allclose(familiar[2:], familiarity.familiarity(distances, told.reference.distances), rtol=1e-6)
    np.testing.assert_array_equal(answer["probabilities"], familiar[:, np.newaxis])
    np.testing.assert_array_equal(answer["decisions"], familiar[:, np.newaxis] >= 0.5)
    np.testing.assert_array_equal(answer["abstain"], familiar < 0.5)
    if signature == "evaluate":
        np.testing.assert_array_equal(answer["uncalibrated"], familiar[:, np.newaxis])
    else:
        assert answer["labels"].numpy().tolist() == [[b"ant"]] * 10
        np.testing.assert_allclose(sigmoid(answer["logits"].numpy()), familiar[:, np.newaxis], rtol=1e-5, atol=2e-6)
        assert np.isfinite(answer["logits"]).all()


# Masks.

# A truth of 21 x 12 pixels for an image that the model sees with 10 x 14: ids 0 to 2, some ignored.
TRUTH = np.random.default_rng(2).choice(np.array([0, 1, 2, IGNORED_ID], np.uint8), (21, 12), p=[0.4, 0.3, 0.2, 0.1])


@pytest.fixture(scope="module")
def mask_parts() -> network.Parts:
    return build("segmentation", augment=True)


@pytest.fixture(scope="module")
def masks(mask_parts: network.Parts, tmp_path_factory: pytest.TempPathFactory):
    folder = str(tmp_path_factory.mktemp("masks"))
    told = decided(mask_parts, scale=[0.5] * 3, bias=[0.0] * 3)
    signatures.export(mask_parts, LABELS, SIZE, MASKS, told, folder)
    return tf.saved_model.load(folder)


def test_the_mask_signatures_are_the_contract_s(masks) -> None:
    answered = {
        "mask": ([None, *SIZE], tf.uint8),
        "confidence": ([None, *SIZE], tf.float32),
        "labels": ([None, 3], tf.string),
        "error": ([None], tf.string),
        "familiarity": ([None], tf.float32),
        "abstain": ([None], tf.bool),
    }
    for name, told in (("serving_default", "image_bytes"), ("examples", "examples")):
        signature = masks.signatures[name]
        assert signature.structured_input_signature == ((), {told: tf.TensorSpec([None], tf.string, told)})
        found = {k: (spec.shape.as_list(), spec.dtype) for k, spec in signature.structured_outputs.items()}
        assert found == answered


def test_a_mask_is_the_label_of_the_largest_logit_of_each_pixel(masks, mask_parts: network.Parts) -> None:
    data = [encoded("PNG"), encoded("JPEG", 255 - PIXELS), encoded("BMP")]
    answer = masks.signatures["serving_default"](image_bytes=tf.constant(data))
    expected = raw_logits(mask_parts, data).argmax(axis=-1)
    np.testing.assert_array_equal(answer["mask"], expected)
    assert len(np.unique(expected)) > 1
    assert answer["labels"].numpy().tolist() == [[label.encode() for label in LABELS]] * 3
    by_example = masks.signatures["examples"](examples=tf.constant([example(d) for d in data]))
    np.testing.assert_array_equal(by_example["mask"], expected)


def test_the_confidence_is_the_largest_probability_of_each_pixel(masks, mask_parts: network.Parts) -> None:
    data = photos(3, seed=6)
    answer = masks.signatures["serving_default"](image_bytes=tf.constant(data))
    expected = softmax(raw_logits(mask_parts, data) * 0.5).max(axis=-1)
    np.testing.assert_allclose(answer["confidence"], expected, rtol=1e-4)
    assert expected.min() < expected.max() - 0.1


def test_a_mask_comes_with_the_familiarity_of_its_image(masks, mask_parts: network.Parts) -> None:
    told, data = decided(mask_parts, scale=[0.5] * 3, bias=[0.0] * 3), photos(10, seed=7)
    distances = familiarity.distances(features_of(mask_parts, data), told.reference.features, 1)
    expected = familiarity.familiarity(distances, told.reference.distances)
    serialised = [example(d, encoded("PNG", TRUTH)) for d in data]
    for answer in (
        masks.signatures["serving_default"](image_bytes=tf.constant(data)),
        masks.signatures["evaluate"](examples=tf.constant(serialised)),
    ):
        np.testing.assert_allclose(answer["familiarity"], expected, rtol=1e-6)
        np.testing.assert_array_equal(answer["abstain"], expected < 0.5)
    assert 0 < np.count_nonzero(expected < 0.5) < 10


def nearest(mask: np.ndarray) -> np.ndarray:
    """Of the model's size: output pixel i lies at (i + 0.5) * scale of the mask."""
    rows = ((np.arange(SIZE[0]) + 0.5) * mask.shape[0] / SIZE[0]).astype(int)
    columns = ((np.arange(SIZE[1]) + 0.5) * mask.shape[1] / SIZE[1]).astype(int)
    return mask[np.ix_(rows, columns)]


def test_confusion_counts_pixels_by_truth_and_answer_as_numpy_does(masks, mask_parts: network.Parts) -> None:
    truths = [TRUTH, TRUTH[::-1], np.full_like(TRUTH, IGNORED_ID), np.zeros_like(TRUTH)]
    data = [encoded("PNG"), encoded("JPEG", 255 - PIXELS), encoded("PNG"), encoded("PNG")]
    serialised = [example(d, encoded("PNG", t)) for d, t in zip(data, truths, strict=True)]
    found = masks.signatures["evaluate"](examples=tf.constant(serialised))
    assert sorted(found) == ["abstain", "calibration", "confusion", "familiarity"]
    expected = np.zeros((4, 3, 3))
    for i, answer in enumerate(raw_logits(mask_parts, data).argmax(axis=-1)):
        for truth, said in zip(nearest(truths[i]).ravel(), answer.ravel(), strict=True):
            if truth != IGNORED_ID:
                expected[i, truth, said] += 1
    np.testing.assert_array_equal(found["confusion"], expected)
    assert expected[2].sum() == 0
    assert expected[3].sum() == 140  # 10 x 14
    assert np.count_nonzero(expected[0]) > 3


def test_calibration_counts_only_known_pixels(masks, mask_parts: network.Parts) -> None:
    truths, data = [TRUTH, TRUTH[::-1], np.full_like(TRUTH, IGNORED_ID)], photos(3, seed=8)
    serialised = [example(d, encoded("PNG", t)) for d, t in zip(data, truths, strict=True)]
    found = masks.signatures["evaluate"](examples=tf.constant(serialised))["calibration"].numpy()
    assert found.shape == (3, 2, 3, curves.CALIBRATION_BINS)
    logits = raw_logits(mask_parts, data)
    for i, truth in enumerate(map(nearest, truths)):
        known = truth != IGNORED_ID
        hit = (logits[i].argmax(axis=-1) == truth)[known, np.newaxis]
        for z, calibration in zip((logits[i] * 0.5, logits[i]), found[i], strict=True):
            score = softmax(z).max(axis=-1)[known, np.newaxis].astype(np.float32)
            expected = curves.calibration(score, hit, np.ones(hit.shape))[:, 0]
            np.testing.assert_allclose(calibration, expected, rtol=1e-4, atol=1e-4)
            assert calibration[0].sum() == known.sum()
    assert np.count_nonzero(found[0, :, 0]) > 4
    assert not np.allclose(found[0, 0], found[0, 1])


def test_a_nan_answer_counts_as_no_label(mask_parts: network.Parts, tmp_path) -> None:
    parts = build("segmentation")
    for weight in parts.head.trainable_weights:
        if weight.path.endswith("logits/bias"):
            weight.assign([0.0, float("nan"), 0.0])  # of one label only
    told = decided(parts, scale=[1.0] * 3, bias=[0.0] * 3)
    signatures.export(parts, LABELS, SIZE, MASKS, told, str(tmp_path))
    evaluate = tf.saved_model.load(str(tmp_path)).signatures["evaluate"]
    found = evaluate(examples=tf.constant([example(encoded("PNG"), encoded("PNG", TRUTH))]))["confusion"]
    assert np.isnan(found).all()


def test_a_mask_without_ids_is_an_error(masks) -> None:
    for broken in (encoded("PNG", PIXELS), b"", encoded("PNG", TRUTH)[:40]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            masks.signatures["evaluate"](examples=tf.constant([example(encoded("PNG"), broken)]))
