"""`imagegate pull`: what it says, how it follows a destination, and how it ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest
from object_store import faults

from components.push import rollback
from components.push import versions as push
from components.push.manifest import PushedManifest
from pipeline import cli
from pipeline.commands import pull

ROOT = Path(__file__).parents[2]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"graph")
    return tmp_path / "model"


def pushed(model: Path, destination: str, content: bytes) -> str:
    (model / "saved_model.pb").write_bytes(content)
    return push.push(str(model), destination, PushedManifest(name="digits")).version


def test_a_pull_says_what_it_did(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    served, here = str(tmp_path / "served"), str(tmp_path / "here")
    version = pushed(model, served, b"1")
    assert cli.main(["pull", served, here]) == 0
    assert capsys.readouterr().out == f"pulled version {version} -> {here}/{version}\n"
    assert cli.main(["pull", served, here, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "version": version,
        "path": f"{here}/{version}",
        "new": False,
        "removed": [],
        "note": "",
    }
    assert cli.main(["pull", str(tmp_path / "nothing"), here]) == 2
    assert cli.main(["pull", served, here, "--keep", "0"]) == 2
    assert capsys.readouterr().err.endswith("imagegate: --keep: expected 1 or more versions, got 0\n")


def watched(steps: list[object], arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Watches with one step in place of each pause; after the last one a signal comes."""

    def pause(seconds: float) -> None:
        assert seconds == pull.PAUSE_S
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()  # type: ignore[operator]

    monkeypatch.setattr(pull, "time", types.SimpleNamespace(sleep=pause))
    return cli.main(["pull", *arguments, "--watch"])


def test_watching_follows_pushes_and_rollbacks_and_survives_what_passes(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served, here = tmp_path / "served", tmp_path / "here"
    found = [pushed(model, str(served), b"1")]
    steps = [
        lambda: None,
        lambda: found.append(pushed(model, str(served), b"2")),
        lambda: served.rename(tmp_path / "away"),
        lambda: None,
        lambda: (tmp_path / "away").rename(served),
        lambda: found.append(rollback.roll_back(str(served))[0].version),
    ]
    assert watched(steps, [str(served), str(here), "--json"], monkeypatch) == 130
    out, err = capsys.readouterr()
    assert [json.loads(line)["version"] for line in out.splitlines()] == found
    assert err.splitlines() == [
        f"imagegate: {served}: no version that imagegate pushed, so there is nothing to pull",  # once, not twice
        "imagegate: stopped by SIGINT",
    ]
    assert (here / found[2] / "saved_model.pb").read_bytes() == b"1"
    assert sorted(os.listdir(here)) == sorted([".imagegate-pulled-from", *found[1:]])


def test_errors_of_a_store_are_one_line_each_and_pass(
    model: Path,
    s3: str,
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    version = pushed(model, s3, b"1")
    faults(server, ("GET", "saved_model", 1000, "403"))
    steps = [lambda: None, lambda: faults(server)]
    try:
        assert watched(steps, [s3, str(tmp_path / "here")], monkeypatch) == 130
    finally:
        faults(server)
    out, err = capsys.readouterr()
    assert out == f"pulled version {version} -> {tmp_path}/here/{version}\n"
    first, last = err.splitlines()
    assert first.startswith(f"imagegate: push: cannot read {s3}/{version}/saved_model.pb: ")
    assert last == "imagegate: stopped by SIGINT"


def test_a_signal_ends_it_and_leaves_a_whole_version(model: Path, tmp_path: Path) -> None:
    served, here = tmp_path / "served", tmp_path / "here"
    version = pushed(model, str(served), b"1")
    command = [sys.executable, "-m", "pipeline", "pull", str(served), str(here), "--watch"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == f"pulled version {version} -> {here}/{version}\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (143, "", "imagegate: stopped by SIGTERM\n")
    assert sorted(os.listdir(here)) == sorted([".imagegate-pulled-from", version])


def test_a_command_line_that_is_wrong_is_not_tried_again(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served = str(tmp_path / "served")
    pushed(model, served, b"1")
    assert cli.main(["pull", served, f"{served}/below", "--watch"]) == 2
    assert cli.main(["pull", served, "s3://bucket/models", "--watch"]) == 2
    assert cli.main(["pull", "nosuch://bucket/models", str(tmp_path / "here"), "--watch"]) == 2
    shutil.rmtree(served)
    assert "is or lies in" in capsys.readouterr().err
