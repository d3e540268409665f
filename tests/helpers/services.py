"""What Kubeflow's driver and launcher talk to, on the loopback address: each a small real counterpart with its state.

ML Metadata's own store behind its own gRPC service; moto's S3 server; of the Kubernetes API the objects that are read;
of the Kubeflow API the two calls that are the cache.
"""

import base64
import contextlib
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import s3fs
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from ml_metadata.metadata_store import metadata_store
from ml_metadata.metadata_store.pywrap.metadata_store_extension import metadata_store as engine
from ml_metadata.proto import metadata_store_pb2, metadata_store_service_pb2

Json = dict[str, Any]

NAMESPACE = "kubeflow"
TOKEN = "a-token"
LARGEST = [("grpc.max_receive_message_length", 100 * 2**20), ("grpc.max_send_message_length", 100 * 2**20)]
CODES = {code.value[0]: code for code in grpc.StatusCode}
KEY, SECRET = "minio", "minio123"  # of the object store

Call = Callable[[bytes, grpc.ServicerContext], bytes]


@contextlib.contextmanager
def _grpc(service: str, calls: dict[str, Call]) -> Iterator[int]:
    """Serves calls from bytes to bytes, one after another; gives the port."""
    server = grpc.server(ThreadPoolExecutor(1), options=LARGEST)
    handlers = {name: grpc.unary_unary_rpc_method_handler(call) for name, call in calls.items()}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    port: int = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


@contextlib.contextmanager
def metadata() -> Iterator[tuple[metadata_store.MetadataStore, int]]:
    """ML Metadata's store in memory, and the port at which it is served."""
    connection = metadata_store_pb2.ConnectionConfig()
    connection.fake_database.SetInParent()
    store = metadata_store.MetadataStore(connection)

    def call(name: str) -> Call:
        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            wanted = None
            if name == "GetExecutionsByContext":
                request, wanted = _without_filter(request)
            found, reason, code = getattr(engine, name)(store._metadata_store, request)
            if code:
                context.abort(CODES[code], reason.decode() if isinstance(reason, bytes) else reason)
            return found if wanted is None else _children(found, wanted)

        return answer

    service = metadata_store_service_pb2.DESCRIPTOR.services_by_name["MetadataStoreService"]
    calls = {method.name: call(method.name) for method in service.methods if hasattr(engine, method.name)}
    with _grpc(service.full_name, calls) as port:
        yield store, port


def _without_filter(request: bytes) -> tuple[bytes, int | None]:
    """The request, and whose children it asks for: the Python package's engine, unlike the server's, cannot filter."""
    told = metadata_store_service_pb2.GetExecutionsByContextRequest.FromString(request)
    query = told.options.filter_query
    told.options.ClearField("filter_query")
    if not query:
        return told.SerializeToString(), None
    found = re.fullmatch(r"custom_properties\.parent_dag_id\.int_value = (\d+)", query)
    assert found is not None, query
    return told.SerializeToString(), int(found[1])


def _children(found: bytes, parent: int) -> bytes:
    told = metadata_store_service_pb2.GetExecutionsByContextResponse.FromString(found)
    kept = [e for e in told.executions if e.custom_properties["parent_dag_id"].int_value == parent]
    told.ClearField("executions")
    told.executions.extend(kept)
    answer: bytes = told.SerializeToString()
    return answer


def _messages() -> dict[str, Any]:
    """Of backend/api/v1beta1/task.proto what is read here; the rest stays in the messages as unknown fields."""
    file = descriptor_pb2.FileDescriptorProto(name="task.proto", package="api", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    fields: dict[str, Sequence[tuple[str, int, str, bool]]] = {
        "Task": [
            ("namespace", 2, "", False),
            ("pipelineName", 3, "", False),
            ("mlmdExecutionID", 5, "", False),
            ("fingerprint", 8, "", False),
        ],
        "CreateTaskRequest": [("task", 1, ".api.Task", False)],
        "ListTasksRequest": [("filter", 5, "", False)],
        "ListTasksResponse": [("tasks", 1, ".api.Task", True)],
    }
    for name, listed in fields.items():
        message = file.message_type.add(name=name)
        for key, number, kind, repeated in listed:
            message.field.add(
                name=key,
                json_name=key,
                number=number,
                type=kinds.TYPE_MESSAGE if kind else kinds.TYPE_STRING,
                type_name=kind or None,
                label=kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"api.{name}")) for name in fields}


