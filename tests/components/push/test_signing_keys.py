"""Keys of signed models: where they may come from, what is refused, and that nothing of a private key is shown."""

import hashlib
import os
from pathlib import Path

import pytest
import signing_keys
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import ValidationError

from components.base.errors import ConfigError
from components.push.settings import Push, Sign, Verify
from components.push.signing import keys, provenance, signature, trust
from components.push.signing.errors import NotVerified

FILES = {"imagegate.json": "ab" * 32, "variables/data": "cd" * 32}


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_keys_on_three_curves_sign_and_verify(curve: ec.EllipticCurve, tmp_path: Path) -> None:
    private = signing_keys.write(tmp_path, "key", curve)
    signer = keys.private(Sign(key=str(private)))
    signed = signature.sign(signer, "17", FILES)
    assert signature.claimed(signed) == hashlib.sha256(private.with_suffix(".pub").read_bytes()).hexdigest()
    assert signature.verified(signed, FILES, [signer.public]) == signer.public
    with pytest.raises(NotVerified, match=r"is of other files: .* of variables/data$"):
        signature.verified(signed, {**FILES, "variables/data": "ce" * 32}, [signer.public])


def test_keys_come_from_variables_too_and_may_need_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = signing_keys.write(tmp_path, "key", password=b"pass word")
    other = signing_keys.write(tmp_path, "other")
    monkeypatch.setenv("KEY", private.read_text())
    monkeypatch.setenv("PASSWORD", "pass word")
    # Two keys in one variable, and comments between them.
    both = private.with_suffix(".pub").read_text() + "# next year's\n" + other.with_suffix(".pub").read_text()
    monkeypatch.setenv("TRUSTED", both)
    push = Push(destination="x", sign=Sign(key_env="KEY", password_env="PASSWORD"), verify=Verify(keys_env="TRUSTED"))
    trusted = trust.writer(push)
    digests = [hashlib.sha256(p.with_suffix(".pub").read_bytes()).hexdigest() for p in (private, other)]
    assert [key.fingerprint for key in trusted.keys] == digests
    assert trusted.signer is not None
    assert signature.verified(signature.sign(trusted.signer, "17", FILES), FILES, trusted.keys) == trusted.keys[0]
    assert "PRIVATE" not in repr(trusted)
    assert "pass word" not in repr(trusted)
    assert "PRIVATE" not in push.to_json()


def _rsa(folder: Path) -> Path:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "rsa.pem").write_bytes(pem)
    return folder / "rsa.pem"


def test_what_is_no_usable_private_key_is_refused_without_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, locked = signing_keys.write(tmp_path, "good"), signing_keys.write(tmp_path, "locked", password=b"secret-word")
    (tmp_path / "text").write_text("secret-word")
    (tmp_path / "large").write_bytes(b"secret-word" * 10_000)
    monkeypatch.setenv("WRONG", "secret-wrod")
    monkeypatch.delenv("UNSET", raising=False)
    refused = {
        "No such file or directory": Sign(key=str(tmp_path / "none")),
        "Is a directory": Sign(key=str(tmp_path)),
        "expected a private key in PEM": Sign(key=str(tmp_path / "text")),
        "expected a private key in PEM ": Sign(key=str(good.with_suffix(".pub"))),
        "has more than 65,536 bytes": Sign(key=str(tmp_path / "large")),
        "is encrypted, name its password in push.sign.password_env": Sign(key=str(locked)),
        "expected a private key in PEM that push.sign.password_env decrypts": Sign(
            key=str(locked), password_env="WRONG"
        ),
        "needs no password": Sign(key=str(good), password_env="WRONG"),
        "expected a key on one of the elliptic curves P-256, P-384, P-521": Sign(key=str(_rsa(tmp_path))),
        "P-256, P-384, P-521, got secp256k1": Sign(key=str(signing_keys.write(tmp_path, "k1", ec.SECP256K1()))),
        "push.sign.key_env: UNSET: the environment variable is not set": Sign(key_env="UNSET"),
    }
    for said, sign in refused.items():
        with pytest.raises(ConfigError) as error:
            keys.private(sign)
        assert said.strip() in str(error.value)
        assert "secret" not in str(error.value)


