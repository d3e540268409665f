"""Methods for images without labels, compared: each is used as it is named, with no training that it does not need."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prepared import SETTINGS, Prepared, prepare

from components.data import schema
from components.data.dataset import UNLABELLED
from components.ingest import manifest, shards
from components.ingest.counts import census
from components.ingest.layouts import folders
from components.ingest.settings.pool import Pool
from components.ingest.unlabelled import listing, merging
from components.labels import kinds
from components.model.comparing.conduct import conduct
from components.model.comparing.methods import METHODS
from components.model.comparing.record import MethodComparison
from components.model.comparing.settings import ComparisonSettings, Plan
from components.model.fitting import training
from components.model.fitting.given import Given
from components.model.fitting.unlabelled import propagation
from components.model.settings import TrainerSettings

TRAINING = {key: SETTINGS[key] for key in ("backbone", "weights", "image_size", "batch_size", "augment")}
OTHERS = {key: SETTINGS[key] for key in ("positive", "bits", "decisions", "code_fingerprint")}
Trained = list[tuple[str, str, bool]]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Two dark and two light images in each split."""
    base, random = tmp_path_factory.mktemp("prepared"), np.random.default_rng(1)
    for split in ("train", "eval", "test"):
        for label, low in (("dark", 0), ("light", 150)):
            (base / "images" / split / label).mkdir(parents=True)
            for i in range(2):
                pixels = random.integers(low, low + 100, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(base / "images" / split / label / f"{i}.png")
    return prepare(base, "single_label", folders.read(str(base / "images"), {"train": 0.8, "eval": 0.1, "test": 0.1}))


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Four images without labels: far fewer than `auto` asks for."""
    base = tmp_path_factory.mktemp("pool")
    (base / "data").mkdir()
    for i in range(4):
        Image.new("RGB", (8, 8), (60 * i, 9, 0)).save(base / "data" / f"{i}.png")
    dataset = listing.read(Pool(root=str(base / "data"), max_pixels=1000))
    job = dataclasses.replace(shards.job(dataset, 1000), splits=(UNLABELLED,))
    plan, out = shards.plan(dataset.records), str(base / "shards")
    reports = [shards.write(out, i, len(plan), part, job, lambda _: None) for i, part in enumerate(plan)]
    nothing = census.Images(np.zeros(0, census.ROW))
    manifest.write(out, merging.merge(dataset, reports, nothing, 32, out))
    return out


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Each training: configured method, its place, and whether images without labels take part. Weights stay random."""
    told: Trained = []

    def train(given: Given, own: TrainerSettings, _: int, data: Any, place: str, extra: Any, *__: Any) -> Any:
        told.append((own.unlabelled, place, extra is not None))
        return training.Learnt(training._network(given, own, data.arrays), data, {}, None, [1.0, 1.0], "", None)

    monkeypatch.setattr(training, "_train", train)
    monkeypatch.setattr(
        propagation,
        "spread",
        lambda _, target, others, **__: propagation.Guess(np.zeros((len(others), 2)), np.zeros(len(others))),
    )
    return told


def compare(prepared: Prepared, pool: str, folder: Path, *methods: str) -> MethodComparison:
    settings = ComparisonSettings(
        plan=Plan(methods={name: dict(METHODS[name]) for name in methods}, seeds=1),
        training=TRAINING | {"epochs": 1},
        trainer=OTHERS | {"task": prepared.task},
        checkpoints=str(folder / "comparisons"),
    )
    names, kind = schema.labels(str(prepared.schema)), kinds.kind(prepared.task)
    given = Given(str(prepared.examples), str(prepared.transform), str(folder), kind, names, None, pool)
    return conduct(given, settings)


def test_each_method_is_used_without_a_contest_and_only_propagation_begins_without_it(
    prepared: Prepared, pool: str, tmp_path: Path, trained: Trained
) -> None:
    methods = ("labelled_only", "propagation", "consistency", "autoencoder")
    found = compare(prepared, pool, tmp_path, *methods)
    assert trained == [
        ("none", "", False),
        ("propagation", "", False),
        ("propagation", "propagation", True),
        ("consistency", "consistency", True),
        ("autoencoder", "autoencoder", True),
    ]
    assert all(method.figures for method in found.methods)


def test_methods_for_rare_labels_learn_from_labelled_images_alone(
    prepared: Prepared, pool: str, tmp_path: Path, trained: Trained
) -> None:
    compare(prepared, pool, tmp_path, "weights", "none")
    assert trained == [("none", "", False)] * 2


def test_a_refusal_to_propagate_is_the_reason_in_the_table(
    prepared: Prepared, pool: str, tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise propagation.Refused("99% of the images would get the same label")

    monkeypatch.setattr(propagation, "spread", refuse)
    found = compare(prepared, pool, tmp_path, "labelled_only", "propagation")
    assert [bool(method.figures) for method in found.methods] == [True, False]
    assert "propagation: 99% of the images would get the same label" in found.remarks()
    assert len(trained) == 2


def test_where_no_row_is_without_a_label_the_table_says_so(
    prepared: Prepared, tmp_path: Path, trained: Trained
) -> None:
    found = compare(prepared, "", tmp_path, "labelled_only", "consistency")
    assert "consistency: there are no images without labels to learn from" in found.remarks()
    assert len(trained) == 1
