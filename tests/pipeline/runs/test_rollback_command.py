"""`imagegate rollback` as its users see it: exit codes and words."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.push import versions as push
from components.push.manifest import PushedManifest
from pipeline import cli

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    path = tmp_path / "imagegate.yaml"
    path.write_text("name: birds\ntask: single_label\ndata: {root: data}\npush: {destination: models}\n")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["rollback", str(path), *arguments])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def versions(tmp_path: Path) -> list[str]:
    (tmp_path / "model").mkdir()
    found = []
    for content in "abc":
        (tmp_path / "model" / "saved_model.pb").write_text(content)
        found.append(push.push(str(tmp_path / "model"), str(tmp_path / "models"), PushedManifest()).version)
    return found


def test_the_command_shows_the_served_and_the_withdrawn_version(
    call: Call, versions: list[str], tmp_path: Path
) -> None:
    code, out, err = call()
    now = push.current(str(tmp_path / "models"))
    assert (code, err) == (0, "")
    assert out == (
        f"version {now.version} is served now, a copy of version {versions[1]} -> {tmp_path}/models/{now.version}\n"
        f"withdrawn: version {versions[2]}; this very model is not pushed again\n"
    )
    assert Path(now.path, "saved_model.pb").read_text() == "b"
    assert call(versions[0])[0] == 0
    assert Path(push.current(str(tmp_path / "models")).path, "saved_model.pb").read_text() == "a"


def test_a_repeated_rollback_says_that_it_added_nothing(call: Call, versions: list[str], tmp_path: Path) -> None:
    assert call(versions[0])[0] == 0
    now = push.current(str(tmp_path / "models"))
    said = f"version {now.version} is served already, a copy of version {versions[0]} -> {now.path}"
    for version in (versions[0], now.version):
        assert call(version) == (0, f"nothing was added: {said}\n", "")
    assert len(list((tmp_path / "models").iterdir())) == 4


def test_an_unknown_version_exits_with_2_and_names_the_existing_ones(
    call: Call, versions: list[str], tmp_path: Path
) -> None:
    code, out, err = call("17")
    assert (code, out) == (2, "")
    one, two, three = versions
    assert err == f"imagegate: there is no version 17; {tmp_path}/models holds {three} (served), {two}, {one}\n"


def test_nothing_to_go_back_to_exits_with_2(call: Call, tmp_path: Path) -> None:
    code, out, err = call()
    assert (code, out) == (2, "")
    assert err == (
        f"imagegate: {tmp_path}/models: no version that imagegate pushed, so there is nothing to go back to\n"
    )


def test_a_damaged_version_exits_with_1(call: Call, versions: list[str], tmp_path: Path) -> None:
    Path(tmp_path, "models", versions[1], "saved_model.pb").unlink()
    code, out, err = call()
    assert (code, out) == (1, "")
    assert "saved_model.pb is missing" in err
    assert push.current(str(tmp_path / "models")).version == versions[2]


def test_a_wrong_configuration_exits_with_2(call: Call) -> None:
    code, _, err = call("--set", "push.destination=s3://me:secret@bucket/models")
    assert code == 2
    assert "push.destination: the URL holds a password" in err
    assert "secret" not in err
