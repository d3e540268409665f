"""The demos of several labels and of masks: pushed, with the contract's numbers, which are the pushed model's."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from projects import CONTRACT, Project, Run, Trained, assert_like
from sklearn import metrics as sk

from components import metrics
from components.data import features
from components.labels import kinds
from pipeline import cli
from pipeline.predict import inputs, predict

pytestmark = pytest.mark.end_to_end

SHAPES = ["circle", "square", "triangle"]
REGIONS = ["ground", *SHAPES]


@pytest.fixture(params=["shapes", "regions"])
def trained(request: pytest.FixtureRequest) -> Trained:
    return request.getfixturevalue(request.param)


def labels_of(trained: Trained) -> list[str]:
    return REGIONS if trained.summary["task"] == "segmentation" else SHAPES


def served(trained: Trained, split: str) -> dict[str, np.ndarray]:
    """What the pushed model's own signature says to the images of a split."""
    encoded = [e.features.feature[features.IMAGE].bytes_list.value[0] for e in trained.records(split)]
    signature = tf.saved_model.load(trained.summary["pushed"]["path"]).signatures["serving_default"]
    return {name: value.numpy() for name, value in signature(image_bytes=tf.constant(encoded)).items()}


def names(trained: Trained, split: str) -> list[str]:
    """File names of a split's images, in the order of the records."""
    return [e.features.feature[features.PATH].bytes_list.value[0].decode() for e in trained.records(split)]


def cells(trained: Trained, split: str) -> np.ndarray:
    """[n, 3] from labels.csv: 1, 0, or NaN where the cell is empty."""
    with open(trained.folder / "data" / "shapes" / "labels.csv", encoding="utf-8") as f:
        rows = {
            f"images/{row['file_name']}": [float(row[shape] or "nan") for shape in SHAPES] for row in csv.DictReader(f)
        }
    return np.array([rows[name] for name in names(trained, split)])


def ids(trained: Trained, split: str) -> np.ndarray:
    """[n, 64, 64] from the mask files; 255 is ignored."""
    paths = [trained.folder / "data" / "regions" / name.replace("images", "masks") for name in names(trained, split)]
    return np.array([np.asarray(Image.open(path)) for path in paths])


def test_the_model_is_pushed_and_good(trained: Trained) -> None:
    assert (trained.summary["status"], trained.summary["exit_code"], trained.summary["error"]) == ("pushed", 0, None)
    assert all(gate["passed"] for gate in trained.summary["gates"])
    thresholds = [gate for gate in trained.summary["gates"] if gate["gate"] == "model_gate"]
    assert [gate["label"] for gate in thresholds] == [None, *labels_of(trained), None]
    at_least = [gate["value"] for gate in thresholds[:-1]]
    assert min(at_least) >= 0.5
    assert at_least[0] == trained.summary["metrics"]["binary_accuracy" if labels_of(trained) == SHAPES else "mean_iou"]


def test_the_summary_has_the_contract_s_keys_and_the_task_s_metrics(trained: Trained) -> None:
    assert list(trained.summary) == list(CONTRACT)
    task = trained.summary["task"]
    assert_like(trained.summary, {k: v for k, v in CONTRACT.items() if k != "slices"})
    assert [s["slice"] for s in trained.summary["slices"]] == (
        [] if task == "segmentation" else [{"label": s} for s in SHAPES]
    )
    for numbers in [trained.summary, *trained.summary["slices"]]:
        assert set(numbers["metrics"]) == {*kinds.kind(task).overall, *metrics.COUNTS}
        assert list(numbers["per_label"]) == labels_of(trained)
        assert all(set(found) == set(kinds.kind(task).per_label) for found in numbers["per_label"].values())
    assert trained.summary["metrics"]["example_count"] == trained.summary["data"]["counts"]["test"]


