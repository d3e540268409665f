"""What runs again after what changed; what is pushed, what is not, and what is said of it."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from projects import Project, Run, copy_source, ran

from components.base import progress
from components.base.errors import ImagegateError
from components.data.dataset import SPLITS
from components.ingest.counts.census import Images
from pipeline import lock

pytestmark = pytest.mark.end_to_end
ROOT = Path(__file__).parents[2]

ALL = {
    *("ImageExampleGen", "CuratedSchema", "StatisticsGen", "ExampleValidator", "ClassBalance", "Transform"),
    *("Trainer", "Baseline", "Evaluator", "ServingCheck", "Pusher", "ModelReport"),
}
# Pusher is never cached: it looks at the destination; and the report tells what it did.
LAST = {"Pusher", "ModelReport"}
GATE = {"Evaluator", "ServingCheck"} | LAST
SETTLED = "evaluation.slices=[label]"  # as in the latest of the runs that `tiny` has behind it


@pytest.mark.parametrize("override", ["balance.max_ratio=50", "data.max_bad_fraction=0.5"])
def test_another_limit_runs_the_data_gate_again_and_no_other_stage(tiny: Project, override: str) -> None:
    summary = tiny.run(SETTLED, override)
    assert ran(summary) == {"ClassBalance"} | LAST
    assert {stage["name"] for stage in summary["stages"]} == ALL
    assert (summary["status"], summary["exit_code"]) == ("up_to_date", 0)


def test_other_thresholds_run_only_the_model_gate_again(tiny: Project) -> None:
    before = tiny.served()
    summary = tiny.run(SETTLED, "evaluation.thresholds=[]")
    assert ran(summary) == GATE
    assert (summary["status"], summary["exit_code"]) == ("not_blessed", 4)
    assert "no threshold is configured" in summary["error"]
    assert tiny.served() == before


def test_other_weights_train_a_model_that_is_pushed_beside_the_old_one_which_was_the_baseline(tiny: Project) -> None:
    before = tiny.served()
    [old] = os.listdir(tiny.destination)
    summary = tiny.run(SETTLED, "training.label_weights={'0': 2.0}")
    assert ran(summary) == {"Trainer"} | GATE
    assert summary["status"] == "pushed"
    assert summary["label_weights"] == {"0": 2.0, "1": 1.0, "2": 1.0}
    assert sorted(os.listdir(tiny.destination)) == [old, summary["pushed"]["version"]]
    assert int(summary["pushed"]["version"]) > int(old)
    assert summary["baseline"]["version"] == old
    assert summary["baseline"]["metrics"] != summary["metrics"]
    after = tiny.served()
    assert {path: after[path] for path in before if path != str(tiny.destination)} == {
        path: content for path, content in before.items() if path != str(tiny.destination)
    }


def strict(path: Path) -> dict:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_a_label_without_images_has_no_numbers_and_json_has_no_nan(tiny: Project) -> None:
    limits = ("balance.min_examples=null", "balance.min_eval_examples=null", "balance.max_ratio=null")
    summary = tiny.run('labels.names=["9", "0", "1", "2"]', "training.imbalance=weights", *limits)
    assert summary["status"] == "pushed"
    # What was served does not know the label; every test image has another one, which both know.
    assert summary["baseline"]["compared"]["new"] == ["9"]
    assert summary["baseline"]["compared"]["metrics"]["accuracy"] == summary["metrics"]["accuracy"]
    version = Path(summary["pushed"]["path"])
    for numbers in (strict(tiny.output / "latest" / "summary.json")["per_label"]["9"], summary["per_label"]["9"]):
        assert (numbers["recall"], numbers["auc"], numbers["support"]) == (None, None, 0)
    manifest = strict(version / "imagegate.json")
    assert manifest["labels"] == ["9", "0", "1", "2"]
    assert manifest["metrics"]["recall/9"] is None
    # Each weight is the median of the frequencies of what there is, over the label's own.
    train = np.array([summary["data"]["labels"][label]["train"] for label in ("0", "1", "2")])
    weights = dict(zip("9012", [0.0, *(np.median(train) / train)], strict=True))
    assert summary["label_weights"] == manifest["label_weights"] == pytest.approx(weights)
    assert summary["imbalance"] == manifest["imbalance"] == "weights"


def splits_of(project: Project) -> dict[str, int]:
    images = Images.read(str(project.artifact("ImageExampleGen", "examples")))
    return dict(zip(images.paths(range(len(images.rows))), images.rows["split"].tolist(), strict=True))


def test_one_more_image_runs_everything_again_and_moves_no_other(tiny: Project) -> None:
    before = splits_of(tiny)
    shutil.copy(tiny.folder / "data" / "0" / "0.png", tiny.folder / "data" / "0" / "copy.png")
    said: list[str] = []
    progress.listen(lambda *_: None, said.append)
    try:
        summary = tiny.run(SETTLED)
    finally:
        progress.listen(None)
    assert "90 of 91 images are as they were; their records were taken over" in said
    assert ran(summary) == ALL
    newest = tiny.artifact("ImageExampleGen", "examples")
    links = sorted(p.stat().st_nlink for p in newest.glob("Split-*/*.tfrecord"))
    assert links == [1] + [2] * 11  # of 4 shards in 3 splits, one file holds the new image
    assert sum(summary["data"]["counts"].values()) == 91
    assert splits_of(tiny) == before | {"0/copy.png": before["0/0.png"]}
    assert (tiny.output / "splits.npy").is_file()
    assert summary["exit_code"] == 0


@pytest.mark.slow
def test_two_files_of_different_labels_that_were_swapped_run_everything_again(tiny: Project) -> None:
    """All files have one size and one time, so that neither tells."""
    images = sorted((tiny.folder / "data").glob("*/*.png"))
    longest = max(path.stat().st_size for path in images)
    for path in images:
        path.write_bytes(path.read_bytes() + bytes(longest - path.stat().st_size))
        os.utime(path, ns=(0, 0))
    first = tiny.run(SETTLED)
    assert ran(first) == ALL
    assert tiny.run(SETTLED)["status"] == "up_to_date"
    # Of train, because a label that loses its only image of test gets no other one that was in train.
    trained = [path for path, split in splits_of(tiny).items() if SPLITS[split] == "train"]
    one, other = (tiny.folder / "data" / next(p for p in trained if p.startswith(label)) for label in "01")
    one.rename(tiny.folder / "aside")
    other.rename(one)
    (tiny.folder / "aside").rename(other)
    summary = tiny.run(SETTLED, "balance.max_relabelled=null")
    assert "ImageExampleGen" in ran(summary)
    assert summary["exit_code"] == 0, summary["error"]
    assert summary["data"]["fingerprint"] != first["data"]["fingerprint"]
    assert tiny.run(SETTLED, "balance.max_relabelled=null")["status"] == "up_to_date"


def test_one_more_line_of_code_runs_only_the_stages_that_import_it(
    tiny: Project, imagegate: Callable[..., Run], tmp_path: Path
) -> None:
    source = copy_source(tmp_path)
    with (source / "components" / "evaluation" / "analysis.py").open("a") as f:
        f.write("\nANOTHER_LINE = 1\n")
    run = imagegate("run", tiny.config, "--set", SETTLED, "--json", source=source)
    assert run.code == 0, run.err
    assert ran(json.loads(run.out)) == GATE


def test_force_runs_everything_and_mends_what_was_damaged(tiny: Project) -> None:
    examples = tiny.artifact("ImageExampleGen", "examples")
    shard = next(p for p in sorted(examples.glob("Split-train/*")) if p.stat().st_size)
    shard.write_bytes(shard.read_bytes()[:-1])
    summary = tiny.run("training.epochs=2")
    assert (summary["status"], summary["exit_code"]) == ("failed", 1)
    assert "changed after it was written" in summary["error"]
    assert summary["error"].endswith("run again with --force")
    summary = tiny.run("training.epochs=2", force=True)
    assert summary["exit_code"] == 0
    assert ran(summary) == ALL


def swap_splits(shard: Path) -> None:
    other = shard.parents[1] / "Split-test" / shard.name
    shard.rename(shard.parents[1] / "aside")
    other.rename(shard)
    (shard.parents[1] / "aside").rename(other)


def cut_at_a_record(shard: Path) -> None:
    """After the first record, which every reader takes for the end."""
    content = shard.read_bytes()
    shard.write_bytes(content[: int.from_bytes(content[:8], "little") + 16])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


SHARD = "Split-train/data-00000-of-00004.tfrecord"
CHANGED: dict[str, tuple[str, str, str, Callable[[Path], object]]] = {
    "a shard cut at a record's boundary": ("ImageExampleGen", "examples", SHARD, cut_at_a_record),
    "shards swapped between splits": ("ImageExampleGen", "examples", SHARD, swap_splits),
    "an emptied shard": ("ImageExampleGen", "examples", SHARD, lambda path: path.write_bytes(b"")),
    "a bit of the schema": ("CuratedSchema", "schema_out", "schema.pbtxt", flip_a_bit),
    "a bit of the transform graph": ("Transform", "transform_graph", "transform_fn/saved_model.pb", flip_a_bit),
    "a bit of the trained model": ("Trainer", "model", "Format-Serving/saved_model.pb", flip_a_bit),
}


def test_whatever_changed_between_two_runs_is_named_and_nothing_is_pushed(tiny: Project) -> None:
    before = tiny.served()
    for stage, key, name, damage in CHANGED.values():
        kept = {other: other.read_bytes() for other in tiny.artifact(stage, key).rglob("*") if other.is_file()}
        damage(tiny.artifact(stage, key) / name)
        summary = tiny.run(SETTLED, "evaluation.thresholds=[{metric: accuracy, min: 0.1}]")
        assert (summary["status"], summary["exit_code"], ran(summary)) == ("failed", 1, set())
        assert f"/{Path(name).name} changed after it was written: expected SHA-256 " in summary["error"]
        for other, content in kept.items():
            other.write_bytes(content)
    assert tiny.served() == before


def test_a_version_that_was_deleted_is_pushed_again(tiny: Project) -> None:
    [old] = tiny.destination.iterdir()
    shutil.rmtree(old)
    summary = tiny.run()  # for all stages the same as the first
    assert ran(summary) == LAST
    assert summary["status"] == "pushed"
    assert os.listdir(tiny.destination) == [summary["pushed"]["version"]]
    assert (tiny.destination / summary["pushed"]["version"] / "saved_model.pb").is_file()


def test_after_a_refused_run_unchanged_data_still_mean_the_pushed_model(tiny: Project) -> None:
    settled = tiny.run(SETTLED)
    assert (settled["status"], settled["stages"]) == ("up_to_date", [])
    assert tiny.run(SETTLED, "balance.min_examples=1000")["exit_code"] == 3
    summary = tiny.run(SETTLED)
    assert (summary["status"], summary["stages"]) == ("up_to_date", [])
    assert all(gate["passed"] for gate in summary["gates"])
    assert summary["metrics"] == settled["metrics"] != {}


def test_a_changed_version_is_not_compared_with_and_gives_way(tiny: Project) -> None:
    [old] = tiny.destination.iterdir()
    (old / "saved_model.pb").write_bytes(b"not the model")
    os.remove(tiny.output / "metadata.sqlite")  # or Baseline has its copy
    summary = tiny.run("data.max_bad_fraction=0.5")  # no threshold has max_drop
    assert (summary["status"], summary["baseline"]) == ("pushed", None)
    assert int(summary["pushed"]["version"]) > int(old.name)
    card = Path(summary["pushed"]["path"], "MODEL_CARD.md").read_text()
    assert f"Compared with no other model: version {old.name}, which is served now, cannot be compared with: " in card


def test_two_runs_do_not_share_an_output(tiny: Project) -> None:
    before = sorted(os.listdir(tiny.output / "history"))
    there = r"run 7 \(process \d+ on .*\) is writing to .*tiny; wait for it"
    with lock.held(str(tiny.output), "run 7"), pytest.raises(ImagegateError, match=there):
        tiny.run()
    assert sorted(os.listdir(tiny.output / "history")) == before


@pytest.mark.slow
def test_that_the_served_model_was_unreadable_is_not_remembered(tiny: Project) -> None:
    """Damaged on one night, whole again on the next, with all stages before the comparison from the cache."""
    [old] = tiny.destination.iterdir()
    content = (old / "saved_model.pb").read_bytes()
    (old / "saved_model.pb").write_bytes(b"not the model")
    os.remove(tiny.output / "metadata.sqlite")  # or Baseline has its copy
    given = ("evaluation.thresholds=[{metric: accuracy, max_drop: 1.0}]", "training.seed=2")
    refused = tiny.run(*given)
    assert (refused["exit_code"], refused["baseline"]) == (4, None)
    assert f"version {old.name}, which is served now, cannot be compared with" in refused["error"]
    (old / "saved_model.pb").write_bytes(content)
    summary = tiny.run(*given)
    assert {"Trainer": True, "Baseline": False}.items() <= {s["name"]: s["cached"] for s in summary["stages"]}.items()
    assert (summary["status"], summary["baseline"]["version"]) == ("pushed", old.name)
    again = tiny.run(*given, "evaluation.slices=[]")
    assert again["status"] in ("pushed", "up_to_date")


@pytest.mark.slow
def test_a_run_with_the_documented_network(tiny: Project) -> None:
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "own-model.md").read_text(), re.DOTALL)
    file = tiny.folder / "my_model.py"
    file.write_text(code)
    summary = tiny.run("training.module=my_model.py")
    assert summary["exit_code"] in (0, 4)
    assert {"Trainer", "Evaluator"} <= ran(summary)
    again = tiny.run("training.module=my_model.py")
    assert "Trainer" not in ran(again)
    file.write_text(code.replace("(16, 32)", "(8, 16)"))
    changed = tiny.run("training.module=my_model.py")
    assert "Trainer" in ran(changed)
    assert "ImageExampleGen" not in ran(changed)

    file.write_text(code.replace("return keras.Model(images, Attention()(x))", "return images.undefined"))
    broken = tiny.run("training.module=my_model.py")
    log = tiny.output / "latest" / "log.txt"
    line = file.read_text().splitlines().index("    return images.undefined") + 1
    assert broken["exit_code"] == 2
    assert broken["error"].startswith(f"training.module: {file}, line {line}: build broke: AttributeError: ")
    assert broken["error"].endswith(f"; see {log.resolve()}")
    assert f'File "{file}", line {line}, in build' in log.read_text()
