"""Labels to targets and weights: the graph that Transform makes of it, for every task, on the real Beam runner."""

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from components.data import features, schema
from components.data.manifest import DatasetManifest
from components.gates import data_gate
from components.model.preprocessing import preprocessing_fn

NAMES = ["cat", "dög", "polar bear", "absent"]  # not sorted: the order is the configuration's
CATS = [(["cat"], [])] * 6 + [(["dög"], [])] * 2 + [(["polar bear"], [])] + [([], NAMES)] * 3
# Of each image what applies and what is unknown; a 0 in every column is knowledge.
TAGS = [
    (["cat", "dög"], []),
    (["cat"], ["dög"]),
    (["cat"], ["dög", "polar bear"]),
    ([], []),
    (["polar bear"], ["cat"]),
    ([], NAMES),
]
# Of each mask the pixels of each label, and the ignored ones.
PIXELS = [([60, 20, 0, 0], 20), ([90, 0, 0, 0], 10), ([0, 5, 45, 0], 50), ([0, 0, 0, 0], 100)]


def learn(folder, task: str, rows: list[dict], *, count_ignored: bool = False) -> tft.TFTransformOutput:
    """What Transform learns from `rows`, in batches of four."""
    metadata = tft.DatasetMetadata(schema.curated(task, NAMES))
    told = {"task": task, "labels": NAMES, "count_ignored": count_ignored}
    with (
        beam.Pipeline(runner=FnApiRunner()) as pipeline,
        tft_beam.Context(temp_dir=str(folder / "tmp"), desired_batch_size=4),
    ):
        data = pipeline | beam.Create([COMMON | row for row in rows]), metadata
        learnt = data | tft_beam.AnalyzeDataset(lambda inputs: preprocessing_fn(inputs, told))
        _ = learnt | tft_beam.WriteTransformFn(str(folder / "graph"))
    return tft.TFTransformOutput(str(folder / "graph"))


COMMON = {
    features.PATH: b"1.png",
    features.SHA256: b"00",
    features.FORMAT: b"png",
    features.WIDTH: 10,
    features.HEIGHT: 10,
    features.WEIGHT: 1.0,
}


def labels_row(applies: list[str], unknown: list[str]) -> dict:
    return {features.LABEL: [n.encode() for n in applies], features.UNKNOWN: [n.encode() for n in unknown]}


def apply(transform: tft.TFTransformOutput, rows: list[tuple[list[str], list[str]]]) -> dict[str, tf.Tensor]:
    """The graph on examples, as the Trainer applies it."""
    inputs = {
        features.LABEL: tf.ragged.constant([row[0] for row in rows], dtype=tf.string, ragged_rank=1).to_sparse(),
        features.UNKNOWN: tf.ragged.constant([row[1] for row in rows], dtype=tf.string, ragged_rank=1).to_sparse(),
    }
    for name, value in COMMON.items():
        inputs[name] = tf.constant([value] * len(rows), tf.int64 if isinstance(value, int) else None)
    return dict(transform.transform_features_layer()(inputs))


def of_labels(task: str, rows: list[tuple[list[str], list[str]]], tmp_path_factory: pytest.TempPathFactory):
    return learn(tmp_path_factory.mktemp(task), task, [labels_row(*row) for row in rows])


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> tft.TFTransformOutput:
    return of_labels("single_label", CATS, tmp_path_factory)


@pytest.fixture(scope="module")
def multi(tmp_path_factory: pytest.TempPathFactory) -> tft.TFTransformOutput:
    return of_labels("multi_label", TAGS, tmp_path_factory)


def manifest(rows: list[tuple[list[str], list[str]]]) -> DatasetManifest:
    """The counts that ingest takes of the same images."""
    return DatasetManifest.model_construct(
        labels=tuple(NAMES),
        pixels={},
        counts={"train": len(rows)},
        label_counts={n: {"train": sum(n in applies for applies, _ in rows)} for n in NAMES},
        unknown={n: {"train": sum(n in unknown for _, unknown in rows)} for n in NAMES},
    )


def test_every_example_carries_the_weights_of_the_train_split(single: tft.TFTransformOutput) -> None:
    rows = apply(single, [(["cat"], []), (["absent"], []), ([], NAMES)])
    # Of 9 labelled images 6, 2 and 1: the median is 2, and what is absent weighs nothing.
    expected = [2 / 6, 1, 2, 0]
    np.testing.assert_allclose(rows[features.LABEL_WEIGHTS], [expected] * 3, rtol=1e-6)
    np.testing.assert_array_equal(
        np.array(list(data_gate.weights(manifest(CATS)).values()), np.float32), rows[features.LABEL_WEIGHTS][0]
    )