def test_the_counts_are_those_of_the_table(shapes: Trained) -> None:
    data = shapes.summary["data"]
    assert sum(data["counts"].values()) == 400
    empty = 0
    for split, count in data["counts"].items():
        found = cells(shapes, split)
        assert len(found) == count
        assert [data["labels"][shape][split] for shape in SHAPES] == (found == 1).sum(axis=0).tolist()
        assert data["unlabelled"][split] == np.isnan(found).all(axis=1).sum()
        empty += np.isnan(found).sum()
    assert empty > 20
    assert data["unknown"]["labels"] == pytest.approx(empty / 1200)


def test_the_counts_are_those_of_the_masks(regions: Trained) -> None:
    data = regions.summary["data"]
    assert sum(data["counts"].values()) == 150
    for split, count in data["counts"].items():
        found = ids(regions, split)
        assert len(found) == count
        shown = [sum((mask == i).any() for mask in found) for i in range(4)]
        assert [data["labels"][label][split] for label in REGIONS] == shown
    borders = sum((ids(regions, split) == 255).sum() for split in data["counts"])
    assert data["unknown"] == {"images": 0, "pixels": pytest.approx(borders / (150 * 64 * 64))}


def weights_by_hand(trained: Trained) -> np.ndarray:
    """Median frequency of the train split, straight from the files; of masks its square root."""
    if trained.name == "shapes":
        found = cells(trained, "train")
        frequency = (found == 1).sum(axis=0) / (~np.isnan(found)).sum(axis=0)
    else:
        masks = ids(trained, "train")
        own = np.array([[(mask == i).sum() for i in range(4)] for mask in masks])
        known = (masks != 255).sum(axis=(1, 2))
        frequency = own.sum(axis=0) / ((own > 0) * known[:, np.newaxis]).sum(axis=0)
        return np.sqrt(np.median(frequency) / frequency)
    return np.median(frequency) / frequency


def test_the_weights_are_the_same_everywhere(trained: Trained, imagegate: Callable[..., Run]) -> None:
    labels, told = labels_of(trained), trained.summary["label_weights"]
    assert list(told) == labels
    np.testing.assert_allclose(list(told.values()), weights_by_hand(trained), rtol=2e-7)  # they are in float32
    manifest = json.loads(Path(trained.summary["pushed"]["path"], "imagegate.json").read_text(encoding="utf-8"))
    assert manifest["label_weights"] == told
    assert (manifest["task"], manifest["labels"]) == (trained.summary["task"], labels)
    run = imagegate("check", trained.config)
    assert (run.code, run.err) == (0, "")
    rows = [line.split() for line in run.out.splitlines()]
    assert {row[0]: row[-1] for row in rows if row[0] in labels} == {k: f"{v:.3f}" for k, v in told.items()}
    share = trained.summary["data"]["unknown"]["labels" if trained.name == "shapes" else "pixels"]
    assert re.search(
        rf"^{share:.1%} of all (labels of images are unknown|pixels are ignored); they are not used", run.out, re.M
    )


def test_the_numbers_of_several_labels_are_the_pushed_model_s(shapes: Trained) -> None:
    truth, p = cells(shapes, "test"), served(shapes, "test")["probabilities"].astype(np.float64)
    known, told = ~np.isnan(truth), shapes.summary
    assert told["metrics"]["binary_accuracy"] == pytest.approx(((p >= 0.5) == (truth == 1))[known].mean())
    # Of the labels that are known, where one applies.
    t, q = np.where(known, truth, 0), np.where(known, p, 0)
    some = t.any(axis=1)
    cosine = ((t * q).sum(axis=1) / np.linalg.norm(q, axis=1) / np.linalg.norm(t, axis=1).clip(1))[some]
    assert told["metrics"]["cosine_similarity"] == pytest.approx(cosine.mean(), rel=1e-5)
    for i, label in enumerate(SHAPES):
        of = known[:, i]
        precision = sk.average_precision_score(truth[of, i], p[of, i])
        assert told["per_label"][label]["average_precision"] == pytest.approx(precision, abs=1e-6)
    assert not np.allclose(p.sum(axis=1), 1, atol=0.01)


