"""The demo as a user runs it: what is on the screen, in the files, and behind the numbers."""

import datetime
import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
import tensorflow_model_analysis as tfma
import tensorflow_transform as tft
from projects import CONTRACT, Demo, Run, assert_like
from sklearn import metrics as sk

from components.data import features
from components.labels import kinds
from pipeline import cli

pytestmark = pytest.mark.end_to_end

DIGITS = [str(digit) for digit in range(10)]
STAGES = {
    *("ImageExampleGen", "CuratedSchema", "StatisticsGen", "ExampleValidator", "ClassBalance", "Transform"),
    *("Trainer", "Baseline", "Evaluator", "ServingCheck", "Pusher", "ModelReport"),
}


def test_init_says_what_to_do_next(demo: Demo) -> None:
    assert demo.made.code == 0
    assert demo.made.out == f"wrote {demo.config}\nnext: imagegate run {demo.config}\n"
    assert demo.made.err == ""


def test_the_model_is_pushed_and_good(demo: Demo) -> None:
    assert demo.summary["status"] == "pushed"
    assert demo.summary["exit_code"] == demo.first.code == 0
    assert demo.summary["metrics"]["accuracy"] >= 0.97
    assert demo.summary["error"] is None
    thresholds = [g for g in demo.summary["gates"] if g["gate"] == "model_gate"]
    assert [g["label"] for g in thresholds] == [None, *DIGITS, None]
    assert all(g["passed"] for g in demo.summary["gates"])


def test_the_summary_has_exactly_the_contract_s_keys_and_types(demo: Demo) -> None:
    assert list(demo.summary) == list(CONTRACT)
    assert_like(demo.summary, CONTRACT)
    started = datetime.datetime.fromisoformat(demo.summary["started"])
    assert abs(datetime.datetime.now(datetime.UTC) - started) < datetime.timedelta(hours=1)
    assert demo.summary["baseline"] is None
    assert {stage["name"] for stage in demo.summary["stages"]} == STAGES
    assert not any(stage["cached"] for stage in demo.summary["stages"])
    assert 0 < sum(stage["seconds"] for stage in demo.summary["stages"]) < demo.summary["seconds"]
    for metrics_of in [demo.summary, *demo.summary["slices"]]:
        assert set(kinds.kind("single_label").overall) <= set(metrics_of["metrics"])
        assert all(
            set(numbers) == set(kinds.kind("single_label").per_label) for numbers in metrics_of["per_label"].values()
        )


def test_the_counts_are_those_of_the_folders(demo: Demo) -> None:
    data = demo.summary["data"]
    folders = {digit: len(list((demo.folder / "data" / "digits" / digit).iterdir())) for digit in DIGITS}
    assert {label: sum(by_split.values()) for label, by_split in data["labels"].items()} == folders
    assert sum(data["counts"].values()) == sum(folders.values()) == 1797
    for split, count in data["counts"].items():
        labels = Counter(e.features.feature[features.LABEL].bytes_list.value[0].decode() for e in demo.records(split))
        assert labels == {label: by_split[split] for label, by_split in data["labels"].items()}
        assert sum(labels.values()) == count


def test_the_default_for_rare_labels_takes_the_place_of_weights(demo: Demo) -> None:
    assert demo.summary["imbalance"] == "logit_adjustment"
    assert demo.summary["label_weights"] == dict.fromkeys(DIGITS, 1.0)
    assert list(demo.summary["label_weights"]) == DIGITS


def test_the_numbers_are_those_of_the_pushed_model_on_the_test_images(demo: Demo) -> None:
    examples = demo.records("test")
    truth = [int(e.features.feature[features.LABEL].bytes_list.value[0]) for e in examples]
    image_bytes = [e.features.feature[features.IMAGE].bytes_list.value[0] for e in examples]
    signature = tf.saved_model.load(demo.summary["pushed"]["path"]).signatures["serving_default"]
    p = signature(image_bytes=tf.constant(image_bytes))["probabilities"].numpy().astype(np.float64)
    found, of_eight = demo.summary["metrics"], demo.summary["per_label"]["8"]
    assert found["example_count"] == len(truth) == demo.summary["data"]["counts"]["test"]
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(truth, p.argmax(axis=1)))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(truth, p.argmax(axis=1), average="macro"))
    assert found["loss"] == pytest.approx(-np.log(p[range(len(truth)), truth]).mean(), rel=1e-4)
    assert of_eight["auc"] == pytest.approx(sk.roc_auc_score(np.equal(truth, 8), p[:, 8]), abs=1e-6)
    [slice_of_eight] = [s for s in demo.summary["slices"] if s["slice"] == {"label": "8"}]
    assert slice_of_eight["metrics"]["accuracy"] == pytest.approx(of_eight["recall"])


