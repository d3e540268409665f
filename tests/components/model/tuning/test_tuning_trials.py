"""Trials that are trained: judged alike whatever they learn with, without the test split, and the same each time."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from keras_tuner.errors import FatalError
from PIL import Image
from prepared import SETTINGS, Prepared, prepare
from tfx.components.trainer.fn_args_utils import FnArgs

from components.base.errors import ConfigError
from components.ingest.layouts import folders
from components.labels import kinds
from components.model.fitting import training
from components.model.tuning import trial, tuner
from components.model.tuning.journal import Journal, Trials
from components.model.tuning.search import Search

Found = tuple[tuner.Tuner, Path]
TRAINING = {key: SETTINGS[key] for key in ("backbone", "weights", "image_size", "batch_size", "augment", "seed")}
OTHERS = {key: SETTINGS[key] for key in ("positive", "bits", "decisions", "code_fingerprint")}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    base, random = tmp_path_factory.mktemp("prepared"), np.random.default_rng(1)
    for split, count in (("train", 10), ("eval", 5), ("test", 5)):
        for label, low in (("dark", 0), ("light", 100)):
            (base / "images" / split / label).mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(low, low + 150, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(base / "images" / split / label / f"{i}.png")
    dataset = folders.read(str(base / "images"), {"train": 0.8, "eval": 0.1, "test": 0.1})
    return prepare(base, "single_label", dataset)


def arguments(prepared: Prepared, folder: Path, **tuning: object) -> FnArgs:
    """The Tuner's, for a search in `folder`."""
    given = prepared.arguments(folder)
    given.working_dir = str(folder / "working")
    given.custom_config = {
        "tuning": {"over": {"loss": ["cross_entropy", "focal"], "label_weights": ["none"]}} | tuning,
        "training": TRAINING | {"epochs": 2, "learning_rate": 0.01},
        "trainer": OTHERS | {"task": prepared.task},
        "checkpoints": str(folder / "tuning"),
    }
    return given


def search(given: FnArgs) -> Trials:
    result = tuner.tuner_fn(given)
    result.tuner.search(**result.fit_kwargs)
    return result.tuner.found()


def plain(found: Trials) -> list[dict[str, object]]:
    """All but how long it took."""
    return [one.model_dump(exclude={"seconds"}) for one in found.trials]