def test_what_is_no_public_key_is_refused(tmp_path: Path) -> None:
    private = signing_keys.write(tmp_path, "key")
    (tmp_path / "damaged.pub").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    (tmp_path / "empty.pub").write_text("")
    refused = {
        str(private): "this is a private key; expected its public key",
        str(tmp_path / "damaged.pub"): "a public key in it is damaged",
        str(tmp_path / "empty.pub"): "expected public keys in PEM",
        str(tmp_path / "none"): "No such file or directory",
    }
    for path, said in refused.items():
        with pytest.raises(ConfigError, match=rf"^push.verify.keys: {path}.*{said}") as error:
            trust.reader(Verify(keys=(path,)))
        assert error.value.exit_code == 2
    with pytest.raises(ConfigError, match=r"^--key-env: NO_SUCH_VARIABLE: the environment variable is not set"):
        trust.of_options((), "NO_SUCH_VARIABLE")


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_of_a_variable_does_not_switch_verification_off(name: str) -> None:
    """It is what `--key-env "$KEYS"` comes to where KEYS is not set."""
    for files in ((), ("ours.pub",)):
        with pytest.raises(ConfigError, match=rf"^--key-env: expected the name of an environment .*, got '{name}'; to"):
            trust.of_options(files, name)
    assert not trust.of_options((), None).looks


def test_a_key_in_place_of_its_file_or_variable_is_refused_without_being_shown(tmp_path: Path) -> None:
    """It is what `--key-env "$SIGNING_KEY"` and `--key "$SIGNING_KEY"` come to."""
    pem = signing_keys.write(tmp_path, "key").read_text()
    with pytest.raises(ConfigError) as variable:
        trust.of_options((), pem)
    assert str(variable.value) == (
        "--key-env: expected the name of an environment variable, such as SIGNING_KEYS, got another value; to verify "
        "no signature, leave the option out"
    )
    with pytest.raises(ConfigError) as file:
        trust.of_options(("ours.pub", pem), None)
    assert str(file.value) == "--key: expected the path of a file, got another value, such as the key itself"


def test_a_variable_that_is_too_long_is_refused_before_anything_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe holds 65,536 bytes, and one with more waits for a reader."""
    pem = signing_keys.write(tmp_path, "key").read_text()
    monkeypatch.setenv("KEY", pem + "#" * (65_536 - len(pem)))
    assert signature.sign(keys.private(Sign(key_env="KEY")), "17", FILES)
    monkeypatch.setenv("KEY", pem + "#" * (65_537 - len(pem)))
    with pytest.raises(ConfigError, match=r"^push.sign.key_env: KEY has more than 65,536 bytes, which is no key"):
        keys.private(Sign(key_env="KEY"))


def test_settings_that_nobody_could_use_are_refused(tmp_path: Path) -> None:
    private, other = signing_keys.write(tmp_path, "key"), signing_keys.write(tmp_path, "other")
    pem = private.read_text()
    wrong = [
        ({"verify": {"keys": ["a.pub"]}}, "push.sign is missing"),
        ({"sign": {}}, "expected either key, a file, or key_env"),
        ({"sign": {"key": "a", "key_env": "A"}}, "expected either key, a file, or key_env"),
        ({"sign": {"key": pem}}, "expected the path of a file; the key itself does not belong"),
        ({"sign": {"key_env": pem}}, "expected the name of an environment variable"),
        ({"sign": {"key": "a"}, "verify": {"keys": ["a.pub", pem]}}, "expected the path of a file; the key itself"),
        ({"sign": {"key": "a"}, "verify": {"keys_env": pem}}, "expected the name of an environment variable"),
        ({"sign": {"key": "a"}, "verify": {}}, "nothing verifies without one"),
    ]
    for settings, said in wrong:
        with pytest.raises(ValidationError, match=said):
            Push(destination="x", **settings)
    push = Push(destination="x", sign=Sign(key=str(private)), verify=Verify(keys=(str(other.with_suffix(".pub")),)))
    with pytest.raises(ConfigError, match=r"push.verify: it lacks the public key of push.sign, [0-9a-f]{64}, so"):
        trust.writer(push)


def test_a_private_key_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    private = signing_keys.write(tmp_path, "key")
    assert keys.warnings(Sign(key=str(private))) == []
    os.chmod(private, 0o640)
    said = (
        f"warning: push.sign.key: others can read or write {private} (mode 0640), and could sign models of their own; "
    )
    assert keys.warnings(Sign(key=str(private))) == [f"{said}chmod 600 {private}"]
    assert keys.warnings(Sign(key_env="KEY")) == keys.warnings(None) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{}", "is no in-toto statement"),
        (b"[" * 100_000, "is no in-toto statement"),
        (
            b'{"_type": "https://in-toto.io/Statement/v1", "predicateType": "x", "subject": []}',
            "is no in-toto statement",
        ),
        (
            (
                b'{"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://slsa.dev/provenance/v1", '
                b'"subject": [{"name": "saved_model.pb", "digest": {"sha256": "ab"}}]}'
            ),
            "is about another saved_model.pb than the one beside it",
        ),
    ],
)
def test_a_provenance_of_something_else_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(NotVerified, match=said):
        provenance.read(content, {"saved_model.pb": "cd"})
