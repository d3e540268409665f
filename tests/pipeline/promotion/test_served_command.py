"""`imagegate served` as its users see it: a table, a day, JSON."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import cli

Call = Callable[..., tuple[int, str, str]]
PUSHED = {
    "1777536000": {"pushed": "2026-04-30T08:00:00+00:00", "data_fingerprint": "3f9a61c08d2e77", "identity": "a"},
    "1777803160": {"pushed": "2026-05-03T10:12:40+00:00", "compared_with": "1777536000"},
    "1777820531": {
        "pushed": "2026-05-03T15:02:11+00:00",
        "data_fingerprint": "3f9a61c08d2e77",
        "rolled_back_from": "1777803160",
        "rolled_back_to": "1777536000",
    },
}


@pytest.fixture
def call(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("COLUMNS", "250")
    path = tmp_path / "imagegate.yaml"
    path.write_text("name: birds\ntask: single_label\ndata: {root: data}\npush: {destination: models}\n")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["served", str(path), *arguments])
        return (code, *capfd.readouterr())

    return run


@pytest.fixture
def pushed(tmp_path: Path) -> None:
    for version, told in PUSHED.items():
        (tmp_path / "models" / version).mkdir(parents=True)
        manifest = {"name": "birds", "version": version, "files": {}} | told
        (tmp_path / "models" / version / "imagegate.json").write_text(json.dumps(manifest))


@pytest.mark.usefixtures("pushed")
def test_every_version_is_listed_with_times_fingerprints_and_rollbacks(call: Call) -> None:
    code, out, err = call()
    assert (code, err) == (0, "")
    heads, *rows = [line.split() for line in out.splitlines()]
    assert heads == ["version", "from", "until", "data", "code", "configuration", "how"]
    assert rows[0] == [
        *["1777536000", "2026-04-30", "08:00:00", "2026-05-03", "10:12:40", "3f9a61c08d2e", "-", "-", "pushed"]
    ]
    assert rows[1][1:5] == ["2026-05-03", "10:12:40", "2026-05-03", "15:02:11"]
    assert " ".join(rows[1][-4:]) == "pushed, compared with 1777536000"
    assert " ".join(rows[2][3:]) == "now 3f9a61c08d2e - - rolled back from 1777803160 to 1777536000"


@pytest.mark.usefixtures("pushed")
@pytest.mark.parametrize(
    ("at", "versions"),
    [
        ("2026-05-01", ["1777536000"]),
        ("2026-05-03", list(PUSHED)),
        ("2026-05-03T14:30", ["1777803160"]),
        ("2026-05-03T12:00+02:00", ["1777536000"]),  # 10:00 in UTC
        ("2026-05-04", ["1777820531"]),
        ("2026-04-29", []),
    ],
)
def test_a_day_or_a_time_has_what_was_served_then(call: Call, at: str, versions: list[str]) -> None:
    code, out, _ = call("--at", at, "--json")
    told = json.loads(out)
    assert (code, [entry["version"] for entry in told]) == (0, versions)
    assert [entry["version"] for entry in told if entry["served"]] == [v for v in versions if v == "1777820531"]


def test_without_versions_it_says_so(call: Call) -> None:
    assert call() == (0, "no version has been pushed yet\n", "")
    assert call("--at", "2026-05-03") == (0, "no version was served then\n", "")


@pytest.mark.parametrize("at", ["yesterday", "9999-12-31"])
def test_a_date_that_is_none_is_refused(call: Call, at: str) -> None:
    code, out, err = call("--at", at)
    assert (code, out) == (2, "")
    assert f"--at: expected a date or a time such as 2026-05-03 or 2026-05-03T14:30, got {at!r}" in err
