"""People are told of whole runs: refused, pushed, recovered, stopped; they read what the record says."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from projects import ROOT, Project
from receivers import Script, http

pytestmark = pytest.mark.end_to_end

NOTIFY = "notify=[{to: webhook, url_env: HOOK, secret_env: SECRET}]"
# Another seed makes another model, which is compared with the served one.
NEW_MODEL = "training.seed=2"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    script = Script()
    with http(script) as url:
        monkeypatch.setenv("HOOK", f"{url}/planted-token")
        monkeypatch.setenv("SECRET", "planted-secret")
        yield script


def test_a_refusal_and_the_push_that_follows_are_told_with_the_metric_against_the_served_model(
    tiny: Project, script: Script
) -> None:
    refused = tiny.run(NOTIFY, NEW_MODEL, "evaluation.thresholds=[{metric: loss, max: 0.0001}]")
    pushed = tiny.run(NOTIFY, NEW_MODEL)
    first, second = (json.loads(request.body) for request in script.seen)
    assert (refused["exit_code"], first["events"]) == (4, ["refused"])
    assert first["reason"] == refused["error"]
    assert "loss" in first["reason"]
    assert (first["value"], first["served_value"]) == (
        refused["metrics"]["accuracy"],
        refused["baseline"]["metrics"]["accuracy"],
    )
    assert (first["served_version"], first["report"]) == (refused["baseline"]["version"], refused["report"])
    assert (pushed["status"], second["events"]) == ("pushed", ["pushed", "recovered"])
    assert second["version"] == pushed["pushed"]["version"]
    # What a run on Kubeflow, which has no runner that knows it, tells from: the summary beside the page.
    beside = json.loads((tiny.artifact("ModelReport", "report") / "summary.json").read_text())
    assert (beside["status"], beside["pushed"], beside["metrics"]) == ("pushed", pushed["pushed"], pushed["metrics"])
    assert beside["baseline"] == pushed["baseline"]
    # Nothing of the address or the secret is in an artifact, a log, the report, the database or the pushed model.
    files = [path for path in tiny.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {"metadata.sqlite", "summary.json", "log.txt", "saved_model.pb"} <= {path.name for path in files}
    assert [path for path in files if b"planted-" in path.read_bytes()] == []
    configured = {"to": "webhook", "url_env": "HOOK", "secret_env": "SECRET"}
    assert pushed["configuration"]["notify"] == [configured]
    # Whom a run tells is no reason to run again.
    assert tiny.run("notify=[]", NEW_MODEL)["status"] == "up_to_date"


def test_a_run_that_a_signal_stops_is_told_before_it_ends(tiny: Project, script: Script) -> None:
    command = [sys.executable, "-m", "pipeline", "run", tiny.config, "--force", "--set", NOTIFY]
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        while not list((tiny.output / "history").glob("*/running.json")):
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(0.5)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert time.monotonic() - began < 10
    assert process.returncode == 143, out
    [message] = [json.loads(request.body) for request in script.seen]
    assert (message["events"], message["status"], message["exit_code"]) == (["failed"], "stopped", 143)
    assert message["reason"] == tiny.latest_summary()["error"]
