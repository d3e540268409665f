"""People are told of runs that end before TensorFlow is loaded; nothing of that changes how a run ends."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from receivers import Script, http

from components.report.run_summary import DataSummary, Pushed, RunSummary, SamePart, ServedModel
from pipeline import cli, config, lock, notice, scheduled, stopping
from pipeline.runs import history, local
from pipeline.runs.summary import Summary

Write = Callable[[Path, Mapping[str, bytes]], Path]
CONFIG = """\
name: pets
task: single_label
output: out
data: {root: data}
push: {destination: models}
notify:
  - {to: webhook, url_env: HOOK, secret_env: SECRET}
"""


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def told(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A configuration whose data do not exist, with a recipient of everything."""
    (tmp_path / "pets.yaml").write_text(CONFIG)
    with http(script) as url:
        monkeypatch.setenv("HOOK", f"{url}/planted-token")
        monkeypatch.setenv("SECRET", "planted-secret")
        yield str(tmp_path / "pets.yaml")


def messages(script: Script) -> list[dict]:
    return [json.loads(request.body) for request in script.seen]


def summary(**values: object) -> RunSummary:
    return RunSummary.model_validate({"name": "pets", "task": "single_label", "status": "pushed"} | values)


def test_a_run_that_cannot_start_is_told_with_its_sentence(
    told: str, script: Script, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", told]) == 2
    [message] = messages(script)
    assert (message["name"], message["events"], message["exit_code"]) == ("pets", ["failed"], 2)
    assert "data.root" in message["reason"]
    assert f"imagegate: {message['reason']}\n" == capfd.readouterr().err


def test_a_scheduled_run_tells_once(told: str, script: Script) -> None:
    assert scheduled.main([told]) == 2
    assert [message["events"] for message in messages(script)] == [["failed"]]


def test_data_without_an_image_are_a_refusal_with_its_record(
    told: str, script: Script, tmp_path: Path, write_files: Write
) -> None:
    write_files(tmp_path / "data", {"cat/note.txt": b"no image"})
    assert cli.main(["run", told]) == 3
    [message] = messages(script)
    record = json.loads((tmp_path / "out" / "latest" / "summary.json").read_text())
    assert message["events"] == ["refused"]
    assert (message["run_id"], message["reason"]) == (record["run_id"], record["error"])
    assert Path(message["report"]).is_file()


@pytest.mark.parametrize("answer", [500, 302, "cut"])
def test_a_failed_notification_is_one_line_and_changes_neither_exit_code_nor_record(
    told: str, script: Script, tmp_path: Path, write_files: Write, capfd: pytest.CaptureFixture[str], answer: int | str
) -> None:
    write_files(tmp_path / "data", {"cat/note.txt": b"no image"})
    assert cli.main(["run", told]) == 3
    before = json.loads((tmp_path / "out" / "latest" / "summary.json").read_text())
    assert "notify" not in capfd.readouterr().out
    script.answers, script.location = [answer], "http://127.0.0.1:9/"
    assert cli.main(["run", told]) == 3
    printed = "".join(capfd.readouterr())
    [line] = [line for line in printed.splitlines() if "notify" in line.lower()]
    assert line.startswith("Notify: warning: webhook (HOOK): not sent: ")
    after = json.loads((tmp_path / "out" / "latest" / "summary.json").read_text())
    differ = {"run_id", "started", "seconds", "report"}
    assert {k: v for k, v in after.items() if k not in differ} == {k: v for k, v in before.items() if k not in differ}


def test_the_address_and_the_secret_are_in_no_file_and_in_no_line(
    told: str, script: Script, tmp_path: Path, write_files: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    write_files(tmp_path / "data", {"cat/note.txt": b"no image"})
    script.answers = ["cut"]
    assert scheduled.main([told]) == 3
    assert cli.main(["run", told, "--json"]) == 3
    assert cli.main(["notify", told, "--test"]) == 1
    assert script.seen[0].path == "/planted-token"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"summary.json", "log.txt", "report.html", "schedule.log"} <= {path.name for path in files}
    assert [path for path in files if b"planted" in path.read_bytes()] == []
    assert "planted" not in "".join(capfd.readouterr())


def test_a_test_message_goes_to_all_and_says_so(told: str, script: Script, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["notify", told, "--test"]) == 0
    [message] = messages(script)
    assert (message["name"], message["test"], message["events"]) == ("pets", True, [])
    assert capfd.readouterr().out == "sent to 1 of 1\n"


def test_a_test_message_that_is_not_taken_ends_with_an_error(
    told: str, script: Script, capfd: pytest.CaptureFixture[str]
) -> None:
    script.answers = [404]
    assert cli.main(["notify", told, "--test"]) == 1
    assert capfd.readouterr().err == "imagegate: webhook (HOOK): not sent: the server answered 404\n"
    assert cli.main(["notify", told, "--test", "--set", "notify=[]"]) == 2
    assert "notify: there is no recipient" in capfd.readouterr().err


def test_recovered_is_the_first_good_run_after_bad_ones(told: str, script: Script, tmp_path: Path) -> None:
    settings = config.load(told)
    (tmp_path / "out").mkdir()
    for status, code in [("pushed", 0), ("failed", 1), ("not_blessed", 4), ("up_to_date", 0), ("up_to_date", 0)]:
        assert notice.send(settings, summary(status=status, exit_code=code)) == []
    # The second run without changes is nothing to tell.
    assert [m["events"] for m in messages(script)] == [["pushed"], ["failed"], ["refused"], ["recovered"]]
    assert cli.main(["run", told]) == 2  # it could not start
    assert notice.send(settings, summary(status="pushed", exit_code=0)) == []
    assert [m["events"] for m in messages(script)][4:] == [["failed"], ["pushed", "recovered"]]
    shutil.rmtree(tmp_path / "out")  # where nothing can be remembered, nothing breaks
    assert notice.send(settings, summary(status="failed", exit_code=1)) == []


def test_the_main_metric_is_that_of_the_images_that_both_models_were_compared_on() -> None:
    whole = {"metrics": {"accuracy": 0.9}, "data": DataSummary(counts={"test": 100})}
    served = ServedModel(version="7", metrics={"accuracy": 0.8})
    both = notice.message(summary(**whole, baseline=served, pushed=Pushed(path="m", version="8")), recovered=False)
    assert (both.metric, both.value, both.served_version, both.served_value) == ("accuracy", 0.9, "7", 0.8)
    assert (both.version, both.events) == ("8", ("pushed",))
    beside = Pushed(path="m", version="8", challenger=True)
    assert notice.message(summary(pushed=beside), recovered=False).title == "imagegate: pets: pushed challenger 8"
    part = ServedModel(version="7", metrics={"accuracy": 0.8}, compared=SamePart(images=50, metrics={"accuracy": 0.85}))
    assert notice.message(summary(**whole, baseline=part), recovered=False).value == 0.85
    alone = notice.message(summary(**whole), recovered=False)
    assert (alone.value, alone.served_version) == (0.9, None)


@pytest.mark.parametrize("command", ["run", "tune"])
def test_a_killed_run_is_told_by_the_next_command(
    command: str, told: str, script: Script, tmp_path: Path, write_files: Write
) -> None:
    """Of the search itself nobody is told."""
    write_files(tmp_path / "data", {"cat/note.txt": b"no image"})
    folder = tmp_path / "out" / "history" / "20260101T000000-abcdef"
    folder.mkdir(parents=True)
    history.begin(str(folder), summary(run_id=folder.name, status="failed"), "in the stage Trainer")
    assert cli.main([command, told]) == 3
    killed, *own = messages(script)
    assert (killed["run_id"], killed["status"], killed["exit_code"]) == (folder.name, "killed", 137)
    assert killed["reason"].startswith("imagegate run was killed, or the machine went down, in the stage Trainer")
    assert [message["events"] for message in own] == ([["refused"]] if command == "run" else [])


@pytest.mark.parametrize("command", ["tune", "compare"])
def test_a_killed_search_is_told_as_one_and_no_run_recovers_from_it(
    command: str, told: str, script: Script, tmp_path: Path
) -> None:
    settings = config.load(told)
    (tmp_path / "out" / "history" / "20260101T000000-abcdef").mkdir(parents=True)
    folder = str(tmp_path / "out" / "history" / "20260101T000000-abcdef")
    begun = Summary(settings, command)  # type: ignore[arg-type]
    history.begin(folder, begun.freeze(), "in the stage Tuner")
    [killed] = history.record_killed(str(tmp_path / "out"))
    assert notice.send(settings, killed) == []
    [message] = messages(script)
    assert (message["command"], message["status"], message["events"]) == (command, "killed", ["failed"])
    assert message["reason"].startswith(f"imagegate {command} was killed, or the machine went down, in the stage Tuner")
    assert notice.send(settings, summary(status="up_to_date", exit_code=0)) == []
    assert len(messages(script)) == 1


def test_a_signal_before_the_first_stage_is_told(told: str, script: Script) -> None:
    with pytest.raises(stopping.Stopped), notice.failures(config.load(told)):
        raise stopping.Stopped(signal.SIGTERM)
    [message] = messages(script)
    assert (message["events"], message["status"], message["exit_code"]) == (["failed"], "stopped", 143)
    assert message["reason"] == "stopped by SIGTERM"


def test_a_run_that_is_ended_by_force_is_told_once_and_in_time(told: str, script: Script, tmp_path: Path) -> None:
    runner = local.Runner(config.load(told), lambda *_: None)
    Path(runner.folder).mkdir(parents=True)
    script.answers = ["stall"]
    began = time.monotonic()
    for _ in range(2):  # by the thread that watches, and again by the main thread
        runner._end_by_force(stopping.Stopped(signal.SIGTERM))
    assert time.monotonic() - began < 3.5  # whoever asked may wait for 10 s, of which 7 are over
    assert [message["status"] for message in messages(script)] == ["stopped"]
    assert json.loads((tmp_path / "out" / "latest" / "summary.json").read_text())["exit_code"] == 143


def test_after_a_second_signal_nothing_is_sent(told: str, script: Script, tmp_path: Path) -> None:
    runner = local.Runner(config.load(told), lambda *_: None)
    Path(runner.folder).mkdir(parents=True)
    runner._end_by_force(stopping.Stopped(signal.SIGTERM, at_once=True))
    assert script.seen == []
    assert json.loads((tmp_path / "out" / "latest" / "summary.json").read_text())["exit_code"] == 143


def test_a_signal_while_a_recipient_is_slow_changes_nothing_in_what_the_run_came_to(
    told: str, script: Script, tmp_path: Path, write_files: Write
) -> None:
    write_files(tmp_path / "data", {"cat/note.txt": b"no image"})
    script.answers = ["stall"]
    command = [sys.executable, "-m", "pipeline.cli", "run", told]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE)
    until = time.monotonic() + 60
    while not script.seen:
        assert time.monotonic() < until, "nothing was sent"
        time.sleep(0.05)
    lock.refuse_if_held(str(tmp_path / "out"))  # another command need not wait for the recipient
    written = (tmp_path / "out" / "latest" / "summary.json").read_bytes()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == json.loads(written)["exit_code"] == 3
    assert (tmp_path / "out" / "latest" / "summary.json").read_bytes() == written


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), OSError(12, "planted")])
def test_an_error_of_sending_itself_is_one_line_and_leaves_the_record(
    told: str,
    tmp_path: Path,
    write_files: Write,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    write_files(tmp_path / "data", {"cat/note.txt": b"no image"})

    def fail(*_: object, **__: object) -> list[str]:
        raise error

    monkeypatch.setattr(notice.sending, "send", fail)
    assert cli.main(["run", told]) == 3
    printed = "".join(capfd.readouterr())
    assert f"warning: notify: {type(error).__name__}\n" in printed
    assert "planted" not in printed
    assert json.loads((tmp_path / "out" / "latest" / "summary.json").read_text())["exit_code"] == 3


def test_a_run_that_finds_the_output_locked_is_neither_told_nor_taken_for_a_failure(
    told: str, script: Script, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    with lock.held(str(tmp_path / "out"), "run 7"):
        assert cli.main(["run", told]) == 1
    assert notice.send(config.load(told), summary(status="up_to_date", exit_code=0)) == []
    assert script.seen == []  # neither "failed" nor, of the next good run, "recovered"


def test_an_unexpected_error_is_told_without_its_text_and_goes_on(told: str, script: Script) -> None:
    with pytest.raises(RuntimeError), notice.failures(config.load(told)):
        raise RuntimeError("a library's words, planted")
    assert messages(script)[0]["reason"] == "RuntimeError; the command's output says more"
