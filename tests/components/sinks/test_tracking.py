"""MLflow's own client with its SQLite store: what it reads back is what the run came to."""

import json
import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from components.report.run_summary import DataSummary, Pushed, RunSummary, ServedModel
from components.sinks.entry import Entry
from components.sinks.settings import MLflow, Sinks
from pipeline import cli, config, sinks

Write = Callable[[Path, Mapping[str, bytes]], Path]
PLAIN: dict[str, Any] = {"name": "pets", "task": "single_label", "output": "out"}
PLAIN |= {"data": {"root": "data"}, "push": {"destination": "models"}, "sinks": {"mlflow": {"url_env": "TRACKING"}}}


def send(settings: config.Config, run: RunSummary) -> list[str]:
    return sinks.send(settings.sinks, settings.name, settings.output_folder, run)


def summary(**values: object) -> RunSummary:
    known = {
        "name": "pets",
        "task": "single_label",
        "run_id": "20260101T000000-abcdef",
        "status": "pushed",
        "exit_code": 0,
        "metrics": {"accuracy": 0.875, "loss": None},
        "per_label": {"T-shirt (red)": {"recall": 0.5}},
        "fingerprints": {"code": "c0de"},
        "data": DataSummary(fingerprint="da7a"),
        "baseline": ServedModel(version="7", metrics={"accuracy": 0.8}),
        "pushed": Pushed(path="/models/pets/8", version="8"),
    }
    return RunSummary.model_validate(known | values)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database, which takes MLflow seconds to make."""
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'planted.db'}"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> config.Config:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # where MLflow would put reports
    return config.validated(PLAIN | {"folder": str(tmp_path)})


def test_a_push_is_a_run_and_a_version_of_the_registered_model(
    store: str, settings: config.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setenv("TRACKING", store)
    (tmp_path / "report.html").write_text("<p>the page</p>")
    report = str(tmp_path / "report.html")
    assert send(settings, summary(report=report)) == []
    assert MLFLOW_DISABLE_TELEMETRY.get() is True
    assert send(settings, summary(run_id="later", status="not_blessed", exit_code=4, pushed=None, error="no")) == []
    client: Any = MlflowClient(tracking_uri=store, registry_uri=store)
    found = client.get_experiment_by_name("pets")
    refused, pushed = sorted(client.search_runs([found.experiment_id]), key=lambda r: r.info.run_name, reverse=True)
    assert (pushed.info.run_name, pushed.info.status) == ("20260101T000000-abcdef", "FINISHED")
    assert pushed.data.metrics == {"accuracy": 0.875, "recall/T-shirt _red_": 0.5}
    tags = {k: v for k, v in pushed.data.tags.items() if k.startswith("imagegate.")}
    assert tags == {
        "imagegate.status": "pushed",
        "imagegate.exit_code": "0",
        "imagegate.task": "single_label",
        "imagegate.data.fingerprint": "da7a",
        "imagegate.fingerprint.code": "c0de",
        "imagegate.served_before": "7",
    }
    assert [file.path for file in client.list_artifacts(pushed.info.run_id)] == ["report.html"]
    assert [file.read_text() for file in (tmp_path / "out" / "mlflow").rglob("*.html")] == ["<p>the page</p>"]
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (refused.data.tags["imagegate.reason"], refused.info.status) == ("no", "FINISHED")
    [version] = client.search_model_versions("name='pets'")
    assert (version.source, version.run_id) == ("/models/pets/8", pushed.info.run_id)
    assert version.tags["imagegate.version"] == "8"


def test_a_server_gets_what_a_database_gets(
    settings: config.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server that MLFLOW_SERVER names, such as `mlflow server` of a virtual environment of its own."""
    if "MLFLOW_SERVER" not in os.environ:
        pytest.skip("no MLFLOW_SERVER")
    from mlflow.tracking import MlflowClient

    url, name = os.environ["MLFLOW_SERVER"], f"pets-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("TRACKING", url)
    (tmp_path / "report.html").write_text("<p>the page</p>")
    told = settings.model_copy(update={"name": name})
    pushed = summary(report=str(tmp_path / "report.html"), pushed=Pushed(path="s3://models/pets/8", version="8"))
    assert send(told, pushed) == []
    # A server takes no paths of its own machine as sources; the rest of the record is there.
    assert send(told, summary(run_id="local")) == ["mlflow (TRACKING): not recorded: RestException"]
    client: Any = MlflowClient(tracking_uri=url, registry_uri=url)
    runs = {run.info.run_name: run for run in client.search_runs([client.get_experiment_by_name(name).experiment_id])}
    run = runs["20260101T000000-abcdef"]
    assert (run.data.metrics, run.info.status) == ({"accuracy": 0.875, "recall/T-shirt _red_": 0.5}, "FINISHED")
    assert (runs["local"].data.metrics["accuracy"], runs["local"].data.tags["imagegate.status"]) == (0.875, "pushed")
    local = client.download_artifacts(run.info.run_id, "report.html", str(tmp_path / "elsewhere"))
    assert Path(local).read_text() == "<p>the page</p>"
    [version] = client.search_model_versions(f"name='{name}'")
    assert (version.source, version.tags["imagegate.version"]) == ("s3://models/pets/8", "8")


