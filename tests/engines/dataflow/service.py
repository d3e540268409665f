"""The job API of Dataflow and the Cloud Storage that it needs, on localhost: takes what the real ones would.

A job is the graph that Beam has put into the bucket. It is done here, with Beam's own runner, in threads of this
process, which stand for the workers in their image. All requests are kept, as they came.

Sources: https://cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.locations.jobs,
https://cloud.google.com/storage/docs/json_api/v1, https://cloud.google.com/dataflow/quotas.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import google_crc32c
from google.cloud import dataflow
from google.protobuf import json_format

Json = dict[str, Any]
LIMIT = 10 << 20  # bytes of a request to create a job
_SECONDS = 120  # for a job, until the answer to its request only says that it runs
_NAME = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
_LABEL = r"[a-z0-9_-]{0,63}"


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Job:
    """A job that was taken.

    Attributes:
        request: the body of the request that created it.
        project: from the request's path.
        region: from the request's path.
        size: of the body in bytes.
        graph: the staged pipeline, serialised.
        state: such as JOB_STATE_DONE.
        requested: states that a client asked for.
        messages: of the workers.
    """

    request: Json
    project: str
    region: str
    size: int
    graph: bytes
    state: str = "JOB_STATE_PENDING"
    requested: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def pool(self) -> Json:
        """The description of the workers."""
        [pool] = self.request["environment"]["workerPools"]
        return dict(pool)

    @property
    def steps(self) -> list[str]:
        """Names of the graph's outermost steps."""
        from apache_beam.portability.api import beam_runner_api_pb2

        graph = beam_runner_api_pb2.Pipeline.FromString(self.graph)
        names = [step.unique_name for step in graph.components.transforms.values()]
        return sorted({name for name in names if name and "/" not in name})


