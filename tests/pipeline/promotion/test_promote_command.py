"""`imagegate promote` as its users see it: exit codes and words; and the setting `push.as`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.base.errors import ConfigError
from components.push import versions
from components.push.manifest import PushedManifest
from pipeline import cli, config

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    path = tmp_path / "imagegate.yaml"
    path.write_text("name: birds\ntask: single_label\ndata: {root: data}\npush: {destination: models, keep: 1}\n")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["promote", str(path), *arguments])
        return (code, *capsys.readouterr())

    return run


def push(tmp_path: Path, content: str, *, beside: bool = False) -> versions.Served:
    (tmp_path / "model").mkdir(exist_ok=True)
    (tmp_path / "model" / "saved_model.pb").write_text(content)
    root = str(tmp_path / "models")
    served = versions.current(root)
    compared = served.version if served else ""
    told = PushedManifest(name="birds")
    return versions.push(str(tmp_path / "model"), root, told, compared=compared, as_challenger=beside)


def test_the_command_shows_what_is_served_now_and_what_was(call: Call, tmp_path: Path) -> None:
    champion, beside = push(tmp_path, "a"), push(tmp_path, "b", beside=True)
    code, out, err = call()
    now = versions.current(str(tmp_path / "models"))
    assert now is not None
    assert (code, err) == (0, "")
    assert out == (
        f"version {now.version} is served now, promoted from challenger {beside.version} -> {now.path}\n"
        f"before: version {champion.version}; imagegate rollback serves it again\n"
        f"removed older versions: {champion.version}\n"
    )
    said = f"nothing was added: version {now.version} is served, and is this model already -> {now.path}\n"
    assert call(beside.version) == (0, said, "")


def test_what_cannot_be_promoted_is_a_sentence(call: Call, tmp_path: Path) -> None:
    code, out, err = call()
    assert (code, out) == (2, "")
    assert "no version is served, so there is no challenger either" in err
    push(tmp_path, "a")
    push(tmp_path, "b", beside=True)
    push(tmp_path, "c")
    code, out, err = call()
    assert (code, out) == (4, "")
    assert "nothing was pushed. Run again" in err


def test_the_setting_takes_one_of_two_aliases(tmp_path: Path) -> None:
    path = tmp_path / "imagegate.yaml"
    path.write_text("name: birds\ntask: single_label\ndata: {root: data}\npush: {destination: models}\n")
    assert not config.load(str(path), []).push.challenges
    challenging = config.load(str(path), ["push.as=challenger"])
    assert challenging.push.challenges
    assert '"as": "challenger"' in challenging.push.to_json()
    assert type(challenging.push).from_json(challenging.push.to_json()) == challenging.push
    with pytest.raises(ConfigError, match=r"push\.as"):
        config.load(str(path), ["push.as=canary"])
