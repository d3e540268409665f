"""The compiled pipelines, run by a simulated backend: the same numbers, the same refusals and the same push as here."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import simulator
from projects import Project, Trained, copy_source
from simulator import Backend, Pod, Task, in_process_of_its_own, in_this_process

from components.push import versions as push
from pipeline import config
from pipeline.kubeflow import compiler

pytestmark = pytest.mark.end_to_end

IMAGE = "kubeflow.image=registry.example/imagegate@sha256:" + "0" * 64
# Stages whose start should not take what Transform, the Trainer and the Evaluator need.
LIGHT = {"Preflight", "ImageExampleGen", "CuratedSchema", "ClassBalance", "Baseline"}
# Tasks that run in processes of their own, which take seconds each to start: these, and the one that takes the longest.
# The other tasks' processes: test_pod.py, the Evaluator and the Pusher, or every task.
ALONE = LIGHT | {"Trainer"}


def compiled(project: Project, folder: Path, *overrides: str) -> Path:
    """A project's pipeline, which pushes to `folder`/models, where no other test looks."""
    path = folder / "pipeline.yaml"
    settings = config.load(project.config, [IMAGE, f"push.destination={folder / 'models'}", *overrides])
    compiler.write(settings, str(path))
    return path


def statuses(tasks: dict[str, Task]) -> dict[str, set[str]]:
    """Status -> tasks."""
    return {
        status: {n for n, task in tasks.items() if task.status == status}
        for status in {t.status for t in tasks.values()}
    }


def assert_like_the_run_here(tasks: dict[str, Task], backend: Backend, told: dict[str, Any]) -> None:
    """Label weights and metrics are those of `imagegate run` on the same data with the same seed."""
    training = backend.path(tasks["Trainer"].artifacts["model_run"].uri)
    weights = json.loads((training / "label_weights.json").read_text())
    assert weights == pytest.approx(told["label_weights"], rel=1e-9)
    metrics = tasks["Evaluator"].artifacts["metrics"].metadata
    assert {name: metrics[name] for name in told["metrics"]} == pytest.approx(told["metrics"], rel=1e-3, abs=1e-4)


@pytest.fixture(scope="module")
def here(_tiny: tuple[Project, Path]) -> Project:
    """The tiny project after its runs, which no test changes."""
    return Project(_tiny[1], "tiny")


