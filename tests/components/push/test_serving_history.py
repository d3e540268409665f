"""Which version was served when: from manifests, rollbacks and the record of versions that were removed."""

import datetime
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from components.push import history, rollback, versions
from components.push.destination import Destination, at
from components.push.manifest import PushedManifest

Push = Callable[[str], versions.Served]


@pytest.fixture(params=["folder", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield "memory://recorded/served" if request.param == "memory" else str(tmp_path / "served")
    if request.param == "memory":
        fs = fsspec.filesystem("memory")
        for path in [p for p in fs.store if p.startswith("/recorded/")]:
            fs.rm_file(path)


@pytest.fixture
def pushed(root: str, tmp_path: Path) -> Push:
    """`pushed("a")` pushes a model of that content, made from data "data a"."""

    def run(content: str) -> versions.Served:
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / "saved_model.pb").write_text(content)
        told = PushedManifest(name="birds", data_fingerprint=f"data {content}", code_fingerprint="code")
        return versions.push(str(tmp_path / "model"), root, told)

    return run


def test_the_manifest_states_the_time_of_the_push_and_a_rollback_that_of_its_own(root: str, pushed: Push) -> None:
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    first, _ = pushed("a"), pushed("b")
    back, _ = rollback.roll_back(root)
    times = [datetime.datetime.fromisoformat(one.manifest.pushed) for one in (first, back)]
    assert before <= times[0] <= times[1] <= datetime.datetime.now(datetime.UTC)


def test_a_push_from_a_machine_whose_clock_is_behind_does_not_end_before_it_begins(root: str, pushed: Push) -> None:
    first = pushed("a")
    ahead = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(hours=2)
    told = first.manifest.model_copy(update={"pushed": ahead.isoformat()})
    at(root).write(f"{first.version}/imagegate.json", told.to_json().encode())
    second = pushed("b")
    assert second.manifest.pushed == ahead.isoformat()
    entries = history.read(root)
    assert entries[0].until == entries[1].pushed == ahead.isoformat()


def test_removed_versions_stay_in_the_history_with_their_data_and_code(root: str, pushed: Push) -> None:
    served = [pushed(content) for content in "abcd"]
    removed, problem = versions.tidy(root, 2)
    assert (removed, problem) == ([served[1].version, served[0].version], "")
    told = history.read(root)
    assert [entry.version for entry in told] == [one.version for one in served]
    assert [entry.removed for entry in told] == [True, True, False, False]
    assert [entry.served for entry in told] == [False, False, False, True]
    assert [entry.data_fingerprint for entry in told] == [f"data {content}" for content in "abcd"]
    assert [entry.identity for entry in told] == [one.identity for one in served]
    assert [entry.until for entry in told] == [*(one.manifest.pushed for one in served[1:]), None]
    assert versions.current(root) == served[3]  # what is beside the versions is no version


def test_a_rollback_is_told_and_its_original_may_be_gone(root: str, pushed: Push) -> None:
    one, two = pushed("a"), pushed("b")
    back, _ = rollback.roll_back(root)
    versions.tidy(root, 1)
    first, second, third = history.read(root)
    assert (first.origin, second.origin) == ("pushed", "pushed")
    assert third.origin == f"rolled back from {two.version} to {one.version}"
    assert (third.version, third.identity) == (back.version, first.identity)


def test_a_version_that_cannot_be_recorded_is_not_removed(
    tmp_path: Path, pushed: Push, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pushed("a")
    pushed("b")

    def full(self: Destination, name: str, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(at(root)), "write", full)
    removed, problem = versions.tidy(root, 1)
    assert (removed, problem) == ([], f"{first.path} cannot be removed: No space left on device")
    assert versions.read(first.path) == first


def entry(version: str, pushed: str | None) -> history.Entry:
    return history.Entry(version=version, pushed=pushed)


def day(text: str) -> tuple[datetime.datetime, datetime.datetime]:
    begin = datetime.datetime.fromisoformat(f"{text}T00:00+00:00")
    return begin, begin + datetime.timedelta(days=1)


def test_a_day_has_every_version_that_was_served_on_it() -> None:
    """1 from 1 May, 2 from 3 May 10:00, 3 (a rollback) from 3 May 12:00 on."""
    told = [entry("1", "2026-05-01T08:00:00+00:00"), entry("2", "2026-05-03T10:00:00+00:00")]
    told.append(entry("3", "2026-05-03T12:00:00+00:00"))
    served = {text: [e.version for e in history.during(told, *day(text))] for text in DAYS}
    assert served == {"2026-04-30": [], "2026-05-01": ["1"], "2026-05-02": ["1"], "2026-05-03": ["1", "2", "3"]} | {
        "2026-05-04": ["3"]
    }
    noon = datetime.datetime(2026, 5, 3, 12, tzinfo=datetime.UTC)
    instant = noon, noon + datetime.timedelta(microseconds=1)
    assert [e.version for e in history.during(told, *instant)] == ["3"]  # from then on


DAYS = ("2026-04-30", "2026-05-01", "2026-05-02", "2026-05-03", "2026-05-04")


def test_a_version_of_unknown_time_may_have_been_served_between_its_neighbours() -> None:
    told = [entry("7", None), entry("8", "2026-05-02T00:00:00+00:00"), entry("9", None)]
    assert [e.version for e in history.during(told, *day("2026-05-01"))] == ["7"]
    assert [e.version for e in history.during(told, *day("2026-05-03"))] == ["8", "9"]


def test_the_number_of_an_older_releases_version_is_its_time(tmp_path: Path) -> None:
    """Before manifests stated a time, the number was seconds since 1970: 1,777,800,000 is 3 May 2026, 09:20 UTC."""
    for version in ("12", "1777800000"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "imagegate.json").write_text(json.dumps({"name": "birds", "files": {}}))
    early, late = history.read(str(tmp_path))
    assert (early.version, early.pushed, early.until) == ("12", None, "2026-05-03T09:20:00+00:00")
    assert (late.pushed, late.served) == ("2026-05-03T09:20:00+00:00", True)


def test_a_damaged_record_is_named_and_the_others_are_read(root: str, pushed: Push) -> None:
    first, _, _ = pushed("a"), pushed("b"), pushed("c")
    versions.tidy(root, 1)
    with at(root).locked():
        at(root).write(f"{history.RECORD}/{first.version}.json", b'{"ver')
    told = history.read(root)
    assert told[0].origin == f"{root}/{history.RECORD}/{first.version}.json is damaged, or another release wrote it"
    assert [entry.data_fingerprint for entry in told] == ["", "data b", "data c"]
