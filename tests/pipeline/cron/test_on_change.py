"""`imagegate schedule --on-change`: a run starts when enough is new, and only then."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from components.push import versions
from components.push.manifest import PushedManifest
from pipeline import cli, config, scheduled
from pipeline.cron import change, crontab
from pipeline.cron.change import Listing

DAY = 86_400.0


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A configuration with an empty folder of data, whose runs are refused at once."""
    told = "name: a\ntask: single_label\noutput: out\ndata: {root: data}\npush: {destination: m}\n"
    (tmp_path / "a.yaml").write_text(told)
    for label in ("cat", "dog"):
        (tmp_path / "data" / label).mkdir(parents=True)
    return tmp_path / "a.yaml"


def listing(*images: int, whole: str = "", time: float = 0.0) -> Listing:
    return Listing(np.array(images, np.uint64), whole or str(images), time)


@pytest.mark.parametrize(
    ("before", "now", "expected", "why"),
    [
        (None, listing(1), True, "no scheduled run has looked at these data yet: a run starts"),
        (listing(1, 2), listing(1, 2, time=99 * DAY), False, "unchanged, nothing to do"),
        (
            listing(1, 2),
            listing(2, 3, 4),
            True,
            "images: 2 new or changed, 1 gone or changed; at least 2 are new: a run starts",
        ),
        (
            listing(1, 2),
            listing(1, 2, 3, time=1.5 * DAY),
            False,
            (
                "images: 1 new or changed, 0 gone or changed; fewer than 2 are new, and the run before began 1.5 of 7 "
                "days ago"
            ),
        ),
        (
            listing(1, 2),
            listing(2, time=7 * DAY),
            True,
            "images: 0 new or changed, 1 gone or changed; the run before began 7.0 days ago, at least 7: a run starts",
        ),
    ],
    ids=["first", "unchanged", "enough", "too few", "long ago"],
)
def test_a_run_is_due_when_enough_is_new_or_anything_is_after_some_days(
    before: Listing | None, now: Listing, expected: bool, why: str
) -> None:
    assert change.due(before, now, 2, 7) == (expected, why)


def test_the_listing_tells_what_was_added_changed_moved_and_removed(project: Path) -> None:
    settings, data = config.load(str(project)), project.parent / "data"
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        (data / name).write_bytes(b"1")

    def counts(before: Listing) -> tuple[int, int]:
        now = change.listed(settings, 0.0)
        assert now is not None
        return len(set(now.images) - set(before.images)), len(set(before.images) - set(now.images))

    first = change.listed(settings, 5.0)
    assert first is not None
    assert (len(first.images), first.time) == (3, 5.0)
    assert counts(first) == (0, 0)
    (data / "dog/2.png").write_bytes(b"2")
    assert counts(first) == (1, 0)
    (data / "cat/1.png").write_bytes(b"changed")
    assert counts(first) == (2, 1)
    (data / "cat/2.png").rename(data / "dog/3.png")  # another label
    assert counts(first) == (3, 2)
    (data / "dog/1.png").unlink()
    assert counts(first) == (3, 3)


def test_what_a_run_was_started_for_is_kept(tmp_path: Path) -> None:
    assert change.read(str(tmp_path)) is None
    change.write(str(tmp_path), listing(1, 2**63, whole="ab", time=1.5))
    found = change.read(str(tmp_path))
    assert found is not None
    assert (found.images.tolist(), found.whole, found.time) == ([1, 2**63], "ab", 1.5)
    whole = (tmp_path / "schedule.npz").read_bytes()
    # Neither numpy nor zip, cut short, a byte of an array changed, and an entry compressed by an unknown method.
    central = whole.index(b"PK\x01\x02")
    method = whole[: central + 10] + b"\x63" + whole[central + 11 :]
    array = whole.index(b"NUMPY") + 130
    changed = whole[:array] + bytes([whole[array] ^ 1]) + whole[array + 1 :]
    for damaged in (b"damaged", whole[:-30], changed, method):
        (tmp_path / "schedule.npz").write_bytes(damaged)
        assert change.read(str(tmp_path)) is None


