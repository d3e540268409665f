"""What happens to the destination while a run trains, after it was killed, and to the model that is served."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projects import Project, copy_source, ran
from tfx.types import standard_artifacts

from components.push import rollback, versions
from components.push.destination import at
from components.stages import artifacts, pusher
from pipeline import config
from pipeline.runs import history, local

pytestmark = pytest.mark.end_to_end

SETTLED = "evaluation.slices=[label]"  # as in the latest of the runs that `tiny` has behind it
COMPARED = "evaluation.thresholds=[{metric: accuracy, min: 0.0}, {metric: accuracy, max_drop: 1.0}]"


def run_with(project: Project, listener: Callable[[str, str], None], *overrides: str) -> dict[str, Any]:
    """A run that tells `listener` the name of each stage and its event."""
    settings = config.load(project.config, overrides)
    summary = local.Runner(settings, lambda name, event, *_: listener(name, event)).run().freeze()
    told: dict[str, Any] = json.loads(summary.to_json())
    return told


def push_another(project: Project) -> versions.Served:
    """Pushes what another run would: the served model with one file more."""
    served = versions.current(str(project.destination))
    copy = shutil.copytree(served.path, project.folder / "another")
    for name in ("imagegate.json", *served.manifest.beside):
        (copy / name).unlink()
    (copy / "assets.extra" / "another").write_text("")
    beside = {name: versions.content(served, name) for name in served.manifest.beside}
    told = served.manifest.model_copy(update={"identity": ""})
    return versions.push(str(copy), str(project.destination), told, beside, compared=served.version)


@pytest.mark.slow
@pytest.mark.parametrize("meanwhile", ["push", "rollback"])
def test_a_run_does_not_replace_what_came_while_it_trained_and_the_next_one_compares_with_it(
    tiny: Project, meanwhile: str
) -> None:
    """A better model was pushed, or the served one rolled back, between evaluation and push."""
    root = str(tiny.destination)
    before = versions.current(root) if meanwhile == "push" else push_another(tiny)
    came: list[versions.Served] = []

    def listener(name: str, event: str) -> None:
        if (name, event) == ("Evaluator", "finished"):
            came.append(push_another(tiny) if meanwhile == "push" else rollback.roll_back(root)[0])

    summary = run_with(tiny, listener, SETTLED, COMPARED, "training.seed=2")
    [now] = came
    assert (summary["status"], summary["exit_code"], summary["pushed"]) == ("not_blessed", 4, None)
    copied = "" if meanwhile == "push" else f", a copy of version {now.manifest.rolled_back_to},"
    assert summary["error"] == (
        f"version {now.version}{copied} is served now, but this run compared its model with version {before.version}, "
        f"which was served when it began; nothing was pushed. Run again: then the model is compared with "
        f"{now.version}, and the training is taken from the cache"
    )
    assert "this run compared its model with" in Path(summary["report"]).read_text()
    assert versions.current(root) == now
    summary = tiny.run(SETTLED, COMPARED, "training.seed=2")
    assert summary["status"] == "pushed"
    assert "Trainer" not in ran(summary)
    assert summary["baseline"]["version"] == versions.current(root).manifest.compared_with == now.version


@pytest.mark.slow
def test_a_version_that_was_removed_before_the_comparison_ends_the_run(tiny: Project) -> None:
    [one] = tiny.destination.iterdir()

    def listener(name: str, event: str) -> None:
        if (name, event) == ("Trainer", "finished"):
            shutil.rmtree(one)

    summary = run_with(tiny, listener, SETTLED, "training.seed=2")
    assert (summary["status"], summary["exit_code"]) == ("not_blessed", 4)
    assert summary["error"].startswith("no version is served now, but this run compared its model with version ")
    assert os.listdir(tiny.destination) == []


@pytest.mark.slow
def test_a_withdrawn_model_stays_withdrawn_though_it_is_trained_anew(tiny: Project) -> None:
    two = tiny.run(SETTLED, "training.seed=2")["pushed"]["version"]
    rollback.roll_back(str(tiny.destination))
    shutil.rmtree(tiny.output)
    before = tiny.served()
    for force in (False, True):
        summary = tiny.run(SETTLED, "training.seed=2", force=force)
        assert "Trainer" in ran(summary)
        assert (summary["status"], summary["exit_code"]) == ("not_blessed", 4)
        assert summary["error"].startswith(f"this very model was rolled back as version {two}, so it is not pushed ")
    assert tiny.served() == before


@pytest.mark.slow
def test_the_served_model_trained_anew_is_known(tiny: Project) -> None:
    before = tiny.served()
    shutil.rmtree(tiny.output)
    summary = tiny.run(SETTLED)
    assert "Trainer" in ran(summary)
    assert (summary["status"], summary["exit_code"]) == ("up_to_date", 0)
    assert tiny.served() == before


def test_a_damaged_served_model_is_replaced_by_the_next_run(tiny: Project) -> None:
    [old] = tiny.destination.iterdir()
    assert tiny.run(SETTLED, COMPARED)["status"] == "up_to_date"
    assert tiny.run(SETTLED, COMPARED)["stages"] == []
    shutil.rmtree(old / "variables")
    summary = tiny.run(SETTLED, COMPARED)
    assert "Trainer" not in ran(summary)
    assert summary["status"] == "pushed"
    [warning] = [note for note in summary["notes"] if note.startswith(f"warning: {old}/variables/variables.")]
    assert warning.endswith("and is not loaded; this run replaces it if it comes to the same model")
    versions.verify(versions.current(str(tiny.destination)))
    assert tiny.run(SETTLED, COMPARED)["stages"] == []


@pytest.mark.parametrize("manifest", ["", "{", None])
def test_a_damaged_manifest_of_the_served_model_ends_the_run(tiny: Project, manifest: str | None) -> None:
    [old] = tiny.destination.iterdir()
    path = old / "imagegate.json"
    path.unlink() if manifest is None else path.write_text(manifest)
    summary = tiny.run(SETTLED)
    what = "is damaged" if manifest is not None else "is missing, but images.npy is there"
    assert (summary["status"], summary["exit_code"], summary["stages"]) == ("failed", 1, [])
    assert summary["error"] == (
        f"version {old.name} is served, but nothing is known of it: {path} {what}. Bring an older version back "
        f"(imagegate rollback CONFIG), or remove {old}"
    )
    assert os.listdir(tiny.destination) == [old.name]


@pytest.mark.slow
def test_a_stopped_process_does_not_replace_what_was_pushed_while_it_stood_still(tiny: Project, tmp_path: Path) -> None:
    """SIGSTOP once the Evaluator has ended, a push, SIGCONT."""
    source = copy_source(tmp_path)
    command = [sys.executable, "-m", "pipeline", "run", tiny.config, "--set", "training.seed=2", "--set", COMPARED]
    environment = os.environ | {"PYTHONPATH": str(source)}
    [before] = os.listdir(tiny.destination)
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Evaluator" in line and "ok" in line:
                os.kill(process.pid, signal.SIGSTOP)
                break
        now = push_another(tiny)
        os.kill(process.pid, signal.SIGCONT)
        said = process.stdout.read()
        code = process.wait(timeout=300)
    assert code == 4, said
    assert f"version {now.version} is served now, but this run compared its model with version {before}, " in said
    assert sorted(os.listdir(tiny.destination)) == [before, now.version]


class _Killed(BaseException):
    """Ends a run as SIGKILL does: without a summary."""


@pytest.mark.slow
def test_a_run_that_was_killed_after_its_push_adds_no_second_version(tiny: Project) -> None:
    root = str(tiny.destination)

    def listener(name: str, event: str) -> None:
        if (name, event) == ("Pusher", "finished"):
            raise _Killed

    with pytest.raises(_Killed):
        run_with(tiny, listener, SETTLED, "training.seed=2", "push.keep=2")
    pushed = list(versions.newest_first(at(root)))
    assert len(pushed) == 2
    before, runs = tiny.served(), len(list(history.read(str(tiny.output))))
    summary = tiny.run(SETTLED, "training.seed=2", "push.keep=2")
    assert (summary["status"], summary["exit_code"]) == ("up_to_date", 0)
    assert summary["pushed"]["version"] == pushed[0].version
    assert "Trainer" not in ran(summary)
    assert tiny.served() == before
    assert len(list(history.read(str(tiny.output)))) == runs + 1
    assert tiny.run(SETTLED, "training.seed=2", "push.keep=2")["stages"] == []


def test_a_retried_pusher_finds_what_it_pushed(tiny: Project) -> None:
    """As Kubeflow tries a stage again: with the same inputs and parameters."""
    summary, root = tiny.latest_summary(), tiny.folder / "elsewhere"
    inputs = {
        "model": standard_artifacts.Model(),
        "model_run": standard_artifacts.ModelRun(),
        "model_evaluation": standard_artifacts.ModelEvaluation(),
        "blessing": standard_artifacts.ModelBlessing(),
        "class_balance": artifacts.ClassBalance(),
        "serving_check": artifacts.ServingCheck(),
    }
    keys = {"model_evaluation": "evaluation", "serving_check": "serving_check_out"}
    for key, artifact in inputs.items():
        artifact.uri = str(tiny.output / summary["artifacts"][keys.get(key, key)])
    inputs["blessing"].set_int_custom_property("blessed", 1)
    inputs["serving_check"].set_int_custom_property("passed", 1)
    for attempt in (1, 2):
        out = standard_artifacts.PushedModel()
        out.uri = str(tiny.folder / f"pushed-{attempt}")
        pusher.Pusher.EXECUTOR_SPEC.executor_class._FUNCTION(
            **inputs,
            pushed_model=out,
            settings=json.dumps({"destination": str(root)}),
            served_version="",
            facts=json.dumps({"name": "tiny", "task": "single_label"}),
            build="",
            code_fingerprint="",
        )
        assert out.get_int_custom_property("pushed") == (attempt == 1)
        assert [out.get_string_custom_property("pushed_version")] == os.listdir(root)