@contextlib.contextmanager
def cache() -> Iterator[int]:
    """The Kubeflow API's service for the tasks that were recorded; its port."""
    messages, tasks = _messages(), list[Any]()

    def create(request: bytes, _: grpc.ServicerContext) -> bytes:
        tasks.append(messages["CreateTaskRequest"].FromString(request).task)
        answer: bytes = tasks[-1].SerializeToString()
        return answer

    def find(request: bytes, _: grpc.ServicerContext) -> bytes:
        wanted = json.loads(messages["ListTasksRequest"].FromString(request).filter)["predicates"]
        assert {one["op"] for one in wanted} == {"EQUALS"}
        found = [t for t in reversed(tasks) if all(getattr(t, p["key"]) == p["stringValue"] for p in wanted)]
        answer: bytes = messages["ListTasksResponse"](tasks=found[:1]).SerializeToString()
        return answer

    with _grpc("api.TaskService", {"CreateTaskV1": create, "ListTasksV1": find}) as port:
        yield port


@dataclass
class Kubernetes:
    """An API that has objects to be read, by path below /api/v1/namespaces/NAMESPACE; notes what was asked for."""

    objects: dict[str, Json]
    port: int = 0
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str, token: str) -> tuple[int, Json]:
        key = path.removeprefix(f"/api/v1/namespaces/{NAMESPACE}/")
        self.asked.append(key)
        if token != f"Bearer {TOKEN}":
            return 401, {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "reason": "Unauthorized",
                "code": 401,
            }
        if key not in self.objects:
            return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        return 200, self.objects[key]


def config_map(name: str, data: dict[str, str]) -> dict[str, Json]:
    told = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE}, "data": data}
    return {f"configmaps/{name}": told}


def secret(name: str, data: dict[str, str]) -> dict[str, Json]:
    coded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    told = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}, "data": coded}
    return {f"secrets/{name}": told}


@contextlib.contextmanager
def kubernetes(account: Path, objects: dict[str, Json]) -> Iterator[Kubernetes]:
    """Serves over TLS; writes what a pod finds of its service account into `account`."""
    account.mkdir(parents=True)
    key, certificate = account.parent / "api.key", account / "ca.crt"
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", *options, *names], check=True, capture_output=True)
    (account / "token").write_text(TOKEN)
    (account / "namespace").write_text(NAMESPACE)
    api = Kubernetes(objects)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, told = api.answer(urllib.parse.urlsplit(self.path).path, self.headers.get("Authorization", ""))
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    api.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def moto() -> str | None:
    """The program, beside the interpreter or on PATH."""
    return shutil.which("moto_server", path=str(Path(sys.executable).parent)) or shutil.which("moto_server")


@dataclass(frozen=True)
class Store:
    """An S3 server's bucket."""

    port: int
    bucket: str

    @property
    def _files(self) -> s3fs.S3FileSystem:
        at = f"http://127.0.0.1:{self.port}"
        return s3fs.S3FileSystem(key=KEY, secret=SECRET, endpoint_url=at, use_listings_cache=False)

    def keys(self, below: str) -> list[str]:
        """Of the object of this name, or of all below a folder of it."""
        found: list[str] = self._files.find(f"{self.bucket}/{below}")
        return [path.removeprefix(f"{self.bucket}/") for path in found]

    def read(self, key: str) -> bytes:
        found: bytes = self._files.cat_file(f"{self.bucket}/{key}")
        return found


@contextlib.contextmanager
def store(log: Path, bucket: str) -> Iterator[Store]:
    """moto's server, in memory, with an empty bucket."""
    program = moto()
    assert program is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("w") as out:
        server = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stdout=out, stderr=subprocess.STDOUT)
    try:
        _wait(port, log)
        made = Store(port, bucket)
        made._files.mkdir(bucket)
        yield made
    finally:
        server.terminate()
        server.wait()


def _wait(port: int, log: Path) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.2)
    raise AssertionError(log.read_text())
