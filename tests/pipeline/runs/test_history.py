"""`imagegate history`, from summaries that a test wrote."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from components.base.errors import ImagegateError
from pipeline import config
from pipeline.runs import history


@pytest.fixture
def settings(tmp_path: Path) -> config.Config:
    path = tmp_path / "imagegate.yaml"
    path.write_text("name: birds\ntask: single_label\ndata: {root: data}\npush: {destination: models}\n")
    return config.load(str(path))


def add(settings: config.Config, run_id: str, **more: object) -> None:
    folder = Path(settings.output_folder) / "history" / run_id
    folder.mkdir(parents=True)
    told = {
        "run_id": run_id,
        "name": "birds",
        "task": "single_label",
        "status": "pushed",
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": 61.4,
        "metrics": {"accuracy": 0.75},
        "pushed": {"path": "/models/17", "version": "17"},
        "error": None,
    }
    (folder / "summary.json").write_text(json.dumps(told | more))


def size(settings: config.Config, run_id: str) -> list[str]:
    """What a run occupies that wrote a summary only, of some hundred bytes: 432 bytes are 0.4 KB."""
    number = (Path(settings.output_folder) / "history" / run_id / "summary.json").stat().st_size
    return [f"{number / 1000:.1f}", "KB"]


def drawn(settings: config.Config) -> list[list[str]]:
    out = io.StringIO()
    Console(file=out, width=200).print(history.table(settings))
    return [line.split() for line in out.getvalue().splitlines()]


def test_every_run_is_a_row_the_newest_first(settings: config.Config) -> None:
    add(settings, "20260102T030405-aaaaaa")
    reason = "too few\x1b[2J examples of 'owl'\nand another reason"
    refused = {"status": "data_rejected", "metrics": {}, "pushed": None, "error": reason}
    add(settings, "20260103T030405-bbbbbb", **refused)
    heads, newest, oldest = drawn(settings)
    assert heads == ["run", "started", "seconds", "size", "status", "accuracy", "version", "why"]
    assert newest == [
        *(
            "20260103T030405-bbbbbb",
            "2026-01-02",
            "03:04",
            "61",
            *size(settings, "20260103T030405-bbbbbb"),
            "data",
            "rejected",
            "-",
            "-",
        ),
        *("too", "few\\x1b[2J", "examples", "of", "'owl'"),  # the first line, and nothing that a terminal obeys
    ]
    assert oldest == [
        "20260102T030405-aaaaaa",
        "2026-01-02",
        "03:04",
        "61",
        *size(settings, "20260102T030405-aaaaaa"),
        "pushed",
        "0.750",
        "17",
    ]


def test_a_long_reason_takes_nothing_from_the_other_columns(settings: config.Config) -> None:
    add(settings, "20260102T030405-aaaaaa", error="word " * 100)
    _, first, *rest = drawn(settings)
    assert first[:6] == [
        "20260102T030405-aaaaaa",
        "2026-01-02",
        "03:04",
        "61",
        *size(settings, "20260102T030405-aaaaaa"),
    ]
    assert sum(line.count("word") for line in [first, *rest]) == 100


def test_a_run_without_a_summary_is_going_on_or_was_killed(settings: config.Config) -> None:
    add(settings, "20260102T030405-aaaaaa")
    (Path(settings.output_folder) / "history" / "20260103T030405-bbbbbb").mkdir()
    assert len(drawn(settings)) == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "damaged: it is not JSON"),
        ("[]", "this one cannot read it"),
        ('{"name": "x", "task": "y", "status": "z", "gates": [3]}', "this one cannot read its key gates.0"),
    ],
)
def test_a_summary_of_another_release_is_left_out_with_the_reason(
    settings: config.Config, content: str, reason: str
) -> None:
    add(settings, "20260102T030405-aaaaaa")
    folder = Path(settings.output_folder) / "history" / "20260104T030405-cccccc"
    folder.mkdir()
    (folder / "summary.json").write_text(content)
    out = io.StringIO()
    Console(file=out, width=500).print(history.table(settings))
    _, left_out, listed = out.getvalue().splitlines()
    assert left_out.startswith("20260104T030405-cccccc")
    assert "left out: " in left_out
    assert reason in left_out
    assert "run again for a new one" in left_out
    assert "pushed" in listed
    assert [run.run_id for run in history.read(settings.output_folder)] == ["20260102T030405-aaaaaa"]


def test_a_history_without_runs_is_a_sentence(settings: config.Config) -> None:
    with pytest.raises(ImagegateError, match=r"no run yet; imagegate run writes one"):
        history.table(settings)
