"""`imagegate verify`, and the other commands with keys: exit codes and words."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import signing_keys

from components.base.errors import ConfigError
from components.push import versions
from components.push.manifest import PushedManifest
from components.push.settings import Push, Sign
from components.push.signing import provenance, trust
from components.push.signing.trust import Trust
from pipeline import cli, config
from pipeline.runs import preflight

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = cli.main([*map(str, arguments)])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def private(tmp_path: Path) -> Path:
    return signing_keys.write(tmp_path, "ours")


@pytest.fixture
def public(private: Path) -> Path:
    return private.with_suffix(".pub")


@pytest.fixture
def settings(tmp_path: Path, private: Path) -> Path:
    """A configuration whose keys are named as it is usual: relative to it."""
    path = tmp_path / "imagegate.yaml"
    path.write_text(
        "name: birds\ntask: single_label\ndata: {root: data}\n"
        "push: {destination: models, sign: {key: ours.pem}, verify: {keys: [ours.pub]}}\n"
    )
    return path


def push(tmp_path: Path, content: str, by: Path | None, **told: object) -> versions.Served:
    (tmp_path / "model").mkdir(exist_ok=True)
    (tmp_path / "model" / "saved_model.pb").write_text(content)
    manifest = PushedManifest(name="birds", task="single_label", data_fingerprint="da" * 32, **told)
    trusted = trust.writer(Push(destination="x", sign=Sign(key=str(by)))) if by else Trust()
    model = versions.digests(str(tmp_path / "model"))
    built = provenance.Built({"name": "birds"}, {"python": "3.11.9"}, manifest, model)
    beside = {"provenance.json": built.statement().encode()}
    return versions.push(str(tmp_path / "model"), str(tmp_path / "models"), manifest, beside, trust=trusted)


def test_what_is_signed_by_whom_and_where_it_came_from(
    call: Call, tmp_path: Path, private: Path, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = push(tmp_path, "a", private)
    for model in (served.path, tmp_path / "models", f"file://{tmp_path}/models"):
        code, out, err = call("verify", model, "--key", public)
        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert lines[0].startswith(f"verified: version {served.version} of birds -> ")
        assert lines[1] == f"key: {served.signed_by} ({public})"
        assert lines[2] == "signed: 3 files: imagegate.json and all that it names"
        assert lines[3] == f"pushed: {served.manifest.pushed}"
        assert f"data: {'da' * 32}" in lines
        statement = json.loads(out[out.index("provenance: ") + len("provenance: ") :])
        assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    monkeypatch.setenv("KEYS", public.read_text())
    code, out, _ = call("verify", served.path, "--key-env", "KEYS", "--json")
    told = json.loads(out)
    assert (code, told["version"], told["provenance"], told["key"]) == (0, served.version, statement, served.signed_by)
    assert set(told["files"]) == {"imagegate.json", "saved_model.pb", "provenance.json"}


def test_what_does_not_verify_is_one_sentence(call: Call, tmp_path: Path, private: Path, public: Path) -> None:
    code, out, err = call("verify", tmp_path)
    assert (code, out) == (2, "")
    assert err == "imagegate: verify: expected the public keys that you trust: --key FILE, or --key-env NAME\n"
    assert call("verify", tmp_path, "--key", tmp_path / "none")[0] == 2
    code, _, err = call("verify", tmp_path, "--key", public)
    assert (code, err.count("\n")) == (1, 1)
    assert "no model here" in err
    served = push(tmp_path, "a", private)
    (Path(served.path) / "saved_model.pb").write_text("b")
    code, out, err = call("verify", served.path, "--key", public)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "saved_model.pb does not match the model's imagegate.json" in err
    unsigned = push(tmp_path, "c", None)
    code, _, err = call("verify", unsigned.path, "--key", public)
    missing = f"{unsigned.path}/model.sig is missing, and only signed versions are trusted"
    assert (code, err) == (1, f"imagegate: {missing}; the model is not loaded\n")


def test_the_number_that_was_signed_is_said(call: Call, tmp_path: Path, private: Path, public: Path) -> None:
    served = push(tmp_path, "a", private)
    os.rename(served.path, tmp_path / "best")
    code, out, err = call("verify", tmp_path / "best", "--key", public)
    assert (code, err) == (0, "")
    first = f"verified: version {served.version} of birds, in a folder of another name -> {tmp_path / 'best'}"
    assert out.splitlines()[0] == first
    assert json.loads(call("verify", tmp_path / "best", "--key", public, "--json")[1])["version"] == served.version


def test_an_empty_variable_verifies_nothing_and_copies_nothing(call: Call, tmp_path: Path) -> None:
    push(tmp_path, "a", None)
    for arguments in (("pull", tmp_path / "models", tmp_path / "here"), ("verify", tmp_path / "models")):
        code, out, err = call(*arguments, "--key-env", "")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "--key-env: expected the name of an environment variable, such as SIGNING_KEYS, got ''" in err
    assert not (tmp_path / "here").exists()


def test_a_provenance_of_another_model_is_refused(call: Call, tmp_path: Path, private: Path, public: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_text("a")
    built = provenance.Built({}, {}, PushedManifest(), {"saved_model.pb": "0" * 64})
    trusted = trust.writer(Push(destination="x", sign=Sign(key=str(private))))
    beside = {"provenance.json": built.statement().encode()}
    versions.push(str(tmp_path / "model"), str(tmp_path / "models"), PushedManifest(), beside, trust=trusted)
    code, _, err = call("verify", tmp_path / "models", "--key", public)
    assert code == 1
    assert "provenance.json is about another saved_model.pb than the one beside it" in err


def test_commands_without_a_configuration_refuse_what_nobody_signed(call: Call, tmp_path: Path, public: Path) -> None:
    push(tmp_path, "a", None)
    models = tmp_path / "models"
    for arguments in (
        ("predict", models, tmp_path / "x.png"),
        ("watch", models, tmp_path),
        ("pull", models, tmp_path / "here"),
    ):
        code, out, err = call(*arguments, "--key", public)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert "model.sig is missing, and only signed versions are trusted" in err
    assert not [name for name in os.listdir(tmp_path / "here") if name.isdigit()]
    (tmp_path / "model.tflite").write_bytes(b"x")
    code, _, err = call("predict", tmp_path / "model.tflite", tmp_path / "x.png", "--key", public)
    assert code == 2
    assert "an exported file has none of its own" in err


def test_commands_with_a_configuration_refuse_what_nobody_signed(
    call: Call, settings: Path, tmp_path: Path, private: Path
) -> None:
    (tmp_path / "data").mkdir()
    signed, unsigned = push(tmp_path, "a", private), push(tmp_path, "b", None)
    said = "model.sig is missing, and only signed versions are trusted"
    for arguments in (("promote",), ("replay",), ("next",), ("rollback", unsigned.version)):
        command, *rest = arguments
        extra = [tmp_path] if command == "replay" else rest
        code, _, err = call(command, settings, *extra)
        assert (code, said in err) == (2 if command == "next" else 1, command != "next"), err
    code, out, err = call("served", settings)
    assert (code, err) == (0, "")
    assert said in " ".join(out.split())
    assert call("rollback", settings)[0] == 0
    now = versions.current(str(tmp_path / "models"), config.load(str(settings), []).trust())
    assert now is not None
    assert now.manifest.rolled_back_to == signed.version


def test_a_run_that_could_not_sign_does_not_begin(settings: Path, private: Path) -> None:
    os.chmod(private, 0o644)
    [warning] = preflight.signing(config.load(str(settings), []))
    assert warning.startswith(f"warning: push.sign.key: others can read or write {private} (mode 0644)")
    private.unlink()
    with pytest.raises(ConfigError, match=rf"push.sign.key: {private}: No such file or directory"):
        preflight.signing(config.load(str(settings), []))


def test_a_key_in_the_configuration_is_refused_and_not_shown(call: Call, settings: Path, private: Path) -> None:
    pem = private.read_text()
    body = pem.splitlines()[1]
    for key in ("key", "key_env", "password_env", body[:12]):
        text = settings.read_text().replace("sign: {key: ours.pem}", f"sign: {{{key}: {json.dumps(pem)}}}")
        settings.write_text(text)
        code, out, err = call("check", settings)
        assert (code, out) == (2, "")
        assert "push.sign" in err
        assert body[:12] not in err
        settings.write_text(text.replace(f"sign: {{{key}: {json.dumps(pem)}}}", "sign: {key: ours.pem}"))
