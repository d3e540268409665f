"""Warm-up requests and batching parameters: as TensorFlow Serving reads them, tried, and the same each time."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2

from components.base import digests
from components.base.artifact_files import BATCHING, WARM_UP
from components.data.features import IMAGE
from components.gates import served_files, serving_check
from components.gates.serving_check import Sample
from components.gates.settings import Serving
from components.gates.warm_start import batching, warm_up
from components.labels import kinds
from components.model import signatures
from components.model.networks import network

SINGLE = kinds.kind("single_label")
SIZE, LABELS = (8, 8), ["cat", "dog", "eel"]


def png(seed: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 11 + seed, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def exported(undecided: Callable, tmp_path_factory: pytest.TempPathFactory) -> str:
    parts = network.build("small", weights=None, image_size=SIZE, classes=3, augment=False, seed=1, kind=SINGLE)
    folder = str(tmp_path_factory.mktemp("model"))
    signatures.export(parts, LABELS, SIZE, SINGLE, undecided(parts), folder)
    return folder


@pytest.fixture(scope="module")
def samples(exported: str) -> list[Sample]:
    signature = tf.saved_model.load(exported).signatures["evaluate"]
    taken = []
    for image in map(png, (4, 2, 0, 3, 1)):
        feature = {IMAGE: tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))}
        data = tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
        probabilities = signature(examples=tf.constant([data]))["probabilities"].numpy()[0].tolist()
        taken.append(Sample(image=image, example=data, predicted={"probabilities": probabilities}))
    return taken


def recorded(path: Path) -> list[Any]:
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    return [prediction_log_pb2.PredictionLog.FromString(record) for record in records]


def test_the_smallest_images_are_chosen_in_requests_of_growing_size() -> None:
    rows = [bytes(n) for n in (50, 10, 40, 30, 20)]
    assert warm_up.choose({"image_bytes": rows}) == [[1], [1, 4], [1, 4, 3, 2]]  # and not 8 of 5 images
    assert warm_up.choose({"image_bytes": [b"a"] * 40})[-1] == list(range(32))


def test_the_requests_take_a_bounded_number_of_bytes() -> None:
    """5 MB each: 5 MB in the first request, 10 MB in the second, 20 MB in a third, of 16 MB in all."""
    rows = {"pixels": np.zeros((4, 5_000_000), np.uint8)}
    assert warm_up.choose(rows) == [[0], [0, 1]]
    assert warm_up.choose({"pixels": np.zeros((4, 20_000_000), np.uint8)}) == [[0]]


def test_the_records_are_those_that_tensorflow_serving_documents_and_the_same_each_time(tmp_path: Path) -> None:
    inputs = {"pixels": np.arange(6, dtype=np.float32).reshape(3, 2), "valid": np.array([[True], [False], [True]])}
    for name in ("one", "other"):
        warm_up.write(str(tmp_path / name / "requests"), "serving_default", inputs, [[2], [0, 1]])
    assert (tmp_path / "one" / "requests").read_bytes() == (tmp_path / "other" / "requests").read_bytes()
    first, second = recorded(tmp_path / "one" / "requests")
    assert first.WhichOneof("log_type") == "predict_log"
    request = second.predict_log.request
    assert request.model_spec.signature_name == "serving_default"
    assert tf.make_ndarray(first.predict_log.request.inputs["pixels"]).tolist() == [[4, 5]]
    assert tf.make_ndarray(request.inputs["pixels"]).tolist() == [[0, 1], [2, 3]]
    assert tf.make_ndarray(request.inputs["valid"]).tolist() == [[True], [False]]


def test_the_check_replays_what_it_writes_beside_the_model(
    exported: str, samples: list[Sample], tmp_path: Path
) -> None:
    result = serving_check.check(exported, samples, SINGLE, Serving(), str(tmp_path))
    assert [verdict.reason for verdict in result.verdicts if not verdict.passed] == []
    assert result.beside == {name: digests.of_file(str(tmp_path / name)) for name in (WARM_UP, BATCHING)}
    images = [
        tf.make_ndarray(log.predict_log.request.inputs["image_bytes"]).tolist() for log in recorded(tmp_path / WARM_UP)
    ]
    smallest = [png(seed) for seed in range(5)]  # each is one column wider than the one before
    assert images == [smallest[:1], smallest[:2], smallest[:4]]
    answer = tf.saved_model.load(exported).signatures["serving_default"](image_bytes=tf.constant(images[2]))
    assert answer["error"].numpy().tolist() == [b""] * 4
    text = (tmp_path / BATCHING).read_text()
    assert [line.split()[1] for line in text.splitlines() if "images:" in line] == ["1", "2", "4"]


def test_images_stay_where_they_are_if_the_settings_say_so(
    exported: str, samples: list[Sample], tmp_path: Path
) -> None:
    result = serving_check.check(exported, samples, SINGLE, Serving(warm_up=False), str(tmp_path))
    assert all(verdict.passed for verdict in result.verdicts)
    assert list(result.beside) == [BATCHING]
    assert not (tmp_path / WARM_UP).exists()


@pytest.mark.parametrize(
    ("signature", "name", "reason"),
    [
        ("clasify", "image_bytes", "a warm-up request is of the signature 'clasify', which the model does not have"),
        ("serving_default", "image", "a warm-up request has the inputs ['image'], expected ['image_bytes']"),
    ],
)
def test_a_request_for_which_a_server_would_not_load_the_model_is_refused(
    exported: str, samples: list[Sample], tmp_path: Path, signature: str, name: str, reason: str
) -> None:
    path = str(tmp_path / WARM_UP)
    warm_up.write(path, signature, {name: [samples[0].image]}, [[0]])
    asked = {"serving_default": ("serving_default", {"image_bytes": [samples[0].image]})}
    with pytest.raises(serving_check._NoAnswer) as caught:
        serving_check._ask(exported, asked, path, str(tmp_path))
    assert str(caught.value) == f"ValueError: {reason}"


def test_a_damaged_file_of_requests_is_refused(exported: str, samples: list[Sample], tmp_path: Path) -> None:
    path = tmp_path / WARM_UP
    warm_up.write(str(path), "serving_default", {"image_bytes": [samples[0].image]}, [[0]])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    asked = {"serving_default": ("serving_default", {"image_bytes": [samples[0].image]})}
    with pytest.raises(serving_check._NoAnswer, match="corrupted record"):
        serving_check._ask(exported, asked, str(path), str(tmp_path))


def test_requests_that_are_answered_otherwise_or_refused_are_named() -> None:
    """Requests for the rows 1, and 0 and 1, of two images with the probabilities 0.25 and 0.75."""
    later = {"serving_default/probabilities": np.array([[0.25], [0.75]])}

    def named(first: list[float], second: list[float], errors: tuple[bytes, bytes] = (b"", b"")) -> list[str]:
        replayed = {"replayed 0/probabilities": np.array([first]).T, "replayed 0/error": np.array([b""])}
        replayed |= {"replayed 1/probabilities": np.array([second]).T, "replayed 1/error": np.array(errors)}
        return served_files.replayed(later | replayed, [[1], [0, 1]], SINGLE)

    assert named([0.75], [0.25, 0.75]) == []
    assert named([0.25], [0.25, 0.75]) == ["request 1 of 1 images"]
    assert named([0.75], [0.75, 0.25]) == ["request 2 of 2 images"]
    assert named([0.75], [0.25, 0.75], (b"", b"no image")) == ["request 2 of 2 images"]


def batching_parameters() -> Any:
    """The message as session_bundle_config.proto of TensorFlow Serving publishes it: its name, numbers and types."""
    file = descriptor_pb2.FileDescriptorProto(name="batching.proto", package="tensorflow.serving", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    message = file.message_type.add(name="BatchingParameters")
    of = descriptor_pb2.FieldDescriptorProto
    for name, number, kind in (
        ("max_batch_size", 1, "Int64Value"),
        ("batch_timeout_micros", 2, "Int64Value"),
        ("max_enqueued_batches", 3, "Int64Value"),
        ("num_batch_threads", 4, "Int64Value"),
        ("thread_pool_name", 5, "StringValue"),
        ("enable_large_batch_splitting", 8, "BoolValue"),
        ("max_execution_batch_size", 9, "Int64Value"),
    ):
        message.field.add(
            name=name,
            number=number,
            type=of.TYPE_MESSAGE,
            type_name=f".google.protobuf.{kind}",
            label=of.LABEL_OPTIONAL,
        )
    message.field.add(name="allowed_batch_sizes", number=6, type=of.TYPE_INT64, label=of.LABEL_REPEATED)
    message.field.add(name="pad_variable_length_inputs", number=7, type=of.TYPE_BOOL, label=of.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.serving.BatchingParameters"))()


def test_the_batching_parameters_are_a_message_that_a_server_accepts() -> None:
    """100, 180, 196 and 200 images a second: 4 is the smallest size with at least 190."""
    text = batching.text({1: 1 / 100, 2: 2 / 180, 4: 4 / 196, 8: 8 / 200}, cores=2)
    told = text_format.Parse(text, batching_parameters())
    assert told.max_execution_batch_size.value == 4
    assert told.batch_timeout_micros.value == 0
    assert told.enable_large_batch_splitting.value
    # What SharedBatchScheduler requires, and that a request of the largest size fits into an empty queue.
    assert told.max_batch_size.value == 1024
    assert told.max_enqueued_batches.value * told.max_execution_batch_size.value == 4 * 1024
    assert "#      2 images: 180.0" in text.splitlines()


def test_where_batches_bring_nothing_there_are_none() -> None:
    told = text_format.Parse(batching.text({1: 0.010, 2: 0.020, 4: 0.041}, cores=2), batching_parameters())
    assert told.max_execution_batch_size.value == 1
    assert told.max_enqueued_batches.value == 4096
