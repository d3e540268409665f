"""Whole runs whose stages write to an S3 server: the same results, nothing done twice, nothing half taken."""

import json
import shutil
import sqlite3
from pathlib import Path

import fsspec
import object_store
import pytest
from projects import Project, ran, write_tiny

from components.data.storage.objects import Objects
from pipeline import cli
from pipeline.artifacts.store import ArtifactStore
from scripts import compare_runs

pytestmark = pytest.mark.end_to_end

URL = "s3://models/runs"
ARTIFACTS = f"output.artifacts={URL}"
PROCESSES = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]  # workers that share nothing
LAST = {"Pusher", "ModelReport"}
GATE = {"Evaluator", "ServingCheck"} | LAST


def stored() -> dict[str, bytes]:
    """What lies in the store, without the record of its owner."""
    files = fsspec.filesystem("s3", use_listings_cache=False)
    found = {path.removeprefix(f"{URL[5:]}/"): files.cat_file(path) for path in files.find(URL)}
    return {name: content for name, content in found.items() if name != ".owner.json"}


def copies(output: Path) -> dict[str, bytes]:
    """The files of the artifacts on this machine."""
    root = output / "pipeline"
    files = [path for path in root.rglob("*") if path.is_file() and ".system" not in path.parts]
    return {name: lasting(name, path.read_bytes()) for path in files for name in [str(path.relative_to(root))]}


def of_artifacts(found: dict[str, bytes]) -> dict[str, bytes]:
    return {name: lasting(name, content) for name, content in found.items() if not name.startswith(".complete/")}


def lasting(name: str, content: bytes) -> bytes:
    """Of a ledger without the proofs: the next run adds those that were too young, on this machine alone."""
    if not name.endswith("/ledger.jsonl"):
        return content
    head, *entries = map(json.loads, content.splitlines())
    return json.dumps([head, *([path, digest] for path, _, digest in entries)]).encode()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the objects that are uploaded, rather than copied in the store, but for records."""
    names, put = list[str](), Objects.put

    def noted(self: Objects, name: str, content: bytes | str) -> None:
        names.extend([] if name.startswith(".") else [name])
        put(self, name, content)

    monkeypatch.setattr(Objects, "put", noted)
    return names


@pytest.mark.parametrize(
    "made",
    ["digits", pytest.param("shapes", marks=pytest.mark.slow), pytest.param("regions", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("beam", [[], pytest.param(PROCESSES, marks=pytest.mark.slow)])
def test_a_run_with_a_store_comes_to_the_same(
    made: str, beam: list[str], server: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    project: Project = request.getfixturevalue("tiny" if made == "digits" else made)
    if made == "digits":  # of its runs the first, since those that followed compared with a served model
        (project.output / "latest").unlink()
        (project.output / "latest").symlink_to(min((project.output / "history").iterdir()))
    output = tmp_path / "out"
    places = [f"output.folder={output}", f"push.destination={tmp_path / 'models'}"]
    summary = project.run(ARTIFACTS, *places, f"beam={json.dumps(beam)}")  # with options, workers use the store
    assert summary["status"] == "pushed", summary["error"]
    one, other = compare_runs.results(str(project.output)), compare_runs.results(str(output))
    assert one["shards"]
    assert list(compare_runs.differences(one, other)) == []
    assert of_artifacts(stored()) == copies(output)
    with sqlite3.connect(output / "metadata.sqlite") as connection:
        uris = [uri for (uri,) in connection.execute("SELECT uri FROM Artifact")]
    assert uris
    assert all(uri.startswith(f"{URL}/") for uri in uris)


@pytest.mark.slow
def test_later_runs_reuse_what_the_store_holds_and_remove_what_no_run_needs(
    server: str, tmp_path: Path, sent: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    project = write_tiny(tmp_path / "project")
    assert project.run(ARTIFACTS)["status"] == "pushed"
    assert project.run(ARTIFACTS)["status"] == "up_to_date"

    # Other thresholds judge again. The copies are gone, so what the page and the stages read is fetched.
    before = copies(project.output)
    shutil.rmtree(project.output / "pipeline")
    assert cli.main(["report", project.config]) == 0
    assert copies(project.output) == before
    shutil.rmtree(project.output / "pipeline")
    sent.clear()
    summary = project.run(ARTIFACTS, "evaluation.thresholds=[{metric: accuracy, min: 0.01}]", "balance.max_ratio=50")
    assert summary["exit_code"] == 0, summary["error"]
    assert not any(name.startswith(("ImageExampleGen", "Trainer", "Transform")) for name in sent)
    after = copies(project.output)
    assert {name: after[name] for name in before if name in after} == {n: c for n, c in before.items() if n in after}
    assert any(name.startswith("Trainer/model/") for name in after)

    # Of 4 shards in 3 splits, one file holds the new image; the others are copied in the store.
    shutil.copy(project.folder / "data" / "0" / "0.png", project.folder / "data" / "0" / "copy.png")
    sent.clear()
    summary = project.run(ARTIFACTS, "output.keep=1", "training.seed=2")
    assert summary["status"] == "pushed", summary["error"]
    assert sum(summary["data"]["counts"].values()) == 91
    assert len([name for name in sent if name.endswith(".tfrecord") and name.startswith("ImageExampleGen")]) == 1

    # The newest run is the only one kept, and the one that pushed what is served.
    assert ArtifactStore(URL, str(project.output)).artifacts().keys() == set(summary["artifacts"].values())
    assert of_artifacts(stored()) == copies(project.output)

    # The remains of a killed run go with `clean`, here and there.
    Objects(URL, "test").put("Trainer/model/999/half", b"x" * 10)
    assert cli.main(["clean", project.config, "--set", ARTIFACTS]) == 0
    assert f"pipeline/Trainer/model/999 (0.0 KB in {URL})" in capsys.readouterr().out
    assert "Trainer/model/999/half" not in stored()


@pytest.mark.slow
def test_a_store_that_fails_in_the_middle_ends_the_run_and_the_next_goes_on(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = write_tiny(tmp_path / "project")
    object_store.faults(server, ("PUT", "Trainer/model/.*/saved_model.pb", 10**6, "503"))
    summary = project.run(ARTIFACTS)
    assert (summary["status"], summary["exit_code"]) == ("failed", 1)
    assert summary["error"].startswith(f"output.artifacts: {URL}/Trainer/model/")
    assert summary["error"].endswith("run again once it can, and the run goes on from there")
    assert not project.destination.exists()
    done = {stage["name"] for stage in summary["stages"]}
    assert "Transform" in done
    assert "Trainer" not in done
    assert not [name for name in stored() if name.startswith(".complete/Trainer")]
    object_store.faults(server)
    summary = project.run(ARTIFACTS)
    assert summary["status"] == "pushed", summary["error"]
    assert ran(summary) == {"Trainer"} | GATE | ({"Baseline"} - done)
    assert of_artifacts(stored()) == copies(project.output)  # nothing of the failed upload is left


def test_commands_say_that_the_store_cannot_be_reached(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = write_tiny(tmp_path / "project")
    for command in ("check", "run"):
        assert cli.main([command, project.config, "--set", "output.artifacts=s3://none/runs"]) == 2
        [line] = [line for line in capsys.readouterr().err.splitlines() if "output.artifacts" in line]
        assert "output.artifacts: s3://none/runs cannot be written: " in line
    assert not project.output.exists()
