"""Whose signatures the versions in a destination need, and with which key new ones are signed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.base.artifact_files import PUSHED_MANIFEST, SIGNATURE
from components.base.errors import ConfigError
from components.base.values import is_variable_name
from components.push.settings import Push, Verify, is_key_file
from components.push.signing import keys, signature
from components.push.signing.errors import NotSigned, NotVerified
from components.push.signing.keys import PrivateKey, PublicKey

_SETTINGS = ("push.verify.keys", "push.verify.keys_env")
_OPTIONS = ("--key", "--key-env")


@dataclass(frozen=True)
class Trust:
    """Keys for one destination.

    Attributes:
        keys: of which one must have signed a version that is used; none: signatures are not asked for.
        signer: signs new versions; None: they are not signed.
    """

    keys: tuple[PublicKey, ...] = ()
    signer: PrivateKey | None = None

    @property
    def looks(self) -> bool:
        """Whether signatures are read at all: to require them, or to see which versions lack one."""
        return bool(self.keys) or self.signer is not None

    def signed_by(self, manifest: bytes, files: Mapping[str, str], signed: bytes | None) -> str:
        """The fingerprint of the key that signed a version.

        Args:
            manifest: content of its `imagegate.json`.
            files: what that says of the other files: path -> SHA-256.
            signed: content of its `model.sig`; None if there is none.

        Raises:
            NotVerified: nobody who is trusted signed it. The message goes on after the version's path.
        """
        if signed is None:
            raise NotSigned(f"{SIGNATURE} is missing, and only signed versions are trusted")
        known = self.keys or ((self.signer.public,) if self.signer else ())
        try:
            return signature.verified(signed, self._all(manifest, files), known).fingerprint
        except NotVerified as error:
            raise NotVerified(f"{SIGNATURE} {error}") from None

    def sign(self, version: str, manifest: bytes, files: Mapping[str, str]) -> dict[str, bytes]:
        """The file to put into a new version; none where nobody signs. See `signed_by` for the arguments."""
        if self.signer is None:
            return {}
        return {SIGNATURE: signature.sign(self.signer, version, self._all(manifest, files))}

    @staticmethod
    def _all(manifest: bytes, files: Mapping[str, str]) -> dict[str, str]:
        return {**files, PUSHED_MANIFEST: hashlib.sha256(manifest).hexdigest()}


NOBODY = Trust()


def reader(verify: Verify | None) -> Trust:
    """What `push.verify` trusts, for those who only read versions.

    Raises:
        ConfigError: a key cannot be read.
    """
    return NOBODY if verify is None else Trust(keys.public(verify.keys, verify.keys_env, _SETTINGS))


def of_json(verify: str) -> Trust:
    """The same from JSON, "" for null, as stages get it."""
    return reader(Verify.from_json(verify) if verify else None)


def writer(push: Push) -> Trust:
    """What `push.verify` trusts, with the key of `push.sign`.

    Raises:
        ConfigError: a key cannot be read, or nobody would trust what it signs.
    """
    if push.sign is None:
        return NOBODY
    signer, trusted = keys.private(push.sign), reader(push.verify).keys
    if trusted and signer.public.fingerprint not in {key.fingerprint for key in trusted}:
        raise ConfigError(
            f"push.verify: it lacks the public key of push.sign, {signer.public.fingerprint}, so what is pushed would "
            "be refused; add it"
        )
    return Trust(trusted, signer)


def of_options(files: Sequence[str], variable: str | None) -> Trust:
    """What the options --key and --key-env of a command trust.

    Raises:
        ConfigError: a key cannot be read, or there is another value in place of a path or of a variable's name. It is
            not shown: `--key-env "$SIGNING_KEY"` gives the private key itself, or nothing where that is not set.
    """
    if not all(map(is_key_file, files)):
        raise ConfigError("--key: expected the path of a file, got another value, such as the key itself")
    if variable is not None and not is_variable_name(variable):
        raise ConfigError(
            "--key-env: expected the name of an environment variable, such as SIGNING_KEYS, got "
            f"{'another value' if variable.strip() else repr(variable)}; to verify no signature, leave the option out"
        )
    return Trust(keys.public(files, variable, _OPTIONS)) if files or variable is not None else NOBODY
