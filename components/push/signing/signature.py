"""Signs the digests of a version's files and verifies such signatures, with the OpenSSF's model-signing.

A signature is a Sigstore bundle around a DSSE envelope around an in-toto statement that names every file with its
SHA-256, as https://github.com/ossf/model-signing-spec says. It needs no network and no log.
"""

from __future__ import annotations

import base64
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from components.base.artifact_files import SIGNATURE
from components.base.text import truncated_list
from components.push.signing.errors import NotVerified
from components.push.signing.keys import PrivateKey, PublicKey

if TYPE_CHECKING:
    from model_signing.hashing import Config as Hashing

_SHOWN = 16  # digits of a fingerprint in a sentence


def sign(key: PrivateKey, version: str, files: Mapping[str, str]) -> bytes:
    """Signs a version.

    Args:
        key: the private key.
        version: name of its folder.
        files: SHA-256 of every file by its path, except the signature's.

    Returns:
        the content of `model.sig`.
    """
    from model_signing import signing

    with tempfile.TemporaryDirectory(prefix="imagegate-") as folder, _piped(key.pem) as path:
        config = signing.Config().use_elliptic_key_signer(private_key=path, password=key.password)
        signed = os.path.join(folder, SIGNATURE)
        config.set_hashing_config(_known(version, files)).sign(version, signed)
        with open(signed, "rb") as f:
            return f.read()


def verified(signature: bytes, files: Mapping[str, str], keys: Sequence[PublicKey]) -> PublicKey:
    """Returns the key that signed exactly these files.

    Args:
        signature: content of `model.sig`; taken for hostile.
        files: SHA-256 of every file by its path, except the signature's.
        keys: of which one must have signed.

    Raises:
        NotVerified: none did, or it signed something else. The message goes on after the name of the signature.
    """
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    named = claimed(signature)
    key = next((one for one in keys if one.fingerprint == named), None)
    if key is None:
        known = truncated_list(f"{one.fingerprint[:_SHOWN]} ({one.source})" for one in keys)
        who = f"key {named[:_SHOWN]}" if named else "no key that can be told"
        raise NotVerified(f"was made by {who}, which is none of the trusted ones: {known}")
    with tempfile.TemporaryDirectory(prefix="imagegate-") as folder:
        path, signed = os.path.join(folder, "key"), os.path.join(folder, SIGNATURE)
        pathlib.Path(path).write_bytes(key.pem)
        pathlib.Path(signed).write_bytes(signature)
        try:
            config = verifying.Config().use_elliptic_key_verifier(public_key=path)
            config.set_hashing_config(_known("", files)).verify(folder, signed)
        except InvalidSignature:
            raise NotVerified(f"names key {named[:_SHOWN]}, which did not make it") from None
        except Exception as error:  # noqa: BLE001  whatever the library raises about hostile content, it is refused
            raise NotVerified(_differences(signature, files) or f"is damaged ({type(error).__name__})") from None
    return key


def claimed(signature: bytes) -> str:
    """The fingerprint of the key that a signature names, which proves nothing; "" if it names none."""
    try:
        found = json.loads(signature)["verificationMaterial"]["publicKey"]["hint"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return found if isinstance(found, str) and found.isalnum() and found.isascii() else ""


def _differences(signature: bytes, files: Mapping[str, str]) -> str:
    """Which files a signature names otherwise, for a message; "" where it cannot be read or names them like this."""
    try:
        statement = json.loads(base64.b64decode(json.loads(signature)["dsseEnvelope"]["payload"]))
        named = {str(one["name"]): one["digest"] for one in statement["predicate"]["resources"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    different = sorted(name for name in named.keys() | files.keys() if named.get(name) != files.get(name))
    return f"is of other files: it names another SHA-256, or none, of {truncated_list(different)}" if different else ""


def _known(version: str, files: Mapping[str, str]) -> Hashing:
    """A configuration of the library that takes digests which are known, instead of reading files."""
    from model_signing import hashing, manifest
    from model_signing._hashing.hashing import Digest  # of which the public manifest is made

    told = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [SIGNATURE]}
    form = manifest.SerializationType.from_args(told)
    items = [form.new_item(name, Digest("sha256", bytes.fromhex(files[name]))) for name in sorted(files)]

    class Known(hashing.Config):
        def hash(self, *_: object, **__: object) -> Any:
            return manifest.Manifest(version, items, form)

    return Known()


@contextmanager
def _piped(content: bytes) -> Iterator[str]:
    """A path from which the content can be read once: the library takes keys from files, and this is on no disk."""
    reading, writing = os.pipe()
    try:
        with open(writing, "wb") as f:  # keys are smaller than what a pipe holds
            f.write(content)
        yield f"/dev/fd/{reading}"
    finally:
        os.close(reading)