@pytest.fixture(scope="module")
def sequence(here: Project, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three runs: some tasks in processes of their own, then all in this one, with logs kept, on the older paths."""
    folder, loaded = tmp_path_factory.mktemp("kubeflow"), dict[str, set[str]]()
    alone = in_process_of_its_own(copy_source(folder / "source"), loaded)

    def execute(pod: Pod) -> tuple[int, str]:
        return alone(pod) if pod.task in ALONE else in_this_process(pod)

    backend = Backend(folder / "backend", execute, release="2.14", logs=True)
    path = compiled(here, folder)
    runs = [backend.run(path)]
    backend._execute = in_this_process
    runs += [backend.run(path), backend.run(path)]
    return backend, runs, loaded, folder / "models"


def test_a_first_run_pushes_what_a_run_here_pushes(sequence: Any, here: Project) -> None:
    backend, [first, *_], _, models = sequence
    assert set(statuses(first)) == {"succeeded"}, {n: t.log[-2000:] for n, t in first.items() if t.status == "failed"}
    told = here.latest_summary()
    assert_like_the_run_here(first, backend, told)
    served = push.current(str(models))
    assert served is not None
    push.verify(served)
    assert first["Pusher"].artifacts["pushed_model"].metadata["pushed_version"] == served.version
    assert served.manifest.labels == tuple(told["label_weights"])


def test_a_second_run_compares_with_the_served_model_and_trains_nothing(sequence: Any) -> None:
    _, [first, second, _], _, models = sequence
    # Preflight's served_version has changed from "" to the one pushed, and with it the keys of those who look at it.
    assert statuses(second)["succeeded"] == {
        "Preflight", "ClassBalance", "Baseline", "Evaluator", "ServingCheck", "Pusher", "ModelReport", "ModelGate",
    }  # fmt: skip
    assert second["Trainer"].status == "cached"
    version = first["Pusher"].artifacts["pushed_model"].metadata["pushed_version"]
    assert second["Baseline"].artifacts["baseline_model"].metadata["version"] == version
    assert second["Evaluator"].artifacts["blessing"].metadata["blessed"] == 1
    assert [path.name for path in models.iterdir() if path.name.isdigit()] == [version]


def test_a_third_run_takes_everything_up_to_the_trainer_from_the_cache(sequence: Any) -> None:
    third = sequence[1][2]
    # Baseline may find the served model unreadable, which must not be remembered; the others follow from it.
    again = {"Preflight", "Baseline", "Evaluator", "ServingCheck", "Pusher", "ModelReport", "ModelGate"}
    assert statuses(third)["succeeded"] == again
    assert len(statuses(third)["cached"]) == len(third) - len(again)


def test_light_stages_load_neither_model_analysis_nor_transform(sequence: Any) -> None:
    loaded = sequence[2]
    heavy = {"tensorflow_model_analysis", "tensorflow_transform"}
    assert {task for task, modules in loaded.items() if not heavy & modules} >= LIGHT
    assert "tensorflow" not in loaded["Preflight"]


def test_the_user_interface_gets_metrics_and_a_confusion_matrix(sequence: Any, here: Project) -> None:
    evaluator = sequence[1][0]["Evaluator"].artifacts
    assert evaluator["metrics"].schema["schemaTitle"] == "system.Metrics"
    drawn = evaluator["confusion_matrix"].metadata["confusionMatrix"]
    assert [label["displayName"] for label in drawn["annotationSpecs"]] == list(here.latest_summary()["label_weights"])
    rows = [row["row"] for row in drawn["rows"]]
    right, every = sum(row[i] for i, row in enumerate(rows)), sum(map(sum, rows))
    assert right / every == pytest.approx(evaluator["metrics"].metadata["accuracy"])


def test_the_user_interface_gets_the_report_as_a_page(sequence: Any) -> None:
    backend, [first, second, _], *_ = sequence
    for run, sentence in ((first, "Pushed as version"), (second, "Nothing has changed: version")):
        page = run["ModelReport"].artifacts["page"]
        assert page.schema["schemaTitle"] == "system.HTML"
        text = backend.path(page.uri).read_text()
        assert sentence in text
        assert text.count('src="data:image/webp;base64,') > 20


def test_logs_are_kept_beside_the_outputs(sequence: Any) -> None:
    backend, [first, *_], *_ = sequence
    assert "Trainer" in first
    assert all(backend.path(task.artifacts[simulator.LOGS].uri).is_file() for task in first.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shapes", "regions"])
def test_the_other_tasks_push_as_a_run_here_does(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    project: Trained = request.getfixturevalue(name)
    backend = Backend(tmp_path / "backend", in_this_process)
    tasks = backend.run(compiled(project, tmp_path))
    assert set(statuses(tasks)) == {"succeeded"}, {n: t.log[-2000:] for n, t in tasks.items() if t.status == "failed"}
    assert_like_the_run_here(tasks, backend, project.summary)
    assert push.current(str(tmp_path / "models")) is not None


def alone_where(task: str, source: Path) -> Callable[[Pod], tuple[int, str]]:
    """One task in a process of its own, for its log and exit code; the others here."""
    alone = in_process_of_its_own(source, {})
    return lambda pod: alone(pod) if pod.task == task else in_this_process(pod)


def test_refused_data_stop_the_run_without_a_retry(tiny: Project, tmp_path: Path) -> None:
    backend = Backend(tmp_path / "backend", alone_where("ClassBalance", copy_source(tmp_path / "source")))
    tasks = backend.run(compiled(tiny, tmp_path, "balance.min_examples=1000"))
    gate = tasks["ClassBalance"]
    assert (gate.status, gate.attempts) == ("failed", 1)
    last = gate.log.splitlines()[-1]
    assert last.startswith("number of examples in train of label '2' is ")
    assert last.endswith(", below the minimum 1,000. Add images, drop the label, or lower balance.min_examples")
    assert statuses(tasks)["skipped"] == {
        "Transform", "Trainer", "Evaluator", "ServingCheck", "Pusher", "ModelReport", "ModelGate",
    }  # fmt: skip
    assert not (tmp_path / "models").exists()


def test_a_refused_model_fails_the_run_after_its_outputs_are_kept(tiny: Project, tmp_path: Path) -> None:
    backend = Backend(tmp_path / "backend", alone_where("ModelGate", copy_source(tmp_path / "source")))
    tasks = backend.run(compiled(tiny, tmp_path, "evaluation.thresholds=[{metric: loss, max: 0.0}]"))
    assert statuses(tasks)["failed"] == {"ModelGate"}
    assert tasks["ModelGate"].attempts == 1
    assert tasks["ModelGate"].log.splitlines()[-1].startswith("imagegate: loss is ")
    assert tasks["Pusher"].artifacts["pushed_model"].metadata["pushed"] == 0
    assert not (tmp_path / "models").exists()


@pytest.mark.slow
def test_a_better_model_is_pushed_beside_the_one_it_was_compared_with(tiny: Project, tmp_path: Path) -> None:
    backend = Backend(tmp_path / "backend", in_this_process)
    path = compiled(tiny, tmp_path, "evaluation.thresholds=[{metric: loss, max_drop: 0.0}]")
    first, second = backend.run(path, {"epochs": 1}), backend.run(path, {"epochs": 8})
    versions = [run["Pusher"].artifacts["pushed_model"].metadata["pushed_version"] for run in (first, second)]
    assert sorted(p.name for p in (tmp_path / "models").iterdir() if p.name.isdigit()) == sorted(set(versions))
    assert len(set(versions)) == 2
    assert second["Baseline"].artifacts["baseline_model"].metadata["version"] == versions[0]
    losses = [run["Evaluator"].artifacts["metrics"].metadata["loss"] for run in (first, second)]
    assert losses[1] < losses[0]
    [verdict] = json.loads(
        (backend.path(second["Evaluator"].artifacts["evaluation"].uri) / "verdicts.json").read_text()
    )
    assert (verdict["rule"], verdict["passed"]) == ("loss <= served model's + 0", True)
    # With the bound at the served model's own loss, on the same images: 0 above it.
    assert verdict["bound"] == pytest.approx(losses[0], rel=1e-5)


def test_parameters_given_at_submission_reach_their_stages(tiny: Project, tmp_path: Path) -> None:
    backend = Backend(tmp_path / "backend", in_this_process)
    path = compiled(tiny, tmp_path, "data.root=/only/in/the/cluster")
    shutil.copytree(tiny.folder / "data", tmp_path / "data")
    told = {"data_root": str(tmp_path / "data"), "epochs": 2}
    first = backend.run(path, told)
    assert set(statuses(first)) == {"succeeded"}
    history = json.loads((backend.path(first["Trainer"].artifacts["model_run"].uri) / "history.json").read_text())
    assert len(history["all"]) == 2
    version = first["Preflight"].parameters["data_fingerprint"]
    (tmp_path / "data" / "0" / "0.png").unlink()
    assert backend.run(path, told | {"data_version": version})["ImageExampleGen"].status == "cached"
    # Nothing after the reading of the data is of interest.
    backend._execute = lambda pod: in_this_process(pod) if pod.task in LIGHT else (1, "")
    assert backend.run(path, told)["ImageExampleGen"].status == "succeeded"


@pytest.mark.slow
def test_a_search_hands_its_values_to_the_trainer(tiny: Project, tmp_path: Path) -> None:
    backend = Backend(tmp_path / "backend", in_this_process)
    path = compiled(tiny, tmp_path, "tuning={over: {learning_rate: [0.00001, 0.01]}, trials: 2}")
    tasks = backend.run(path, {"epochs": 2})
    assert set(statuses(tasks)) == {"succeeded"}
    found = backend.path(tasks["Tuner"].artifacts["tuner_results"].uri) / "trials.json"
    told = json.loads(found.read_text())
    assert len(told["trials"]) == 2
    assert [len(trial["curve"]) for trial in told["trials"]] == [2, 2]
    history = json.loads((backend.path(tasks["Trainer"].artifacts["model_run"].uri) / "history.json").read_text())
    assert len(history["all"]) == 2
    page = backend.path(tasks["ModelReport"].artifacts["report"].uri) / "report.html"
    assert "Trials, best first" in page.read_text()
