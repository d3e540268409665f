"""Kubeflow's Model Registry: a version of the registered model for each push.

Its Python client speaks one version of the API in each release, and changes logging and asyncio for the whole process.
The requests that are needed here are the same in both versions that servers have, so they are made without it.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

from components.base.errors import ImagegateError
from components.sinks.entry import Entry

_APIS = ("v1", "v1alpha3")  # newest first
_AUTHOR = "imagegate"
# As KServe names the format of a SavedModel of TensorFlow 2.
_FORMAT = {"modelFormatName": "tensorflow", "modelFormatVersion": "2"}
_TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two parts of the answer

Json = dict[str, Any]


def record(url: str, token: str | None, model: str, entry: Entry) -> None:
    """Adds what a run pushed as a version of a registered model, which is created where there is none.

    Nothing is added for a run that pushed nothing: the registry knows models, not runs. What an earlier attempt for the
    same run has added stays, and the rest follows.

    Args:
        url: of the registry, `https://HOST` or `http://HOST:PORT`.
        token: sent as a bearer token; or None.
        model: name of the registered model.
        entry: of the run.

    Raises:
        ImagegateError: the URL is none, or the registry refused, or has the version of another run; holds nothing of
            the URL.
        requests.RequestException: it cannot be reached; the text may hold the URL.
    """
    if not (entry.pushed and entry.version):
        return
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ImagegateError("the variable holds no URL such as https://registry.example")
    registry = _Registry(url.rstrip("/"), token)
    body: Json = {"name": model, "owner": _AUTHOR}
    registered = _id(registry.get("registered_model", name=model) or registry.post("registered_models", body))
    body = {"name": entry.version, "registeredModelId": registered, "author": _AUTHOR}
    body["customProperties"] = _properties(entry)
    version = registry.add(f"registered_models/{registered}/versions", body)
    if version is None:  # of an attempt that broke off, or of somebody else
        version = registry.get("model_version", name=entry.version, parentResourceId=registered)
        if version is None or not _is_of(version, entry.run_id):
            raise ImagegateError(f"{model} has a version {entry.version} already")
    path = f"model_versions/{_id(version)}/artifacts"
    if not _holds(registry.get(path, pageSize="100"), entry.pushed):
        artifact = {"artifactType": "model-artifact", "name": model, "uri": entry.pushed, **_FORMAT}
        registry.post(path, artifact)


class _Taken(Exception):
    """Something of the same name is there already."""


class _Registry:
    """Requests to a registry.

    Args:
        url: without a slash at its end.
        token: see `record`.
    """

    def __init__(self, url: str, token: str | None) -> None:
        import requests

        self._session = requests.Session()
        # As a function, so that a file .netrc does not take its place.
        self._session.auth = lambda request: _with_token(request, token)
        for api in _APIS:
            self._base = f"{url}/api/model_registry/{api}"
            if self._request("GET", "registered_models", {"pageSize": "1"}) is not None:
                return
        raise ImagegateError("the server answers, but has no API of a Model Registry; look at the URL")

    def get(self, path: str, **query: str) -> Json | None:
        """Returns what is asked for; None if there is none."""
        return self._request("GET", path, query)

    def post(self, path: str, body: Json) -> Json:
        """Adds something, and returns it with its ID."""
        made = self.add(path, body)
        if made is None:
            raise ImagegateError("the registry has one of this name already")
        return made

    def add(self, path: str, body: Json) -> Json | None:
        """Adds something, and returns it with its ID; None if something of the name is there already."""
        try:
            made = self._request("POST", path, {}, body)
        except _Taken:
            return None
        if made is None:
            raise ImagegateError(f"the server answered 404 to POST {path}")
        return made

    def _request(self, method: str, path: str, query: Mapping[str, str], body: Json | None = None) -> Json | None:
        answer = self._session.request(
            method, f"{self._base}/{path}", params=query, json=body, timeout=_TIMEOUT, allow_redirects=False
        )
        if answer.status_code == 404:
            return None
        if answer.status_code == 409 and body is not None:
            raise _Taken
        if not 200 <= answer.status_code < 300:
            raise ImagegateError(f"the server answered {answer.status_code} to {method} {path}")
        found = answer.json()
        if not isinstance(found, dict):
            raise _no_registry()
        return found


def _no_registry() -> ImagegateError:
    return ImagegateError("the server answers, but not as a Model Registry does; look at the URL")


def _id(item: Json) -> str:
    """The ID in an answer, which becomes a part of a path and of messages."""
    identity = item.get("id")
    if not isinstance(identity, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", identity):
        raise _no_registry()
    return identity


def _is_of(version: Json, run: str) -> bool:
    """Whether a version was added for a run."""
    properties = version.get("customProperties")
    told = properties.get("imagegate.run_id") if isinstance(properties, dict) else None
    return isinstance(told, dict) and told.get("string_value") == run


def _holds(artifacts: Json | None, uri: str) -> bool:
    """Whether a list of artifacts has that of a URI."""
    items = artifacts.get("items") if artifacts else None
    return isinstance(items, list) and any(isinstance(one, dict) and one.get("uri") == uri for one in items)


def _with_token(request: Any, token: str | None) -> Any:
    if token is not None:
        request.headers["Authorization"] = f"Bearer {token}"
    return request


def _properties(entry: Entry) -> Json:
    """Metrics and facts as the registry's custom properties.

    >>> fields = {"run_id": "r", "state": "finished", "report": None, "pushed": "/m/8", "version": "8"}
    >>> _properties(Entry(facts={"status": "pushed"}, metrics={"accuracy": 0.5}, **fields))
    {'accuracy': {'metadataType': 'MetadataDoubleValue', 'double_value': 0.5},
     'imagegate.run_id': {'metadataType': 'MetadataStringValue', 'string_value': 'r'},
     'imagegate.status': {'metadataType': 'MetadataStringValue', 'string_value': 'pushed'}}
    """
    facts = {"run_id": entry.run_id, **({"report": entry.report} if entry.report else {}), **entry.facts}
    numbers = {
        name: {"metadataType": "MetadataDoubleValue", "double_value": value} for name, value in entry.metrics.items()
    }
    texts = {
        f"imagegate.{name}": {"metadataType": "MetadataStringValue", "string_value": text}
        for name, text in facts.items()
    }
    return numbers | texts