def test_the_pushed_version_vouches_for_its_files(demo: Demo) -> None:
    version = Path(demo.summary["pushed"]["path"])
    assert version == demo.destination / demo.summary["pushed"]["version"]
    assert [p.name for p in demo.destination.iterdir()] == [version.name]
    manifest = json.loads((version / "imagegate.json").read_text(encoding="utf-8"))
    files = {str(p.relative_to(version)): p for p in version.rglob("*") if p.is_file() and p.name != "imagegate.json"}
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    assert manifest["files"] == digests
    assert manifest["labels"] == DIGITS
    assert manifest["metrics"]["accuracy"] == demo.summary["metrics"]["accuracy"]
    assert manifest["label_counts"] == demo.summary["data"]["labels"]
    assert manifest["data_fingerprint"] == demo.summary["data"]["fingerprint"]
    assert next(t["rule"] for t in manifest["thresholds"]) == "accuracy >= 0.97"
    assert set(manifest) >= {"name", "task", "version", "code_fingerprint"}


def test_the_screen_shows_stages_labels_metrics_and_the_verdict_and_nothing_else(demo: Demo) -> None:
    assert demo.first.err == ""
    lines = [" ".join(line.split()) for line in demo.first.out.splitlines()]
    assert {line.split()[0] for line in lines if re.search(r" ok \d+\.\d s$", line)} == STAGES
    assert [line.split()[0] for line in lines if re.match(r"\d ", line)] == DIGITS
    assert f"accuracy {demo.summary['metrics']['accuracy']:.3f}" in lines
    pushed = demo.summary["pushed"]
    assert lines[-1] == f"pushed version {pushed['version']}: 11 thresholds held, 1 not judged -> {pushed['path']}"
    known = STAGES | set(DIGITS) | set(kinds.kind("single_label").overall) | {"label", "metric", "no", "pushed"}
    known |= {"rare", "report", "serving"}
    assert {line.split()[0].removesuffix(":") for line in lines} <= known  # "Trainer: training 3 of 30"


def test_output_of_the_libraries_goes_to_the_log(demo: Demo) -> None:
    log = (demo.output / "history" / demo.summary["run_id"] / "log.txt").read_text()
    assert "absl" in log
    assert len(log) > 1000
    assert "Traceback" not in log


def test_tfx_s_own_tools_read_the_artifacts(demo: Demo) -> None:
    statistics = tfdv.load_stats_binary(
        str(demo.artifact("StatisticsGen", "statistics") / "Split-eval/FeatureStats.pb")
    )
    assert statistics.datasets[0].num_examples == demo.summary["data"]["counts"]["eval"]
    assert features.IMAGE not in {f.path.step[0] for f in statistics.datasets[0].features}
    schema = tfdv.load_schema_text(str(demo.artifact("CuratedSchema", "schema_out") / "schema.pbtxt"))
    assert tfdv.get_domain(schema, features.LABEL).value == DIGITS
    assert not tfdv.validate_statistics(statistics, schema).anomaly_info
    transform = tft.TFTransformOutput(str(demo.artifact("Transform", "transform_graph")))
    assert transform.transformed_feature_spec()[features.TARGET].shape == [10]


def test_tfma_s_own_loader_reads_the_evaluation(demo: Demo) -> None:
    loaded = tfma.load_eval_result(str(demo.artifact("Evaluator", "evaluation")))
    numbers = loaded.get_metrics_for_slice(())
    for metric in kinds.kind("single_label").overall:
        assert numbers[metric]["doubleValue"] == pytest.approx(demo.summary["metrics"][metric]), metric
    slices = {dict(name)["label"] for name in loaded.get_slice_names() if name}
    assert slices == set(DIGITS)


# The second run.


def _processor_seconds(of: Callable[[], object]) -> float:
    """Of the processes that a function starts; what other programs do hardly matters."""
    before = os.times()
    of()
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_an_unchanged_run_answers_within_three_seconds(demo: Demo, imagegate: Callable[..., Run]) -> None:
    before = demo.served()
    runs: list[Run] = []
    seconds = _processor_seconds(lambda: runs.extend(imagegate("run", demo.config) for _ in range(2))) / 2
    assert [run.code for run in runs] == [0, 0]
    assert all("up to date: nothing new since version " + demo.summary["pushed"]["version"] in run.out for run in runs)
    assert all(run.err == "" for run in runs)
    # The three seconds are those of a machine on which this import takes 0.43 s; a slow one needs more for both.
    importing = [sys.executable, "-c", "import matplotlib.pyplot"]
    known = _processor_seconds(lambda: [subprocess.run(importing, check=True) for _ in range(2)]) / 2
    assert seconds < 7 * known
    assert demo.served() == before
    latest = demo.latest_summary()
    assert (latest["status"], latest["exit_code"], latest["stages"]) == ("up_to_date", 0, [])
    assert latest["metrics"] == demo.summary["metrics"]
    assert latest["pushed"] == demo.summary["pushed"]


