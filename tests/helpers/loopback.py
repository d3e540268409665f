"""A Kubeflow Pipelines API on 127.0.0.1, with state, which takes nothing that the real one would not."""

import datetime
import email
import json
import re
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from kfp_server_api import models

Json = dict[str, Any]
ROOT = "/apis/v2beta1"
# What int64 in JSON may be, by protobuf's rules: a number or its digits.
WHOLE = ("max_concurrency",)
PRIMITIVE = {"str": str, "bool": bool, "int": int, "datetime": str, "object": dict}


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def check(value: Any, kind: str, where: str) -> None:
    """Holds a request's JSON against kfp_server_api's model `kind`; unknown fields and other types are refused."""
    if found := re.fullmatch(r"list\[(.*)\]", kind):
        assert isinstance(value, list), where
        for i, item in enumerate(value):
            check(item, found[1], f"{where}[{i}]")
    elif found := re.fullmatch(r"dict\(str, (.*)\)", kind):
        assert isinstance(value, dict), where
        for key, item in value.items():
            if found[1] != "object":
                check(item, found[1], f"{where}.{key}")
    elif kind in PRIMITIVE:
        taken = (PRIMITIVE[kind], int) if where.rpartition(".")[2] in WHOLE else PRIMITIVE[kind]
        if not isinstance(value, taken):
            raise Refused(400, f"{where}: {value!r} is no {kind}")
    else:
        model = getattr(models, kind)
        if not model.openapi_types:  # an enumeration
            if value not in {v for k, v in vars(model).items() if k.isupper()}:
                raise Refused(400, f"{where}: {value!r} is no {kind}")
            return
        attributes = {model.attribute_map[a]: t for a, t in model.openapi_types.items()}
        for key, item in value.items():
            if key not in attributes:
                raise Refused(400, f"{where}: unknown field {key!r}")
            check(item, attributes[key], f"{where}.{key}")


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Api(ThreadingHTTPServer):
    """The server.

    Attributes:
        token: what each request must bear, if anything.
        multi_user: whether it keeps things by namespace.
        trouble: (method and path, a pattern) -> what comes instead: (status, body), or seconds to stall.
        script: what a run's details are at each look, the last for ever: (run's state, [(task, state), …]).
        seen: (method, path, query, body, headers) of every request.
        logs: name of a pod -> its log; the nodes of a workflow are named `birds-x1-NUMBER` here.
        uploaded: ID of a version -> the file that was uploaded.
        children: display name of a node -> its children, where these are others than `birds-x1-NAME`.
    """

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.token, self.multi_user = "", False
        self.trouble: dict[str, tuple[int, str] | float] = {}
        self.script: list[tuple[str, list[tuple[str, str]]]] = [("SUCCEEDED", [])]
        self.seen: list[tuple[str, str, Json, Any, Any]] = []
        self.experiments: dict[str, Json] = {}
        self.pipelines: dict[str, Json] = {}
        self.versions: dict[str, Json] = {}
        self.runs: dict[str, Json] = {}
        self.recurringruns: dict[str, Json] = {}
        self.logs: dict[str, str] = {}
        self.uploaded: dict[str, str] = {}
        self.children: dict[str, list[str]] = {}
        self.page = 100
        self.after: Callable[[str], None] = lambda _: None
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves, for a timeout or an untrusted certificate, is no error of ours."""

    def new(self, kind: str, key: str, item: Json) -> Json:
        kept: dict[str, Json] = getattr(self, kind)
        identity = f"{kind[:3]}-{len(self.seen)}"
        kept[identity] = item | {key: identity, "created_at": now()}
        return kept[identity]

    def bodies(self, method: str, path: str) -> list[Any]:
        """The bodies of all requests to a path."""
        return [body for m, p, _, body, _ in self.seen if (m, p) == (method, ROOT + path)]

    # One method per request; a pattern's groups become its arguments.

    def healthz(self, query: Json, body: Any) -> Json:
        return {"multi_user": True} if self.multi_user else {}

    def list_experiments(self, query: Json, body: Any) -> Json:
        return self._listed("experiments", query)

    def create_experiment(self, query: Json, body: Any) -> Json:
        check(body, "V2beta1Experiment", "experiment")
        self._namespace(body)
        if any(e["display_name"] == body["display_name"] for e in self.experiments.values()):
            raise Refused(409, f"an experiment named {body['display_name']} exists already")
        return self.new("experiments", "experiment_id", body)

    def list_pipelines(self, query: Json, body: Any) -> Json:
        return self._listed("pipelines", query)

    def create_pipeline(self, query: Json, body: Any) -> Json:
        check(body, "V2beta1Pipeline", "pipeline")
        self._namespace(body)
        if any(p["display_name"] == body["display_name"] for p in self.pipelines.values()):
            raise Refused(409, f"a pipeline named {body['display_name']} exists already")
        return self.new("pipelines", "pipeline_id", body)

    def upload_version(self, query: Json, body: Any) -> Json:
        assert set(query) == {"name", "pipelineid"}, query
        if query["pipelineid"] not in self.pipelines:
            raise Refused(404, "no such pipeline")
        spec, *platforms = yaml.safe_load_all(body)
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        for platform in platforms:
            json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
        made = {"pipeline_id": query["pipelineid"], "display_name": query["name"], "pipeline_spec": spec}
        version = self.new("versions", "pipeline_version_id", made)
        self.uploaded[version["pipeline_version_id"]] = body
        return version

    def create_run(self, query: Json, body: Any) -> Json:
        check(body, "V2beta1Run", "run")
        self._runnable(body)
        return self.new("runs", "run_id", body | {"state": "PENDING"})

    def list_runs(self, query: Json, body: Any) -> Json:
        assert query["experiment_id"] in self.experiments, query
        assert query["sort_by"] == "created_at desc", query
        mine = [r for r in self.runs.values() if r["experiment_id"] == query["experiment_id"]]
        return self._page("runs", sorted(mine, key=lambda r: str(r["created_at"]), reverse=True), query)

    def get_run(self, query: Json, body: Any, identity: str) -> Json:
        if identity not in self.runs:
            raise Refused(404, f"Run {identity} not found.")
        state, tasks = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.runs[identity]["state"] = state
        details = [self._detail(i, name, task) for i, (name, task) in enumerate(tasks)]
        return self.runs[identity] | {"state": state, "run_details": {"task_details": details}}

    def read_log(self, query: Json, body: Any, identity: str, pod: str) -> str:
        """As the real one answers: with status 200 also where there is no log."""
        if identity not in self.runs:
            raise Refused(404, f"Run {identity} not found.")
        missing = {"error_message": f"Failed to read logs from pod {pod}", "error_details": "not found"}
        return self.logs.get(pod, json.dumps(missing))

    def create_recurringrun(self, query: Json, body: Any) -> Json:
        check(body, "V2beta1RecurringRun", "recurring_run")
        self._runnable(body)
        if not 1 <= int(body["max_concurrency"]) <= 10:
            raise Refused(400, "Max concurrency of a recurring run must be at least 1 and at most 10.")
        if len(body["trigger"]["cron_schedule"]["cron"].split()) != 6:
            raise Refused(400, "Schedule cron is not a supported format")  # it would take five for second to month
        kept = body | {"max_concurrency": str(body["max_concurrency"]), "status": "ENABLED"}
        return self.new("recurringruns", "recurring_run_id", kept)

    def list_recurringruns(self, query: Json, body: Any) -> Json:
        return self._listed("recurringruns", query)

    def delete_recurringrun(self, query: Json, body: Any, identity: str) -> Json:
        if self.recurringruns.pop(identity, None) is None:
            raise Refused(404, f"recurring run {identity} not found")
        return {}

    def _listed(self, kind: str, query: Json) -> Json:
        allowed = {"page_token", "page_size", "sort_by", "filter", "namespace", "experiment_id"}
        assert set(query) <= allowed, query
        if self.multi_user and not query.get("namespace") and not query.get("experiment_id"):
            raise Refused(400, "a namespace is needed in multi-user mode")
        [predicate] = json.loads(query["filter"])["predicates"]
        assert predicate["key"] == "display_name", predicate
        assert predicate["operation"] in ("EQUALS", 1), predicate  # protobuf takes an enumeration's name or number
        kept: dict[str, Json] = getattr(self, kind)
        found = [i for i in kept.values() if i["display_name"] == predicate["stringValue"]]
        for key in ("namespace", "experiment_id"):
            found = [i for i in found if not query.get(key) or i.get(key) == query[key]]
        return self._page(kind, found, query)

    def _page(self, kind: str, found: list[Json], query: Json) -> Json:
        start = int(query.get("page_token") or 0)
        end = start + min(self.page, int(query["page_size"] if query.get("page_size") else 10))
        return {kind_of(kind): found[start:end]} | ({"next_page_token": str(end)} if end < len(found) else {})

    def _namespace(self, body: Json) -> None:
        if self.multi_user and not body.get("namespace"):
            raise Refused(400, "a namespace is needed in multi-user mode")

    def _runnable(self, body: Json) -> None:
        version = body["pipeline_version_reference"]
        if body["experiment_id"] not in self.experiments or version["pipeline_version_id"] not in self.versions:
            raise Refused(404, "no such experiment or pipeline version")
        assert version["pipeline_id"] == self.versions[version["pipeline_version_id"]]["pipeline_id"]
        spec = self.versions[version["pipeline_version_id"]]["pipeline_spec"]
        declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        if extra := set(body["runtime_config"].get("parameters", {})) - set(declared):
            raise Refused(400, f"parameter {min(extra)} is not declared")

    def _detail(self, i: int, name: str, state: str) -> Json:
        start = f"2026-01-05T03:{i:02}:00Z"
        end = f"2026-01-05T03:{i:02}:{7 if state in ('SUCCEEDED', 'FAILED') else 0:02}Z"
        times = {"start_time": start, "end_time": end}
        # The one child of a task's node is the node of its pod, or one that stands for the attempts at it.
        children = [{"pod_name": child} for child in self.children.get(name, [f"birds-x1-{name}"])]
        return {"task_id": f"task-{i}", "display_name": name, "state": state, "child_tasks": children} | times


def kind_of(kind: str) -> str:
    return {"recurringruns": "recurringRuns"}.get(kind, kind)


ROUTES = {
    r"GET /healthz": Api.healthz,
    r"GET /experiments": Api.list_experiments,
    r"POST /experiments": Api.create_experiment,
    r"GET /pipelines": Api.list_pipelines,
    r"POST /pipelines": Api.create_pipeline,
    r"POST /pipelines/upload_version": Api.upload_version,
    r"POST /runs": Api.create_run,
    r"GET /runs": Api.list_runs,
    r"GET /runs/([\w-]+)": Api.get_run,
    r"GET /apis/v1alpha1/runs/([\w-]+)/nodes/([\w-]+)/log": Api.read_log,
    r"POST /recurringruns": Api.create_recurringrun,
    r"GET /recurringruns": Api.list_recurringruns,
    r"DELETE /recurringruns/([\w-]+)": Api.delete_recurringrun,
}


class Handler(BaseHTTPRequestHandler):
    """Routes, checks and answers one request."""

    server: Api

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _do(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = self._body(raw)
            self.server.seen.append((self.command, url.path, query, body, self.headers))
            if self.server.token and self.headers["authorization"] != f"Bearer {self.server.token}":
                raise Refused(401, "Request header error: there is no user identity header.")
            what = f"{self.command} {url.path.removeprefix(ROOT)}"
            trouble = next((t for pattern, t in self.server.trouble.items() if re.fullmatch(pattern, what)), None)
            if isinstance(trouble, tuple):
                return self._answer(*trouble)
            time.sleep(trouble or 0.0)
            for pattern, handle in ROUTES.items():
                if found := re.fullmatch(pattern, what):
                    answer = handle(self.server, query, body, *found.groups())
                    self.server.after(what)
                    return self._answer(200, answer if isinstance(answer, str) else json.dumps(answer))
            raise Refused(404, "Not Found")
        except Refused as refused:
            said = {"error": str(refused), "code": 5, "message": str(refused), "details": []}
            return self._answer(refused.status, json.dumps(said))
        except (AssertionError, KeyError, TypeError, json_format.ParseError) as error:
            return self._answer(400, json.dumps({"message": f"the test's server: {error!r}"}))

    do_GET = do_POST = do_DELETE = _do  # noqa: N815

    def _body(self, raw: bytes) -> Any:
        kind = self.headers.get("Content-Type", "")
        if not raw:
            return None
        if not kind.startswith("multipart/"):
            return json.loads(raw)
        message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + raw)
        [part] = message.get_payload()  # type: ignore[misc]
        assert part.get_param("name", header="content-disposition") == "uploadfile"
        assert part.get_filename() == "pipeline.yaml"  # the server goes by the name
        return part.get_payload(decode=True).decode()

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        if status in (301, 302):
            self.send_header("Location", "http://127.0.0.1:9/dex/auth")
        self.send_header("Content-Type", "application/json" if text.startswith("{") else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
