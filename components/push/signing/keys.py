"""Keys on elliptic curves, read from files or environment variables and named by their fingerprints.

The fingerprint is the SHA-256 of the public key in PEM, by which signatures name the key that made them; for a file
that OpenSSL wrote, it is the digest of the file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from components.base.errors import ConfigError
from components.push.settings import Sign

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

_LARGEST = 2**16  # bytes; a key has some hundred
_PUBLIC = re.compile(rb"-----BEGIN PUBLIC KEY-----[^-]*-----END PUBLIC KEY-----")
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}  # those that model-signing takes


@dataclass(frozen=True)
class PublicKey:
    """A key that verifies.

    Attributes:
        pem: in PEM, as OpenSSL writes it.
        fingerprint: SHA-256 of `pem`, in hexadecimal.
        source: file or variable that it comes from.
    """

    pem: bytes
    fingerprint: str
    source: str


@dataclass(frozen=True)
class PrivateKey:
    """A key that signs; it is shown nowhere.

    Attributes:
        pem: in PEM, encrypted if there is a password.
        password: of it, or None.
        public: the key that verifies what it signs.
    """

    pem: bytes = field(repr=False)
    password: bytes | None = field(repr=False)
    public: PublicKey


def public(files: Sequence[str], variable: str | None, keys: tuple[str, str]) -> tuple[PublicKey, ...]:
    """Reads every public key in files and in an environment variable.

    Args:
        files: paths.
        variable: name, or None.
        keys: what names files and the variable, for messages: settings or options.

    Raises:
        ConfigError: one of them cannot be read, or holds something else.
    """
    require_package(keys[0])
    sources = [(f"{keys[0]}: {path}", path, _content(f"{keys[0]}: {path}", path)) for path in files]
    if variable is not None:
        sources.append((f"{keys[1]}: {variable}", variable, _value(f"{keys[1]}: {variable}", variable)))
    return tuple(key for what, source, content in sources for key in _each(what, source, content))


def private(sign: Sign) -> PrivateKey:
    """Reads the key that signs. Messages hold nothing of it.

    Raises:
        ConfigError: it cannot be read, is encrypted and there is no password, or is of another kind.
    """
    require_package("push.sign")
    if sign.key is not None:
        what, source, pem = f"push.sign.key: {sign.key}", sign.key, _content(f"push.sign.key: {sign.key}", sign.key)
    else:
        source = sign.key_env or ""
        what, pem = f"push.sign.key_env: {source}", _value(f"push.sign.key_env: {source}", source)
    password = None
    if sign.password_env is not None:
        password = _value(f"push.sign.password_env: {sign.password_env}", sign.password_env)
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_private_key(pem, password)
    except TypeError:
        why = "is encrypted, name its password in push.sign.password_env" if password is None else "needs no password"
        raise ConfigError(f"{what} {why}") from None
    except (ValueError, UnsupportedAlgorithm):
        wrong = " that push.sign.password_env decrypts" if password is not None else ""
        raise ConfigError(f"{what}: expected a private key in PEM{wrong}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{what}: {_expected()}")
    return PrivateKey(pem, password, _public(what, source, key.public_key()))


def warnings(sign: Sign | None) -> list[str]:
    """A sentence if others on this machine can read the file of the private key."""
    if sign is None or sign.key is None:
        return []
    try:
        mode = stat.S_IMODE(os.stat(sign.key).st_mode)
    except OSError:
        return []  # whoever reads it says so
    if not mode & 0o077:
        return []
    whose = f"others can read or write {sign.key} (mode {mode:04o}), and could sign models of their own"
    return [f"warning: push.sign.key: {whose}; chmod 600 {sign.key}"]


def require_package(key: str) -> None:
    """Requires the package that signs and verifies.

    Raises:
        ConfigError: it is not installed.
    """
    if importlib.util.find_spec("model_signing") is None:
        raise ConfigError(
            f"{key}: signatures need model_signing, not installed here; install the extra sign: "
            "pip install 'imagegate[sign]'"
        )


def _each(what: str, source: str, content: bytes) -> Iterator[PublicKey]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if b"PRIVATE KEY-----" in content:
        raise ConfigError(f"{what}: this is a private key; expected its public key (openssl pkey -pubout)")
    blocks = _PUBLIC.findall(content)
    if not blocks:
        raise ConfigError(f"{what}: expected public keys in PEM, each from BEGIN PUBLIC KEY to END PUBLIC KEY")
    for block in blocks:
        try:
            key = serialization.load_pem_public_key(block)
        except (ValueError, UnsupportedAlgorithm):
            raise ConfigError(f"{what}: a public key in it is damaged") from None
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise ConfigError(f"{what}: {_expected()}")
        yield _public(what, source, key)


def _public(what: str, source: str, key: EllipticCurvePublicKey) -> PublicKey:
    from cryptography.hazmat.primitives import serialization

    if key.curve.name not in _CURVES:
        raise ConfigError(f"{what}: {_expected()}, got {key.curve.name}")
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(pem, hashlib.sha256(pem).hexdigest(), source)


def _expected() -> str:
    return f"expected a key on one of the elliptic curves {', '.join(_CURVES.values())}"


def _content(what: str, path: str) -> bytes:
    try:
        # Without waiting for who writes to a pipe. Secrets are mounted as links, which are followed.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with open(descriptor, "rb") as f:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError(f"{what} is not a regular file")
            found = f.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{what}: {error.strerror or error}") from None
    _check_size(what, found)
    return found


def _value(what: str, variable: str) -> bytes:
    value = os.environ.get(variable, "")
    if not value.strip():
        raise ConfigError(f"{what}: the environment variable is not set")
    content = os.fsencode(value)
    _check_size(what, content)
    return content


def _check_size(what: str, content: bytes) -> None:
    if len(content) > _LARGEST:
        raise ConfigError(f"{what} has more than {_LARGEST:,} bytes, which is no key")