def test_the_numbers_of_masks_are_the_pushed_model_s(regions: Trained) -> None:
    truth, answer = ids(regions, "test"), served(regions, "test")["mask"]
    known = truth != 255
    confusion = sk.confusion_matrix(truth[known], answer[known], labels=range(4)).astype(float)
    iou = np.diag(confusion) / (confusion.sum(axis=0) + confusion.sum(axis=1) - np.diag(confusion))
    told = regions.summary
    assert [told["per_label"][label]["iou"] for label in REGIONS] == pytest.approx(iou)
    assert told["metrics"]["mean_iou"] == pytest.approx(iou.mean())
    assert told["metrics"]["pixel_accuracy"] == pytest.approx(np.trace(confusion) / known.sum())
    assert told["per_label"]["ground"]["support"] == (truth == 0).sum()


def answers(model: str, paths: list[str]) -> list[dict[str, Any]]:
    """What `predict` gives, image by image."""
    expanded, _ = inputs.expand(paths)
    return [result for batch in predict.predict(predict.find(model), expanded) for result in batch]


def test_predict_names_what_is_drawn(shapes: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(shapes.folder / "data" / "shapes" / name) for name in names(shapes, "test")]
    found = answers(str(shapes.destination), paths)
    truth = cells(shapes, "test")
    right = total = 0
    for result, row in zip(found, truth, strict=True):
        assert set(result) == {"image", "labels", "probabilities", "familiarity", "abstain"}
        for shape, applies in zip(SHAPES, row, strict=True):
            right, total = right + ((shape in result["labels"]) == (applies == 1)), total + 1
    assert right / total > 0.85  # the empty cells count as wrong where they apply
    assert cli.main(["predict", str(shapes.destination), paths[0]]) == 0
    _, line = capsys.readouterr().out.splitlines()
    assert line.startswith(paths[0])
    assert all(f"{label} {found[0]['probabilities'][label]:.3f}" in line for label in found[0]["labels"])


def test_predict_shows_the_shares_of_the_regions(regions: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(regions.folder / "data" / "regions" / name) for name in names(regions, "test")]
    found = answers(str(regions.destination), paths)
    for result, mask in zip(found, ids(regions, "test"), strict=True):
        assert set(result) == {"image", "shares", "familiarity", "abstain"}
        assert list(result["shares"]) == REGIONS
        assert sum(result["shares"].values()) == pytest.approx(1)
        truth = {label: (mask == i).mean() for i, label in enumerate(REGIONS)}
        assert result["shares"] == pytest.approx(truth, abs=0.1)
    assert cli.main(["predict", str(regions.destination), paths[0], "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found[0]


def test_a_second_run_is_up_to_date(trained: Trained) -> None:
    before = trained.served()
    found = trained.run()
    assert (found["status"], found["exit_code"], found["stages"]) == ("up_to_date", 0, [])
    same = ("metrics", "per_label", "label_weights", "data", "pushed")
    assert {k: found[k] for k in same} == {k: trained.summary[k] for k in same}
    assert trained.served() == before


@pytest.mark.slow
def test_one_sigmoid_unit_decides_between_two_labels(tiny: Project) -> None:
    (tiny.folder / "data" / "2").rename(tiny.folder / "others")
    accepted = "balance.allow_vanished_labels=true"
    found = tiny.run('labels={names: ["0", "1"], positive: "1"}', "training.epochs=5", accepted)
    assert found["status"] == "pushed", found["error"]
    assert found["metrics"]["accuracy"] > 0.9
    signature = tf.saved_model.load(found["pushed"]["path"]).signatures["serving_default"]
    images = sorted((tiny.folder / "data").glob("*/*.png"))
    answer = signature(image_bytes=tf.constant([path.read_bytes() for path in images]))
    z = answer["logits"].numpy()[:, 1]
    np.testing.assert_array_equal(answer["logits"].numpy()[:, 0], 0)
    np.testing.assert_allclose(answer["probabilities"].numpy()[:, 1], 1 / (1 + np.exp(-z)), rtol=1e-5)
    assert np.mean((z > 0) == [path.parent.name == "1" for path in images]) > 0.9