@pytest.fixture(scope="module")
def found(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """A search of two trials on data whose test shards are gone; and its folder."""
    shutil.rmtree(prepared.examples / "Split-test")
    folder = tmp_path_factory.mktemp("search")
    result = tuner.tuner_fn(arguments(prepared, folder, trials=2))
    result.tuner.search(**result.fit_kwargs)
    return result.tuner, folder


def test_a_search_without_the_test_split_judges_every_trial_and_pins_what_was_tried(found: Found) -> None:
    tuned, folder = found
    told = tuned.found()
    assert told.trials[0].overlay == {}
    assert {"loss", "label_weights"} == set(told.trials[1].overlay)
    best = min(told.trials, key=lambda one: one.measure or 0)
    assert (told.best, told.measure) == (best.number, "balanced calibrated cross-entropy")
    method = (
        "weights" if "label_weights" in best.overlay else "logit_adjustment"
    )  # with which label_weights are an error
    assert told.values == {"loss": "cross_entropy", "imbalance": method} | best.overlay
    assert all(len(one.curve) == 2 and "accuracy" in one.metrics for one in told.trials)
    assert not list((folder / "tuning").glob("*/checkpoints"))


def test_a_search_that_was_killed_comes_to_the_same_trials(found: Found, prepared: Prepared, tmp_path: Path) -> None:
    tuned, folder = found
    shutil.copytree(folder / "tuning", tmp_path / "tuning")
    [journal] = (tmp_path / "tuning").glob("*/trials.jsonl")
    first, _ = journal.read_text().splitlines(keepends=True)
    journal.write_text(first)  # it was killed in the second trial
    (journal.parent / "checkpoints").mkdir()
    (journal.parent / "checkpoints" / "remains").write_text("")
    resumed = search(arguments(prepared, tmp_path, trials=2))
    assert journal.read_text().startswith(first)
    assert plain(resumed) == plain(tuned.found())


def test_the_trainer_takes_the_values_that_the_tuner_found(found: Found, prepared: Prepared, tmp_path: Path) -> None:
    tuned, _ = found
    best = json.loads(json.dumps(tuned.get_best_hyperparameters()[0].get_config()))  # as TFX hands it on
    configured = prepared.arguments(tmp_path, learning_rate=1, epochs=9).custom_config
    told = training.TrainerSettings.model_validate(configured | training.tuned(best))
    assert (told.learning_rate, told.epochs) == (0.01, 2)
    values = {"loss": told.loss, "imbalance": told.imbalance, "label_weights": told.label_weights}
    assert {key: value for key, value in values.items() if value is not None} == tuned.found().values


def test_other_data_settings_or_code_are_another_search(prepared: Prepared, tmp_path: Path) -> None:
    given = arguments(prepared, tmp_path, trials=1)
    settings = tuner.TunerSettings.model_validate(given.custom_config)
    keys = {tuner._key(settings, "data", ["a", "b"])}
    keys.add(tuner._key(settings, "other", ["a", "b"]))
    keys.add(tuner._key(settings, "data", ["b", "a"]))
    for changed in (
        {"training": given.custom_config["training"] | {"epochs": 3}},
        {"trainer": given.custom_config["trainer"] | {"code_fingerprint": "x"}},
        {"tuning": {"over": {"loss": ["focal"]}, "trials": 1}},
    ):
        told = tuner.TunerSettings.model_validate(given.custom_config | changed)
        keys.add(tuner._key(told, "data", ["a", "b"]))
    assert len(keys) == 6
    longer = given.custom_config | {"tuning": given.custom_config["tuning"] | {"trials": 7, "minutes": 5}}
    assert tuner._key(tuner.TunerSettings.model_validate(longer), "data", ["a", "b"]) in keys


def test_the_measure_is_the_same_for_every_loss_and_scale(prepared: Prepared) -> None:
    """Nine of ten are right, and at the best temperature the network says 0.9; its own scale does not matter."""
    target = np.array([[1.0, 0.0]] * 9 + [[0.0, 1.0]], np.float32)
    results = []
    for scale in (1.0, 0.3, 4.0):
        judged = trial.measure(kinds.kind("single_label"), 2, None)
        judged.update_state(target, np.array([[1.0, -1.0]] * 10, np.float32) * scale)
        results.append(float(judged.result()))
    assert results == pytest.approx([-(0.9 * np.log(0.9) + 0.1 * np.log(0.1))] * 3, abs=0.001)


@pytest.mark.parametrize("positive", [None, 0])
def test_with_counts_each_label_counts_as_much_whatever_the_batches(positive: int | None) -> None:
    """Of three cats two are right, and so is the only dog: (2/3 + 1) / 2 = 5/6, which has the odds 5."""
    cat, dog = [1.0, 0.0], [0.0, 1.0]
    right = np.log(5.0)
    judged = trial.measure(kinds.kind("single_label"), 2, positive, counts=[3, 1])
    for target, log_odds in (([cat, dog, cat], [right, -right, right]), ([cat], [-right])):
        logits = np.array([[odds, 0.0] for odds in log_odds], np.float32)
        judged.update_state(np.array(target, np.float32), logits)
    assert float(judged.result()) == pytest.approx(-(5 / 6 * np.log(5 / 6) + 1 / 6 * np.log(1 / 6)), abs=1e-4)


@pytest.mark.parametrize(
    ("task", "training", "balanced"),
    [
        ("single_label", {}, True),
        ("single_label", {"label_weights": "square_root"}, True),
        ("single_label", {"label_weights": "none"}, False),
        ("single_label", {"label_weights": {"cat": 2.0}}, False),
        ("single_label", {"imbalance": "none"}, False),
        ("multi_label", {}, False),
    ],
)
def test_trials_are_judged_by_what_the_configuration_aims_at(
    task: str, training: dict[str, object], balanced: bool
) -> None:
    told = {"positive": None, "bits": None, "decisions": {}, "code_fingerprint": "", "task": task}
    settings = tuner.TunerSettings.model_validate(
        {"tuning": {}, "training": training, "trainer": told, "checkpoints": ""}
    )
    assert settings.balanced == balanced


def test_the_measure_of_masks_is_what_is_missing_from_the_mean_iou() -> None:
    judged = trial.measure(kinds.kind("segmentation"), 2, None)
    truth = np.array([[[0, 0], [1, 1]]], np.uint8)
    judged.update_state(truth, keras.ops.one_hot([[[0, 0], [0, 1]]], 2))
    # IoU of 0: 2 of the 3 pixels that are 0 in truth or answer; of 1: 1 of 2.
    assert float(judged.result()) == pytest.approx(1 - (2 / 3 + 1 / 2) / 2)


def test_a_single_label_has_nothing_to_search_for(prepared: Prepared, tmp_path: Path) -> None:
    only = tmp_path / "schema"
    shutil.copytree(prepared.schema, only)
    path = next(only.iterdir())
    text = path.read_text()
    path.write_text(text.replace('value: "light"', "").replace("light", "dark"))
    given = arguments(Prepared(prepared.task, prepared.examples, only, prepared.transform), tmp_path)
    with pytest.raises(ConfigError, match="with the only label 'dark' nothing is trained"):
        tuner.tuner_fn(given)


def test_a_full_disk_ends_the_search_with_its_reason(prepared: Prepared, tmp_path: Path) -> None:
    given = arguments(prepared, tmp_path)
    settings = tuner.TunerSettings.model_validate(given.custom_config)

    class Full(Search):
        def conduct(self, overlay: object, learn: object) -> None:  # type: ignore[override]
            raise OSError(28, "No space left on device")

    kept = Full(Journal(str(tmp_path / "t")), iter([{}]), trials=1, seconds=None)
    with pytest.raises(FatalError) as caught:
        tuner.Tuner(kept, settings, str(tmp_path), str(tmp_path / "working")).search(fn_args=given)
    assert isinstance(caught.value.__cause__, OSError)
