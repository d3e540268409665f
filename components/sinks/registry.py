"""Kubeflow's Model Registry: a version of the registered model for each push.

Its Python client speaks one version of the API in each release, and changes logging and asyncio for the whole process.
The four requests that are needed here are the same in both versions that servers have, so they are made without it.
"""

from __future__ import annotations

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

    Nothing is added for a run that pushed nothing: the registry knows models, not runs.

    Args:
        url: of the registry, `https://HOST` or `http://HOST:PORT`.
        token: sent as a bearer token; or None.
        model: name of the registered model.
        entry: of the run.

    Raises:
        ImagegateError: the URL is none, or the registry refused, or has the version already; holds nothing of the URL.
        requests.RequestException: it cannot be reached; the text may hold the URL.
    """
    if not (entry.pushed and entry.version):
        return
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ImagegateError("the variable holds no URL such as https://registry.example")
    registry = _Registry(url.rstrip("/"), token)
    registered = registry.get("registered_model", name=model) or registry.post(
        "registered_models", {"name": model, "owner": _AUTHOR}
    )
    version = registry.post(
        f"registered_models/{registered['id']}/versions",
        {
            "name": entry.version,
            "registeredModelId": registered["id"],
            "author": _AUTHOR,
            "customProperties": _properties(entry),
        },
        taken=f"{model} has a version {entry.version} already",
    )
    artifact = {"artifactType": "model-artifact", "name": model, "uri": entry.pushed, **_FORMAT}
    registry.post(f"model_versions/{version['id']}/artifacts", artifact)


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

    def post(self, path: str, body: Json, *, taken: str = "the registry has one of this name already") -> Json:
        """Adds something, and returns it with its ID.

        Raises:
            ImagegateError: with the text `taken`, something of the name is there already; or see `record`.
        """
        made = self._request("POST", path, {}, body, taken)
        if made is None:
            raise ImagegateError(f"the server answered 404 to POST {path}")
        return made

    def _request(
        self, method: str, path: str, query: Mapping[str, str], body: Json | None = None, taken: str = ""
    ) -> Json | None:
        answer = self._session.request(
            method, f"{self._base}/{path}", params=query, json=body, timeout=_TIMEOUT, allow_redirects=False
        )
        if answer.status_code == 404:
            return None
        if answer.status_code == 409 and taken:
            raise ImagegateError(taken)
        if not 200 <= answer.status_code < 300:
            raise ImagegateError(f"the server answered {answer.status_code} to {method} {path}")
        found = answer.json()
        if not isinstance(found, dict):
            raise ImagegateError("the server answers, but not as a Model Registry does; look at the URL")
        return found


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