def test_weights_of_several_labels_count_only_images_where_they_are_known(multi: tft.TFTransformOutput) -> None:
    rows = apply(multi, [(["cat"], [])])
    # Applies / known: cat 3/4, dög 1/3, polar bear 1/4, absent 0/5; the median of the three is 1/3.
    expected = [(1 / 3) / (3 / 4), 1, (1 / 3) / (1 / 4), 0]
    np.testing.assert_allclose(rows[features.LABEL_WEIGHTS], [expected], rtol=1e-6)
    np.testing.assert_array_equal(
        np.array(list(data_gate.weights(manifest(TAGS)).values()), np.float32), rows[features.LABEL_WEIGHTS][0]
    )


def test_single_labels_are_one_hot_and_the_unknown_is_minus_one(single: tft.TFTransformOutput) -> None:
    examples = [["polar bear"], ["absent"], ["emu"], []]  # the graph has not seen the second, and knows no emu
    rows = apply(single, [(names, []) for names in examples])
    np.testing.assert_array_equal(rows[features.TARGET], [[0, 0, 1, 0], [0, 0, 0, 1], [-1] * 4, [-1] * 4])


def test_several_labels_are_ones_zeros_and_minus_one_for_the_unknown(multi: tft.TFTransformOutput) -> None:
    rows = apply(multi, TAGS)
    assert rows[features.TARGET].dtype == tf.float32
    np.testing.assert_array_equal(
        rows[features.TARGET],
        [[1, 1, 0, 0], [1, -1, 0, 0], [1, -1, -1, 0], [0, 0, 0, 0], [-1, 0, 1, 0], [-1, -1, -1, -1]],
    )


@pytest.mark.parametrize("task", ["single", "multi"])
def test_the_graph_gives_what_the_trainer_expects(request: pytest.FixtureRequest, task: str) -> None:
    spec = request.getfixturevalue(task).transformed_feature_spec()
    assert {name: (feature.shape, feature.dtype) for name, feature in spec.items()} == {
        features.TARGET: ([len(NAMES)], tf.float32),
        features.LABEL_WEIGHTS: ([len(NAMES)], tf.float32),
    }


@pytest.mark.parametrize(
    ("count_ignored", "expected"),
    [
        # Own pixels of those of the images: 150 / (80 + 90), 25 / (80 + 50), 45 / 50; median 150 / 170 = 0.882.
        (False, [1, (150 / 170) / (25 / 130), (150 / 170) / 0.9, 0]),
        # With the ignored as a class of 20 + 10 + 50 + 100 of 400, and in the totals: 0.75, 0.125, 0.45 and 0.45.
        (True, [0.45 / 0.75, 0.45 / 0.125, 1, 0]),
    ],
)
def test_weights_of_masks_count_the_pixels(tmp_path, count_ignored: bool, expected: list[float]) -> None:
    rows = [{features.PIXELS: np.array(own), features.IGNORED: ignored} for own, ignored in PIXELS]
    transform = learn(tmp_path, "segmentation", rows, count_ignored=count_ignored)
    inputs = {
        features.PIXELS: tf.constant([PIXELS[0][0]] * 2, tf.int64),
        features.IGNORED: tf.constant([7, 8], tf.int64),
    }
    for name, value in COMMON.items():
        inputs[name] = tf.constant([value] * 2, tf.int64 if isinstance(value, int) else None)
    found = transform.transform_features_layer()(inputs)
    assert list(found) == [features.LABEL_WEIGHTS]
    np.testing.assert_allclose(found[features.LABEL_WEIGHTS], [expected] * 2, rtol=1e-6)

    # The same from what ingest sums up: of each label, then of the ignored, own pixels and the images', known and all.
    sums = np.zeros((5, 3), int)
    for own, ignored in PIXELS:
        for i, n in enumerate([*own, ignored]):
            sums[i] += [n, sum(own) * (n > 0), (sum(own) + ignored) * (n > 0)]
    counted = DatasetManifest.model_construct(labels=tuple(NAMES), pixels={"train": sums.tolist()})
    np.testing.assert_array_equal(
        np.array(list(data_gate.weights(counted, count_ignored=count_ignored).values()), np.float32),
        found[features.LABEL_WEIGHTS][0],
    )