def test_what_the_registry_refuses_leaves_the_rest_of_the_record(
    store: str, settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("TRACKING", store)
    odd = settings.model_copy(update={"sinks": Sinks(mlflow=MLflow(url_env="TRACKING", experiment="b", model="a/b:c"))})
    assert send(odd, summary()) == ["mlflow (TRACKING): not recorded: MlflowException"]
    client: Any = MlflowClient(tracking_uri=store)
    [run] = client.search_runs([client.get_experiment_by_name("b").experiment_id])
    assert (run.data.metrics["accuracy"], run.info.status) == (0.875, "FINISHED")


def test_a_run_with_a_store_that_cannot_be_reached_ends_as_it_would_and_says_so_in_one_line(
    tmp_path: Path, write_files: Write, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlflow")
    write_files(tmp_path / "data", {"cat/note.txt": b"no image"})
    (tmp_path / "pets.yaml").write_text(json.dumps(PLAIN))
    monkeypatch.setenv("TRACKING", "nosuch://user:planted@127.0.0.1:9")
    assert cli.main(["run", str(tmp_path / "pets.yaml")]) == 3
    printed = "".join(capfd.readouterr())
    [line] = [line for line in printed.splitlines() if "mlflow" in line.lower()]
    assert line.startswith("Sinks: warning: mlflow (TRACKING): not recorded: ")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if b"planted" in path.read_bytes()] == []
    assert "planted" not in printed


def test_a_variable_that_is_not_set_is_named(settings: config.Config) -> None:
    problem = "mlflow (TRACKING): not recorded: the environment variable TRACKING is not set"
    assert send(settings, summary()) == [problem]


def test_without_the_section_nothing_is_sent(settings: config.Config) -> None:
    off = config.validated({k: v for k, v in PLAIN.items() if k != "sinks"} | {"folder": settings.folder})
    assert send(off, summary()) == []
    assert off.fingerprint() == settings.fingerprint()


@pytest.mark.parametrize(
    ("status", "code", "state"),
    [("pushed", 0, "finished"), ("data_rejected", 3, "finished"), ("failed", 1, "failed"), ("killed", 137, "stopped")],
)
def test_a_refusal_is_a_finished_run(status: str, code: int, state: str) -> None:
    assert Entry.of(summary(status=status, exit_code=code)).state == state


def test_every_label_has_a_metric_under_a_name_that_mlflow_takes() -> None:
    validation = pytest.importorskip("mlflow.utils.validation")
    labels = ["猫", "狗", "кот", "cat/", "a//b", "a_/b", ".", "..", "x" * 300, "x" * 299 + "y", "(red)", "[red]"]
    names = Entry.of(summary(metrics={}, per_label={label: {"recall": 0.5} for label in labels})).metrics
    assert len(names) == len(labels)
    for name in names:
        validation._validate_metric_name(name)


def test_a_challenger_is_called_so() -> None:
    assert "role" not in Entry.of(summary()).facts
    beside = Pushed(path="/models/pets/8", version="8", challenger=True)
    assert Entry.of(summary(pushed=beside)).facts["role"] == "challenger"


def test_only_what_this_run_pushed_is_a_version() -> None:
    assert Entry.of(summary(status="up_to_date")).version is None
    assert Entry.of(summary()).version == "8"


def test_where_no_folder_outlives_the_run_none_becomes_the_place_of_an_experiment(
    store: str, settings: config.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a pod: a new experiment is refused, and one whose place is a folder gets the record without the report."""
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("TRACKING", store)
    (tmp_path / "report.html").write_text("<p>the page</p>")
    run, told = summary(report=str(tmp_path / "report.html"), pushed=None, status="not_blessed"), settings.sinks
    [problem] = sinks.send(told, "podded", None, run)
    assert problem.startswith("mlflow (TRACKING): not recorded: the experiment podded is new, and a database keeps no")
    client: Any = MlflowClient(tracking_uri=store, registry_uri=store)
    assert client.get_experiment_by_name("podded") is None
    client.create_experiment("podded", artifact_location=str(tmp_path / "place"))
    assert sinks.send(told, "podded", None, run) == []
    [recorded] = client.search_runs([client.get_experiment_by_name("podded").experiment_id])
    assert recorded.data.metrics["accuracy"] == 0.875
    assert not (tmp_path / "place").exists()