class Service(ThreadingHTTPServer):
    """Both services.

    Attributes:
        works: whether jobs are done; otherwise they run for ever.
        jobs: by their ids, in the order in which they came.
        objects: path below the bucket -> content, of every object.
    """

    daemon_threads = True

    def __init__(self, bucket: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bucket, self.works = bucket, True
        self.jobs: dict[str, Job] = {}
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, bytearray] = {}
        # Beam speaks HTTP instead of gRPC to an endpoint whose name is this one.
        self.url = f"http://localhost:{self.server_port}"

    # Each method answers a request; the groups of its pattern become arguments.

    def token(self, query: Json, body: bytes) -> Json:
        return {"access_token": "of nobody", "token_type": "Bearer", "expires_in": 3600}

    def create_job(self, query: Json, body: bytes, project: str, region: str) -> Json:
        if len(body) > LIMIT:
            raise Refused(413, f"the request has {len(body)} bytes; the limit is {LIMIT}")
        request = json.loads(body)
        proto = json_format.ParseDict(request, dataflow.Job.pb()())  # refuses unknown fields
        if not re.fullmatch(_NAME, proto.name):
            raise Refused(400, f"(f0) The job name {proto.name!r} is invalid")
        for key, value in proto.labels.items():
            if not re.fullmatch(f"[a-z]{_LABEL}", key) or not re.fullmatch(_LABEL, value):
                raise Refused(400, f"(f0) The label {key}={value} is invalid")
        [pool] = proto.environment.worker_pools
        if not proto.environment.temp_storage_prefix.startswith(f"storage.googleapis.com/{self.bucket}/"):
            raise Refused(400, "(f0) The temporary location is in no bucket")
        if not all("/" in image.container_image for image in pool.sdk_harness_container_images):
            raise Refused(400, "(f0) The workers' image is no image")
        url = request["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
        graph = self.objects[url.removeprefix(f"gs://{self.bucket}/")]
        identity = f"2026-01-05_00_00_{len(self.jobs):02}-{len(self.jobs)}"
        self.jobs[identity] = job = Job(request, project, region, len(body), graph)
        job.state = "JOB_STATE_RUNNING"
        if self.works:
            threading.Thread(target=_work, args=(job,), daemon=True).start()
            job.over.wait(_SECONDS)
        return self._described(identity)

    def get_job(self, query: Json, body: bytes, project: str, region: str, identity: str) -> Json:
        self._job(project, region, identity)
        return self._described(identity)

    def update_job(self, query: Json, body: bytes, project: str, region: str, identity: str) -> Json:
        job = self._job(project, region, identity)
        # A query may hold fields of the job; of these, only the state that is asked for can be changed.
        asked = json.loads(body)["requestedState"]
        job.requested.append(dataflow.JobState(asked).name if isinstance(asked, int) else asked)
        job.state = job.requested[-1]
        return self._described(identity)

    def messages(self, query: Json, body: bytes, project: str, region: str, identity: str) -> Json:
        job = self._job(project, region, identity)
        rows = [
            {
                "id": str(i),
                "time": "2026-01-05T00:00:00Z",
                "messageText": text,
                "messageImportance": "JOB_MESSAGE_ERROR",
            }
            for i, text in enumerate(job.messages)
        ]
        return {"jobMessages": rows}

    def metrics(self, query: Json, body: bytes, project: str, region: str, identity: str) -> Json:
        self._job(project, region, identity)
        return {}

    def get_bucket(self, query: Json, body: bytes, bucket: str) -> Json:
        self._in(bucket)
        return {"kind": "storage#bucket", "id": bucket, "name": bucket, "projectNumber": "1"}

    def get_object(self, query: Json, body: bytes, bucket: str, name: str) -> Json | bytes:
        self._in(bucket)
        path = urllib.parse.unquote(name)
        if path not in self.objects:
            raise Refused(404, f"No such object: {bucket}/{path}")
        return self.objects[path] if query.get("alt") == "media" else self._object(path)

    def begin_upload(self, query: Json, body: bytes, bucket: str) -> Json:
        self._in(bucket)
        assert query["uploadType"] == "resumable", query
        self.uploads[name := json.loads(body)["name"]] = bytearray()
        place = urllib.parse.urlencode({"uploadType": "resumable", "upload_id": name})
        return {"location": f"{self.url}/upload/storage/v1/b/{bucket}/o?{place}"}

    def upload(self, query: Json, body: bytes, bucket: str) -> Json:
        self._in(bucket)
        self.uploads[query["upload_id"]] += body
        self.objects[query["upload_id"]] = bytes(self.uploads[query["upload_id"]])
        return self._object(query["upload_id"])

    def _job(self, project: str, region: str, identity: str) -> Job:
        job = self.jobs.get(identity)
        if job is None or (job.project, job.region) != (project, region):
            raise Refused(404, f"(f0) Information about job {identity} could not be found in {region}")
        return job

    def _described(self, identity: str) -> Json:
        job = self.jobs[identity]
        kept = {key: job.request[key] for key in ("name", "clientRequestId", "type")}
        place = {"projectId": job.project, "location": job.region}
        return {"id": identity, "currentState": job.state, **kept, **place}

    def _in(self, bucket: str) -> None:
        if bucket != self.bucket:
            raise Refused(404, "The specified bucket does not exist.")

    def _object(self, path: str) -> Json:
        content = self.objects[path]
        checksum = base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
        told = {"name": path, "bucket": self.bucket, "size": str(len(content)), "generation": "1", "crc32c": checksum}
        return {"kind": "storage#object", "updated": "2026-01-05T00:00:00Z", **told}


_JOBS = r"/v1b3/projects/([\w-]+)/locations/([\w-]+)/jobs"
_ROUTES = {
    r"POST /token": Service.token,
    rf"POST {_JOBS}": Service.create_job,
    rf"GET {_JOBS}/([\w-]+)": Service.get_job,
    rf"PUT {_JOBS}/([\w-]+)": Service.update_job,
    rf"GET {_JOBS}/([\w-]+)/messages": Service.messages,
    rf"GET {_JOBS}/([\w-]+)/metrics": Service.metrics,
    r"GET /storage/v1/b/([\w-]+)": Service.get_bucket,
    r"GET (?:/download)?/storage/v1/b/([\w-]+)/o/(\S+)": Service.get_object,
    r"POST /upload/storage/v1/b/([\w-]+)/o": Service.begin_upload,
    r"PUT /upload/storage/v1/b/([\w-]+)/o": Service.upload,
}


def _work(job: Job) -> None:
    """Runs the graph of a job."""
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.portability.api import beam_runner_api_pb2
    from apache_beam.portability.python_urns import EMBEDDED_PYTHON
    from apache_beam.runners.portability.fn_api_runner import fn_runner

    graph = beam_runner_api_pb2.Pipeline.FromString(job.graph)
    for environment in graph.components.environments.values():
        environment.urn, environment.payload = EMBEDDED_PYTHON, b""
        del environment.dependencies[:]
    try:
        fn_runner.FnApiRunner().run_via_runner_api(graph, PipelineOptions([])).wait_until_finish()
        job.state = "JOB_STATE_DONE"
    except Exception as error:  # noqa: BLE001  as a worker's
        job.messages.append(f"Traceback: {error}")
        job.state = "JOB_STATE_FAILED"
    job.over.set()


class _Handler(BaseHTTPRequestHandler):
    """Routes and answers one request."""

    server: Service
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _do(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        body = self._body()
        try:
            for pattern, answer in _ROUTES.items():
                if found := re.fullmatch(pattern, f"{self.command} {url.path}"):
                    return self._answer(200, answer(self.server, query, body, *found.groups()))
            raise Refused(404, f"Not Found: {self.command} {url.path}")
        except Refused as refused:
            return self._answer(refused.status, {"error": {"code": refused.status, "message": str(refused)}})
        except (AssertionError, KeyError, TypeError, ValueError, json_format.ParseError) as error:
            return self._answer(400, {"error": {"code": 400, "message": f"the test's service: {error!r}"}})

    do_GET = do_POST = do_PUT = _do  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while length := int(self.rfile.readline(), 16):
            body += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, told: Mapping[str, Any] | bytes) -> None:
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        self.send_response(status)
        if not isinstance(told, bytes) and "location" in told and "kind" not in told:
            self.send_header("Location", str(told["location"]))
        self.send_header("Content-Type", "application/octet-stream" if isinstance(told, bytes) else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def served(bucket: str) -> Iterator[Service]:
    """Runs both services until the block ends."""
    with Service(bucket) as service:
        threading.Thread(target=service.serve_forever, args=(0.05,), daemon=True).start()
        yield service
        service.shutdown()


def account(folder: Path, url: str) -> Path:
    """Writes the file of a service account that exists nowhere, with a key made for it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    email = "imagegate@nowhere.iam.gserviceaccount.com"
    told = {"type": "service_account", "project_id": "nowhere", "private_key_id": "1", "private_key": pem}
    path = folder / "account.json"
    path.write_text(json.dumps(told | {"client_email": email, "client_id": "1", "token_uri": f"{url}/token"}))
    return path
