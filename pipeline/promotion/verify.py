"""`imagegate verify`: whether a trusted key signed a pushed version, what it signed, and where the model came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from components.base.artifact_files import PROVENANCE, PUSHED_MANIFEST, SIGNATURE
from components.base.errors import ConfigError, ImagegateError
from components.push import versions
from components.push.signing import provenance, trust
from components.push.signing.errors import NotVerified
from components.push.signing.keys import PublicKey


@dataclass(frozen=True)
class Verified:
    """A version whose files are those that a trusted key signed.

    Attributes:
        served: the version.
        key: that signed it.
        provenance: the in-toto statement beside it; None if there is none.
    """

    served: versions.Served
    key: PublicKey
    provenance: dict[str, Any] | None

    def lines(self) -> Iterator[str]:
        """What is signed, by whom, and what went into it, in sentences."""
        told = self.served.manifest
        elsewhere = "" if told.version == self.served.version else ", in a folder of another name"
        yield f"verified: version {told.version} of {told.name}{elsewhere} -> {self.served.path}"
        yield f"key: {self.key.fingerprint} ({self.key.source})"
        yield f"signed: {len(told.files) + 1} files: {PUSHED_MANIFEST} and all that it names"
        yield f"pushed: {told.pushed or 'at an unknown time'}{self._copied()}"
        yield f"model: {self.served.identity}"
        yield f"data: {told.data_fingerprint or 'unknown'}"
        yield f"code: {told.code_fingerprint or 'unknown'}"
        yield f"configuration: {told.configuration_fingerprint or 'unknown'}"
        yield f"written by: {', '.join(f'{name} {release}' for name, release in told.written_by.items()) or 'unknown'}"

    def plain(self) -> dict[str, object]:
        """The same for JSON."""
        told = self.served.manifest
        return {
            "version": told.version,
            "path": self.served.path,
            "name": told.name,
            "key": self.key.fingerprint,
            "pushed": told.pushed,
            "rolled_back_to": told.rolled_back_to,
            "promoted_from": told.promoted_from,
            "challenger": told.challenger,
            "files": {PUSHED_MANIFEST: self.served.digest} | told.files,
            "provenance": self.provenance,
        }

    def _copied(self) -> str:
        told = self.served.manifest
        if told.rolled_back_to is not None:
            return f", rolled back from {told.rolled_back_from} to {told.rolled_back_to}"
        return "" if told.promoted_from is None else f", promoted from challenger {told.promoted_from}"


def run(model: str, files: Sequence[str], variable: str | None) -> Verified:
    """Verifies a version: its signature, every file, and that its provenance is about these files.

    Args:
        model: folder or fsspec URL of a version, or of a push destination, which stands for its served version.
        files: of public keys.
        variable: name of an environment variable with such keys, or None.

    Raises:
        ConfigError: no key is given, or one cannot be read.
        ImagegateError: there is no version, or it does not verify.
    """
    trusted = trust.of_options(files, variable)
    if not trusted.keys:
        raise ConfigError("verify: expected the public keys that you trust: --key FILE, or --key-env NAME")
    served = versions.find(model, trusted)
    if served is None:
        raise ImagegateError(
            f"{model}: no model here; expected a folder with {PUSHED_MANIFEST}, or one of numbered versions with it"
        )
    versions.verify(served)
    statement = None
    if PROVENANCE in served.manifest.files:
        try:
            statement = provenance.read(versions.content(served, PROVENANCE), served.manifest.files)
        except NotVerified as error:
            raise versions.Damaged(f"{served.path}/{error}; {SIGNATURE} vouches for it, so ask who signed it") from None
    return Verified(served, next(key for key in trusted.keys if key.fingerprint == served.signed_by), statement)