def test_an_unchanged_run_loads_neither_tfx_nor_tensorflow(demo: Demo, imagegate: Callable[..., Run]) -> None:
    run = imagegate("run", demo.config, PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in run.err.splitlines()}
    assert "pipeline" in imported  # the list is one
    assert not imported & {"tensorflow", "tfx", "apache_beam", "keras", "tensorflow_transform", "ml_metadata"}


# A run that the model gate refuses.


@pytest.fixture(scope="module")
def refused(demo: Demo, imagegate: Callable[..., Run]) -> tuple[Run, dict, dict]:
    """A threshold that no model can meet; the run, and what was served before and after."""
    before = demo.served()
    rules = '[{metric: accuracy, min: 0.5}, {metric: recall, label: "3", max: 0}]'
    run = imagegate("run", demo.config, "--set", f"evaluation.thresholds={rules}", "--json")
    return run, before, demo.served()


def test_a_refused_model_leaves_what_is_served_untouched(refused: tuple[Run, dict, dict], demo: Demo) -> None:
    run, before, after = refused
    assert run.code == 4
    assert before == after
    assert len(before) > 4
    found = json.loads(run.out)
    assert (found["status"], found["pushed"]) == ("not_blessed", None)
    [failed] = [g for g in found["gates"] if not g["passed"]]
    assert (failed["rule"], failed["label"]) == ("recall <= 0", "3")
    assert found["error"] == failed["reason"]
    assert "recall of label '3' is 1 (" in failed["reason"] or "recall of label '3' is 0.9" in failed["reason"]


def test_the_served_model_was_compared_on_the_same_images(refused: tuple[Run, dict, dict], demo: Demo) -> None:
    found = json.loads(refused[0].out)
    assert found["baseline"]["version"] == demo.summary["pushed"]["version"]
    assert found["baseline"]["metrics"] == found["metrics"]  # it is the same model


def test_with_json_nothing_else_is_on_the_output_and_only_stages_on_the_other(
    refused: tuple[Run, dict, dict],
) -> None:
    run = refused[0]
    assert list(json.loads(run.out)) == list(CONTRACT)
    lines = [" ".join(line.split()) for line in run.err.splitlines()]
    assert {line.split()[0].removesuffix(":") for line in lines} == STAGES
    assert all(re.fullmatch(r"\w+ ok (cached|\d+\.\d s)|\w+: .+", line) for line in lines)


def test_only_what_depends_on_thresholds_ran_again(refused: tuple[Run, dict, dict]) -> None:
    stages = json.loads(refused[0].out)["stages"]
    gate = {"Evaluator", "ServingCheck", "Pusher", "ModelReport"}
    # There is a served model now; another test that runs the demo may have asked these before.
    served = {"ClassBalance", "Baseline"}
    assert gate <= {s["name"] for s in stages if not s["cached"]} <= gate | served


# Predictions of the pushed model.


def test_predict_prints_the_digits(demo: Demo, imagegate: Callable[..., Run]) -> None:
    images = [demo.folder / "data" / "digits" / digit / f"{i:03d}.png" for digit in DIGITS for i in (3, 90)]
    run = imagegate("predict", demo.destination, *images, "--json")
    told = [line for line in run.err.splitlines() if not line.startswith("images ")]  # a slow machine shows progress
    assert (run.code, told) == (0, [])
    found = [json.loads(line) for line in run.out.splitlines()]
    assert [r["image"] for r in found] == list(map(str, images))
    assert sum(r["label"] == image.parent.name for r, image in zip(found, images, strict=True)) >= 18  # of 20
    assert all(sum(r["probabilities"].values()) == pytest.approx(1, abs=1e-5) for r in found)


def test_predict_on_a_bad_image_prints_the_others_and_ends_in_1(
    demo: Demo, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    good, bad = demo.folder / "data" / "digits" / "7" / "000.png", tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG broken")
    assert cli.main(["predict", demo.summary["pushed"]["path"], str(bad), str(good)]) == 1
    out, err = capsys.readouterr()
    heads, line = out.splitlines()
    assert heads.split() == ["image", "label", "probability", "next", "likely"]
    assert re.fullmatch(rf"{re.escape(str(good))} +\d +[01]\.\d+ +\d 0\.\d+, \d 0\.\d+", line)
    *progress, told = err.splitlines()  # a slow machine shows progress
    assert told == f"{bad}: starts like a PNG file, but its header is broken"
    assert all(line.startswith("images ") for line in progress)
