"""Where a pushed model came from, as an in-toto statement that lies beside it and is signed with it.

The predicate is SLSA's provenance (https://slsa.dev/spec/v1.0/provenance): the configuration is its parameters, data
and code are its dependencies, and the builder's versions are the environment.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.base.artifact_files import PROVENANCE
from components.push.manifest import PushedManifest
from components.push.signing.errors import NotVerified

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
# Names of what is told, as the specification asks for; there is nothing at these addresses.
BUILD_TYPE = "https://imagegate/run/v1"
BUILDER = "https://imagegate/pusher"


@dataclass(frozen=True)
class Built:
    """What went into a model.

    Attributes:
        configuration: its keys and values, without what concerns the machine alone.
        environment: versions of Python, imagegate and the libraries that results depend on.
        manifest: of the model, with the fingerprints.
        files: SHA-256 of each file of the model and its exports, as they were judged.
    """

    configuration: Mapping[str, Any]
    environment: Mapping[str, str]
    manifest: PushedManifest
    files: Mapping[str, str]

    def statement(self) -> str:
        """The statement as JSON."""
        known = self.manifest
        used = {
            "data": known.data_fingerprint,
            "code": known.code_fingerprint,
            "configuration": known.configuration_fingerprint,
        }
        now = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
        told = {
            "_type": STATEMENT,
            "subject": [{"name": name, "digest": {"sha256": self.files[name]}} for name in sorted(self.files)],
            "predicateType": PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": {"name": known.name, "configuration": dict(self.configuration)},
                    "resolvedDependencies": [
                        {"name": name, "digest": {"sha256": digest}} for name, digest in used.items() if digest
                    ],
                },
                "runDetails": {
                    "builder": {"id": BUILDER, "version": dict(self.environment)},
                    "metadata": {"finishedOn": now},
                },
            },
        }
        return json.dumps(told, indent=1)


def read(content: bytes, files: Mapping[str, str]) -> dict[str, Any]:
    """Reads the statement of a version whose signature was verified.

    Args:
        content: of its `provenance.json`.
        files: path -> SHA-256 of its files.

    Raises:
        NotVerified: it is no such statement, or is about other files.
    """
    try:
        told: dict[str, Any] = json.loads(content)
        kinds = (told["_type"], told["predicateType"])
        about = {one["name"]: one["digest"]["sha256"] for one in told["subject"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        kinds, about = ("", ""), {}
    if kinds != (STATEMENT, PREDICATE) or not about:
        raise NotVerified(f"{PROVENANCE} is no in-toto statement with the predicate {PREDICATE}")
    if wrong := next((name for name in sorted(about) if files.get(name) != about[name]), None):
        raise NotVerified(f"{PROVENANCE} is about another {wrong} than the one beside it")
    return told
