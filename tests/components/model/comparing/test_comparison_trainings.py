"""Methods that are trained: every figure from eval alone, nothing twice, and what fails is told."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prepared import SETTINGS, Prepared, prepare

from components.base.errors import ImagegateError
from components.data import schema
from components.ingest.layouts import folders
from components.labels import kinds, outputs
from components.model.comparing import conduct as conducting
from components.model.comparing.conduct import conduct
from components.model.comparing.figures import Judged
from components.model.comparing.methods import METHODS
from components.model.comparing.record import MethodComparison
from components.model.comparing.settings import ComparisonSettings, Plan
from components.model.fitting import training
from components.model.fitting.given import Given
from components.model.settings import TrainerSettings

TRAINING = {key: SETTINGS[key] for key in ("backbone", "weights", "image_size", "batch_size", "augment")}
OTHERS = {key: SETTINGS[key] for key in ("positive", "bits", "decisions", "code_fingerprint")}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    base, random = tmp_path_factory.mktemp("prepared"), np.random.default_rng(1)
    for split, count in (("train", 10), ("eval", 6), ("test", 3)):
        for label, low, share in (("dark", 0, 1.0), ("light", 60, 0.5)):
            (base / "images" / split / label).mkdir(parents=True)
            for i in range(round(count * share)):
                pixels = random.integers(low, low + 150, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(base / "images" / split / label / f"{i}.png")
    found = prepare(base, "single_label", folders.read(str(base / "images"), {"train": 0.8, "eval": 0.1, "test": 0.1}))
    shutil.rmtree(found.examples / "Split-test")  # whatever reads it fails
    return found


def settings(prepared: Prepared, folder: Path, *methods: str, seeds: int = 2, **keys: Any) -> ComparisonSettings:
    return ComparisonSettings(
        plan=Plan(methods={name: dict(METHODS[name]) for name in methods}, seeds=seeds),
        training=TRAINING | {"epochs": 1, "learning_rate": 0.01, "seed": 7} | keys,
        trainer=OTHERS | {"task": prepared.task},
        checkpoints=str(folder / "comparisons"),
    )


def given(prepared: Prepared, folder: Path) -> Given:
    names = schema.labels(str(prepared.schema))
    kind = kinds.kind(prepared.task)
    return Given(str(prepared.examples), str(prepared.transform), str(folder), kind, names, None)


def compare(prepared: Prepared, folder: Path, *methods: str, **told: Any) -> MethodComparison:
    return conduct(given(prepared, folder), settings(prepared, folder, *methods, **told))


@pytest.fixture(scope="module")
def compared(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> tuple[MethodComparison, Path]:
    folder = tmp_path_factory.mktemp("compared")
    return compare(prepared, folder, "weights", "none"), folder


def test_methods_have_the_same_seeds_and_figures_of_eval(compared: tuple[MethodComparison, Path]) -> None:
    found, folder = compared
    assert (found.seeds, found.images) == ((7, 8), 9)
    assert [method.name for method in found.methods] == ["weights", "none"]
    first, other = found.methods
    assert list(first.figures) == ["accuracy", "balanced_accuracy", "macro_f1", "loss"]
    assert first.differences == {}
    for name, difference in other.differences.items():
        pairs = zip(other.figures[name].values, first.figures[name].values, strict=True)
        assert difference.mean == pytest.approx(np.mean([a - b for a, b in pairs if a is not None and b is not None]))
    assert not list((folder / "comparisons").glob("*/checkpoints"))
    assert MethodComparison.from_json(found.to_json()) == found


def test_figures_are_those_of_the_answers_that_were_kept(compared: tuple[MethodComparison, Path]) -> None:
    found, folder = compared
    [path] = (folder / "comparisons").glob("none-*/8.npz")
    with np.load(path) as kept:
        rows = kept["rows"]
    # A row: weight, truth, probabilities, ...
    truth, answer = rows[:, 1].astype(int), rows[:, 2:4].argmax(axis=1)
    figures = found.methods[1].figures
    assert figures["accuracy"].values[1] == pytest.approx((truth == answer).mean())
    recalls = [(answer[truth == label] == label).mean() for label in (0, 1)]
    assert figures["balanced_accuracy"].values[1] == pytest.approx(np.mean(recalls))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str | None, int]]:
    """What is trained, in order: methods and seeds. Nothing is, and the answers depend on the seed alone."""
    told: list[tuple[str | None, int]] = []

    def learn(_: Given, own: TrainerSettings, __: int, *, judged: bool) -> TrainerSettings:
        assert not judged
        told.append((own.imbalance, own.seed))
        if own.imbalance == "balanced_softmax":
            raise ImagegateError("the loss is not finite")
        return own

    def judged(own: Any, *_: Any, **__: Any) -> Judged:
        p = np.random.default_rng(own.seed).dirichlet((1, 1), 9)
        kind, names = kinds.kind("single_label"), ("dark", "light")
        answers = [{outputs.PROBABILITIES: q, outputs.UNCALIBRATED: q, outputs.DECISIONS: q >= 0.5} for q in p]
        truth = [("dark",)] * 6 + [("light",)] * 3
        index = dict(zip(names, range(2), strict=True))
        rows = [kind.row(t, (), index, a | {outputs.ABSTAIN: False}, 1.0) for t, a in zip(truth, answers, strict=True)]
        return Judged(np.stack(rows), np.zeros(0))

    monkeypatch.setattr(training, "learn", learn)
    monkeypatch.setattr(conducting, "_judged", judged)
    return told


Trained = list[tuple[str | None, int]]


def test_seeds_take_turns_and_what_was_trained_is_not_trained_again(
    prepared: Prepared, tmp_path: Path, trained: Trained
) -> None:
    """Not after a kill, with more seeds, or beside other methods."""
    found = compare(prepared, tmp_path, "weights", "none")
    assert trained == [("weights", 7), ("none", 7), ("weights", 8), ("none", 8)]
    trained.clear()
    [journal] = (tmp_path / "comparisons").glob("none-*/trials.jsonl")
    journal.write_text(journal.read_text().splitlines(keepends=True)[0])  # killed in the second training
    (journal.parent / "checkpoints").mkdir()
    again = compare(prepared, tmp_path, "weights", "none")
    assert trained == [("none", 8)]
    assert not list((tmp_path / "comparisons").glob("*/checkpoints"))
    assert again.model_dump(exclude={"methods": {"__all__": {"seconds"}}}) == found.model_dump(
        exclude={"methods": {"__all__": {"seconds"}}}
    )
    trained.clear()
    compare(prepared, tmp_path, "none", "balanced_sampling", "weights", seeds=3)
    others = [("none", 9), ("balanced_sampling", 9), ("weights", 9)]
    assert trained == [("balanced_sampling", 7), ("balanced_sampling", 8), *others]


def test_methods_that_answer_alike_do_not_differ(prepared: Prepared, tmp_path: Path, trained: Trained) -> None:
    found = compare(prepared, tmp_path, "weights", "none")
    assert {one.text() for one in found.methods[1].differences.values()} == {"="}
    assert not found.same_with_every_seed
    assert len(trained) == 4


def test_a_method_that_cannot_be_trained_is_a_row_with_the_reason(
    prepared: Prepared, tmp_path: Path, trained: Trained
) -> None:
    found = compare(prepared, tmp_path, "weights", "balanced_softmax")
    assert (found.methods[1].figures, found.methods[1].differences) == ({}, {})
    assert "balanced_softmax: the loss is not finite" in found.remarks()
    assert len(trained) == 4
    with pytest.raises(ImagegateError, match=r"^compare: no training could be finished: the loss is not finite$"):
        compare(prepared, tmp_path, "balanced_softmax")


def test_other_settings_are_another_comparison(prepared: Prepared, tmp_path: Path) -> None:
    keys = {
        conducting._key(given(prepared, tmp_path), settings(prepared, tmp_path, "weights", "none", **changed), name)
        for changed in ({}, {"epochs": 2}, {"seed": 1})
        for name in ("weights", "none")
    }
    assert len(keys) == 6


def test_no_training_ends_early(compared: tuple[MethodComparison, Path]) -> None:
    _, folder = compared
    journals = list((folder / "comparisons").glob("*/trials.jsonl"))
    trials = [json.loads(line) for path in journals for line in path.read_text().splitlines()]
    assert [trial["status"] for trial in trials] == ["finished"] * 4