def test_a_refused_run_is_not_repeated_while_the_data_stay_as_they_are(project: Path) -> None:
    output = project.parent / "out"
    options = [str(project), *change.arguments(2, math.inf)]
    assert scheduled.main(options) == 3
    assert len(os.listdir(output / "history")) == 1
    assert scheduled.main(options) == 0
    assert len(os.listdir(output / "history")) == 1
    assert (output / "schedule.log").read_text().rstrip().endswith("\nunchanged, nothing to do")


def test_runs_start_with_enough_images_and_again_after_a_failure(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, started = [0, 1, 0], []
    monkeypatch.setattr(cli, "main", lambda arguments: started.append(arguments) or codes.pop(0))
    data, options = project.parent / "data", [str(project), "--set", "training.epochs=1", *change.arguments(2, 7)]
    assert scheduled.main(options) == 0  # the first
    assert scheduled.main(options) == 0
    (data / "cat/1.png").write_bytes(b"1")
    assert scheduled.main(options) == 0  # one is too few
    assert started == [["run", str(project), "--set=training.epochs=1"]]
    (data / "cat/2.png").write_bytes(b"2")
    assert scheduled.main(options) == 1  # it broke
    assert scheduled.main(options) == 0  # so it is started again
    assert len(started) == 3
    assert scheduled.main(options) == 0
    assert (len(started), codes) == (3, [])


def test_a_run_is_repeated_if_another_version_was_served_meanwhile(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two runs that push nothing, another push comes during the first one; the third is not started."""
    model, started = project.parent / "model", []
    model.mkdir()

    def run(arguments: list[str]) -> int:
        if not started:
            (model / "saved_model.pb").write_text("another")
            versions.push(str(model), config.load(str(project)).destination, PushedManifest())
        started.append(arguments)
        return 4

    monkeypatch.setattr(cli, "main", run)
    options = [str(project), *change.arguments(2, 7)]
    assert [scheduled.main(options) for _ in range(3)] == [4, 4, 0]
    assert len(started) == 2


def test_a_listing_that_the_disk_refuses_is_the_runs_to_report(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(change.reading, "read", refused)
    assert change.listed(config.load(str(project)), 0.0) is None


def test_data_that_cannot_be_listed_are_the_runs_to_report(project: Path) -> None:
    (project.parent / "data").rename(project.parent / "away")
    assert scheduled.main([str(project), *change.arguments(2, 7)]) == 2
    assert not (project.parent / "out" / "schedule.npz").exists()


def test_the_crontab_holds_when_to_look_and_what_is_enough(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tables: list[bytes] = []
    monkeypatch.setattr(crontab, "read", lambda: b"")
    monkeypatch.setattr(crontab, "write", tables.append)
    assert cli.main(["schedule", str(project), "--on-change", "--local"]) == 0
    log = project.parent / "out" / "schedule.log"
    assert capsys.readouterr().out == (
        f"scheduled a at '0 * * * *', if 100 images are new or any is after 7 days in the crontab; its log: {log}\n"
    )
    assert tables[0].decode().splitlines()[1].startswith("0 * * * * cd ")
    assert tables[0].decode().splitlines()[1].endswith(f"{project} --min-new 100 --max-days 7")
    assert (
        cli.main(
            ["schedule", str(project), "--on-change", "*/5 * * * *", "--min-new", "3", "--max-days", "0.5", "--local"]
        )
        == 0
    )
    assert tables[1].decode().splitlines()[1].endswith(f"{project} --min-new 3 --max-days 0.5")
    assert cli.main(["schedule", str(project), "--on-change", "--min-new", "0", "--local"]) == 2
    assert cli.main(["schedule", str(project), "--on-change", "--max-days", "nan", "--local"]) == 2
    assert "more than 0 days, got 100 and nan" in capsys.readouterr().err
    assert cli.main(["schedule", str(project), "--cron", "@daily", "--max-days", "3", "--local"]) == 2
    assert "--min-new, --max-days: need --on-change" in capsys.readouterr().err
    assert cli.main(["schedule", str(project), "--on-change"]) == 2
    assert "--host: expected the URL of the Kubeflow Pipelines API" in capsys.readouterr().err
    assert len(tables) == 2
