"""Label names to rows and weights: the function itself, and the graph that Transform makes of it."""

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from components import features
from components.labels import single
from components.labels.weights import class_weights
from components.preprocessing import preprocessing_fn

NAMES = ["cat", "dög", "polar bear", "absent"]
LABELS = ["cat"] * 6 + ["dög"] * 2 + ["polar bear"]


def test_a_label_is_a_row_with_a_one_in_its_place() -> None:
    rows = single.encode(tf.constant(["dög", "cat", "polar bear"]), NAMES)
    assert rows.dtype == tf.float32
    np.testing.assert_array_equal(rows, [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]])


def test_a_name_that_is_no_label_is_a_row_of_zeros() -> None:
    # Neither case, nor a decomposed letter, nor part of a name will do.
    rows = single.encode(tf.constant(["Cat", "do\u0308g", "polar", ""]), NAMES)
    np.testing.assert_array_equal(rows, np.zeros((4, 4)))


@pytest.mark.parametrize("shape", [[3], [3, 1]])
def test_encoding_is_the_same_inside_tf_data(shape: list[int]) -> None:
    labels = tf.reshape(tf.constant(["dög", "cat", "emu"]), shape)
    dataset = tf.data.Dataset.from_tensors(labels).map(lambda batch: single.encode(batch, NAMES))
    [rows] = dataset.as_numpy_iterator()
    np.testing.assert_array_equal(rows, single.encode(labels, NAMES))


@pytest.fixture(scope="module")
def transform(tmp_path_factory: pytest.TempPathFactory) -> tft.TFTransformOutput:
    """What Transform learns from `LABELS`, in batches of four."""
    folder = tmp_path_factory.mktemp("transform")
    metadata = tft.DatasetMetadata.from_feature_spec({features.LABEL: tf.io.FixedLenFeature([], tf.string)})
    rows = [{features.LABEL: name.encode()} for name in LABELS]
    with (
        beam.Pipeline(runner=FnApiRunner()) as pipeline,
        tft_beam.Context(temp_dir=str(folder / "tmp"), desired_batch_size=4),
    ):
        data = pipeline | beam.Create(rows), metadata
        learnt = data | tft_beam.AnalyzeDataset(lambda inputs: preprocessing_fn(inputs, {"labels": NAMES}))
        _ = learnt | tft_beam.WriteTransformFn(str(folder / "graph"))
    return tft.TFTransformOutput(str(folder / "graph"))


def apply(transform: tft.TFTransformOutput, labels: list[str]) -> dict[str, tf.Tensor]:
    layer = transform.transform_features_layer()
    return dict(layer({features.LABEL: tf.constant(labels)}))


def test_every_example_carries_the_weights_of_the_train_split(transform: tft.TFTransformOutput) -> None:
    rows = apply(transform, ["cat", "absent", "dög"])

    # 6, 2 and 1 images: the median is 2, and what is absent weighs nothing.
    expected = [2 / 6, 1, 2, 0]
    np.testing.assert_allclose(rows[features.LABEL_WEIGHTS], [expected] * 3, rtol=1e-6)
    np.testing.assert_allclose(class_weights([LABELS.count(name) for name in NAMES]), expected)


def test_the_graph_encodes_labels_it_has_not_seen(transform: tft.TFTransformOutput) -> None:
    rows = apply(transform, ["polar bear", "absent", "emu"])
    np.testing.assert_array_equal(rows[features.ONE_HOT], [[0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]])


def test_the_graph_gives_what_the_trainer_expects(transform: tft.TFTransformOutput) -> None:
    spec = transform.transformed_feature_spec()
    assert {name: (feature.shape, feature.dtype) for name, feature in spec.items()} == {
        features.ONE_HOT: ([len(NAMES)], tf.float32),
        features.LABEL_WEIGHTS: ([len(NAMES)], tf.float32),
    }
