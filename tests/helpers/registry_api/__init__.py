"""A Model Registry on 127.0.0.1, with state, which takes nothing that the real one's OpenAPI document does not."""

import contextlib
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import yaml

Json = dict[str, Any]
DOCUMENT: Json = yaml.safe_load((Path(__file__).parent / "schemas.yaml").read_text())


class Registry(ThreadingHTTPServer):
    """The server.

    Attributes:
        version: of its API; the others answer as a path that does not exist.
        models, versions, artifacts: what is there, by ID.
        of: ID of an artifact -> ID of its version.
        trouble: pattern of a method and path -> (status, body) that comes instead.
        seen: (method, path, Authorization) of every request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.version = "v1alpha3"
        self.models: dict[str, Json] = {}
        self.versions: dict[str, Json] = {}
        self.artifacts: dict[str, Json] = {}
        self.of: dict[str, str] = {}
        self.trouble: dict[str, tuple[int, str]] = {}
        self.seen: list[tuple[str, str, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def answer(self, method: str, path: str, query: Json, body: Json) -> tuple[int, Json]:
        if (method, path) == ("GET", "registered_models"):
            return 200, {"items": list(self.models.values())[: int(query["pageSize"])]}
        if (method, path) == ("GET", "registered_model"):
            found = [model for model in self.models.values() if model["name"] == query["name"]]
            return (200, found[0]) if found else (404, {"message": "no registered models found"})
        if (method, path) == ("POST", "registered_models"):
            return self._add(self.models, "RegisteredModelCreate", body, ("name",))
        if method == "POST" and (found := re.fullmatch(r"registered_models/(\d+)/versions", path)):
            assert found[1] == body["registeredModelId"]
            assert found[1] in self.models
            return self._add(self.versions, "ModelVersionCreate", body, ("registeredModelId", "name"))
        if (method, path) == ("GET", "model_version"):
            wanted = {"name": query["name"], "registeredModelId": query["parentResourceId"]}
            same = [one for one in self.versions.values() if wanted.items() <= one.items()]
            return (200, same[0]) if same else (404, {"message": "no model versions found"})
        if method == "GET" and (found := re.fullmatch(r"model_versions/(\d+)/artifacts", path)):
            mine = [one for one, version in self.of.items() if version == found[1]]
            return 200, {"items": [self.artifacts[one] for one in mine][: int(query["pageSize"])]}
        if method == "POST" and (found := re.fullmatch(r"model_versions/(\d+)/artifacts", path)):
            assert found[1] in self.versions
            assert body["artifactType"] == "model-artifact"
            status, added = self._add(self.artifacts, "ModelArtifactCreate", body, ())
            if status == 201:
                self.of[added["id"]] = found[1]
            return status, added
        return 405, {"message": "not allowed"}

    def _add(self, kept: dict[str, Json], schema: str, body: Json, unique: tuple[str, ...]) -> tuple[int, Json]:
        jsonschema.validate(body, {**DOCUMENT, "$ref": f"#/components/schemas/{schema}"})
        if extra := set(body) - _properties(DOCUMENT["components"]["schemas"][schema]):
            return 400, {"message": f"unknown field {min(extra)}"}
        if unique and any(all(one[key] == body[key] for key in unique) for one in kept.values()):
            return 409, {"message": "already exists: conflict"}
        identity = str(len(self.models) + len(self.versions) + len(self.artifacts) + 1)
        kept[identity] = {**body, "id": identity}
        return 201, kept[identity]


def _properties(schema: Json) -> set[str]:
    """The fields of a schema and of those that it is made of."""
    if "$ref" in schema:
        return _properties(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    return set(schema.get("properties", ())).union(*(_properties(part) for part in schema.get("allOf", ())))


class Handler(BaseHTTPRequestHandler):
    """Routes and answers one request."""

    server: Registry

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _do(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.command, url.path, self.headers["Authorization"]))
        prefix = f"/api/model_registry/{self.server.version}/"
        what = f"{self.command} {url.path}"
        trouble = next((t for pattern, t in self.server.trouble.items() if re.fullmatch(pattern, what)), None)
        if trouble is not None:
            return self._answer(*trouble)
        if not url.path.startswith(prefix):
            return self._answer(404, "404 page not found")
        query = dict(urllib.parse.parse_qsl(url.query))
        try:
            body = json.loads(raw or b"{}")
            status, found = self.server.answer(self.command, url.path.removeprefix(prefix), query, body)
        except (AssertionError, KeyError, ValueError, jsonschema.ValidationError) as error:
            status, found = 400, {"message": repr(error)}
        return self._answer(status, json.dumps(found))

    do_GET = do_POST = _do  # noqa: N815

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "http://127.0.0.1:9/")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


@contextlib.contextmanager
def running() -> Iterator[Registry]:
    """A registry that answers until the end of the block."""
    registry = Registry()
    thread = threading.Thread(target=registry.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        registry.shutdown()
        registry.server_close()
