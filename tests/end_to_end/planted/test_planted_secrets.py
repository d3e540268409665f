"""Secrets in the environment, in URLs and in secrets of Kubernetes: they come out nowhere, and nothing calls home.

One process goes through nearly all commands with every variable planted that imagegate or a library of its reads. Then
everything that it wrote, printed, sent and uploaded is searched, also for secrets in another coding.
"""

import base64
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import object_store
import pytest
import signing_keys
from cryptography.hazmat.primitives import serialization
from loopback import Api
from projects import ROOT, Project, write_tiny
from receivers import Mailbox, Request, Script, http, smtp

pytestmark = pytest.mark.end_to_end

MARK = "Pl4ntedS3cret"  # of every secret; no coding of text but base64, hexadecimal digits and UTF-16 changes it
GUARD = Path(__file__).parents[2] / "helpers" / "guard"
DESTINATION = "s3://models/served/tiny"
PUSH = f"""\
push:
  destination: {DESTINATION}
  sign: {{key_env: SIGNING_KEY}}
  verify: {{keys_env: TRUSTED_KEYS}}
"""

# The commands, one after the other, in one process; a line of the file CODES for each.
DRIVER = """
import json, os, sys
import fsspec
from pipeline import cli
for step in json.load(open(sys.argv[1])):
    os.environ.update(step.get("environment", {}))
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    print("step", step["name"], flush=True)
    try:
        code = cli.main(step["command"])
    except SystemExit as error:
        code = error.code
    with open(sys.argv[2], "a") as f:
        print(json.dumps([step["name"], code]), file=f)
"""

OWN = """
import os
from urllib.parse import quote

def build(request):
    password = quote(os.environ["DATABASE_PASSWORD"], safe="")
    raise RuntimeError(f"no answer from https://me:{password}@127.0.0.1:9/weights")
"""


def secret(name: str) -> str:
    """A secret with characters that URLs, JSON, YAML, HTML and shells each write in another way."""
    return f"{MARK}-{name}/+=\"'&<%"


def in_url(name: str) -> str:
    return quote(secret(name), safe="")


def signing_key(folder: Path, name: str, first: bytes, password: str = "") -> Path:
    """Writes a pair of keys, see `signing_keys.write`; the private one holds the mark, also once it is decrypted.

    A number of 32 bytes is what is private of a key. The mark is where no end of a line of the PEM divides it.
    """
    number = int.from_bytes((first * 14 + MARK.encode()).ljust(32, first), "big")
    private = signing_keys.write(folder, name, password=password.encode() or None, number=number)
    private.write_text(f"{secret(name)}\n{private.read_text()}")  # what is before BEGIN is a comment
    return private


def codings() -> dict[str, bytes]:
    """How the mark may be written: name of the coding -> bytes that are there whatever stands before and behind it."""
    mark = MARK.encode()
    found = {"text": mark, "UTF-16": MARK.encode("utf-16-le"), "hexadecimal": mark.hex().encode()}
    for shift in range(3):
        # Of the digits, those are left out that also code what stands before or behind the mark.
        digits = base64.b64encode(b"\0" * shift + mark)
        found[f"Base64, {shift}"] = digits[[0, 2, 3][shift] : len(mark + b"\0" * shift) // 3 * 4]
    return found


CODINGS = codings()


def planted(content: bytes) -> list[str]:
    """The codings in which a secret is in a content, with some of what is there."""
    found = []
    for name, coded in CODINGS.items():
        at = content.find(coded)
        if at >= 0:
            found.append(f"{name}: …{content[max(0, at - 60) : at + 60]!r}")
    return found


def opened(path: Path) -> bytes:
    """The content of a file, and what is compressed in it."""
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        return content + gzip.decompress(content)
    if content[:4] == b"PAR1":
        import pyarrow.parquet as pq

        return content + repr(pq.read_table(path).to_pydict()).encode("utf-8", "backslashreplace")
    return content


@pytest.mark.parametrize(
    "written",
    [
        secret("x"),
        in_url("x"),
        json.dumps({"key": secret("x")}),
        base64.b64encode(secret("x").encode()).decode(),
        base64.b64encode(f":{secret('x')}".encode()).decode(),
        base64.b64encode(f"me:{secret('x')}".encode()).decode(),
        base64.b64encode(f"a:{secret('x')}".encode()).decode(),
        secret("x").encode().hex(),
        secret("x").encode("utf-16").decode("latin-1"),
    ],
)
def test_the_search_finds_a_secret_in_every_coding(written: str, tmp_path: Path) -> None:
    (tmp_path / "log.gz").write_bytes(gzip.compress(f"some text {written} and more".encode("latin-1")))
    assert planted(opened(tmp_path / "log.gz"))
    assert not planted(b"Pl4nted S3cret")


def test_the_search_finds_a_private_key_in_every_form(tmp_path: Path) -> None:
    private = signing_key(tmp_path, "key", b"k", "pass word")
    assert planted(private.read_bytes())
    assert not planted(private.with_suffix(".pub").read_bytes())
    key = serialization.load_pem_private_key(private.read_bytes(), b"pass word")
    for form in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL):
        for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER):
            assert planted(key.private_bytes(encoding, form, serialization.NoEncryption()))
    assert planted(f"{key.private_numbers().private_value:x}".encode())


@dataclass(frozen=True)
class Session:
    """What the process left.

    Attributes:
        project: it ran on.
        folder: everything that was written: the project's folder, the pulled model, pages, the compiled pipeline.
        output: what it printed.
        steps: the names of the commands.
        codes: step -> exit code.
        objects: what lies in the object store.
        sent: bodies of messages and of requests to the Kubeflow API.
        outward: attempts to leave the machine, a line each.
    """

    project: Project
    folder: Path
    output: str
    steps: tuple[str, ...]
    codes: Mapping[str, int]
    objects: Mapping[str, bytes]
    sent: Mapping[str, bytes]
    outward: tuple[str, ...]
    hook: tuple[Request, ...]
    token: str


def environment(outside: Path, s3: str, hook: str, mail: int, api: Api) -> dict[str, str]:
    """The variables: nothing of this machine's own environment but what Python needs."""
    (outside / "google.json").write_text(
        json.dumps(
            {"type": "service_account", "private_key": secret("google"), "client_email": "a@b", "token_uri": "c"}
        )
    )
    proxy = f"http://me:{in_url('proxy')}@127.0.0.1:9"
    found = {
        "AWS_ENDPOINT_URL": s3,
        "AWS_DEFAULT_REGION": "us-east-1",
        "GOOGLE_APPLICATION_CREDENTIALS": str(outside / "google.json"),
        "AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=https;AccountKey={secret('azure')}",
        "HOOK": f"{hook}/{in_url('hook')}",
        "SLACK": f"https://hooks.example/services/{in_url('slack')}",
        "MAIL": f"mailto://127.0.0.1:{mail}?from=a@b.example&{in_url('mail')}=1",
        "TRACKING": f"nosuch://me:{in_url('tracking')}@127.0.0.1:9",
        "KF_PIPELINES_ENDPOINT": api.url,
        "IMAGEGATE_WEIGHTS_URL": f"http://me:{in_url('weights')}@127.0.0.1:9",
        "HTTP_PROXY": proxy,
        "HTTPS_PROXY": proxy,
        "http_proxy": proxy,
        "https_proxy": proxy,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PIP_INDEX_URL": f"https://me:{in_url('pip')}@127.0.0.1:9/simple",
        "KERAS_HOME": str(outside / "keras"),
        "HOME": str(outside),
        "TF_CPP_MIN_LOG_LEVEL": "0",  # TensorFlow tells as much as it can
        "SIGNING_KEY": (outside / "signing.pem").read_text(),
        "TRUSTED_KEYS": (outside / "signing.pub").read_text() + (outside / "next.pub").read_text(),
        "OUTWARD": str(outside / "outward.txt"),
        "PYTHONPATH": os.pathsep.join(map(str, (GUARD, ROOT))),
        "PATH": os.environ["PATH"],
    }
    others = """
        AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AZURE_CLIENT_SECRET AZURE_STORAGE_ACCOUNT_KEY
        AZURE_STORAGE_SAS_TOKEN GOOGLE_API_KEY SECRET KFP_EXISTING_TOKEN MLFLOW_TRACKING_TOKEN MLFLOW_TRACKING_PASSWORD
        KAGGLE_KEY HF_TOKEN GITHUB_TOKEN SIGNING_PASSWORD DATABASE_PASSWORD
    """
    return found | {name: secret(name) for name in others.split()}


def steps(folder: Path, outside: Path) -> list[dict[str, Any]]:
    """The commands; beside those that work, each way in which a URL with a password or a key can be handed to one."""
    config, bad = str(folder / "imagegate.yaml"), f"me:{in_url('url')}@127.0.0.1:9"
    slashed = f"s3://AKIA:{MARK}/a+b@bucket/x"  # keys of S3 hold slashes, which nobody need encode
    photo = str(folder / "data" / "0" / "0.png")
    key, locked = (outside / "signing.pem").read_text(), f"push.sign={{key: {outside / 'next.pem'}, password_env: "
    down = {"AWS_ENDPOINT_URL": f"http://{bad}", "AWS_MAX_ATTEMPTS": "1"}
    found: list[tuple[str, list[str]]] = [
        ("check", ["check", config, "-o", str(folder / "issues.csv")]),
        ("run", ["run", config]),
        ("refused data", ["run", config, "--json", "--set", "balance.min_examples=1000"]),
        ("own code", ["run", config, "--set", "training.module=own.py"]),
        ("predict", ["predict", DESTINATION, photo, "--json"]),
        ("next key", ["run", config, "--set", f"{locked}SIGNING_PASSWORD}}", "--set", "training.seed=2"]),
        ("rollback", ["rollback", config]),
        ("verify", ["verify", DESTINATION, "--key-env", "TRUSTED_KEYS"]),
        ("pull", ["pull", DESTINATION, str(folder / "pulled"), "--key-env", "TRUSTED_KEYS"]),
        ("served", ["served", config]),
        ("history", ["history", config]),
        ("report", ["report", config]),
        ("notify", ["notify", config, "--test"]),
        ("compile", ["compile", config, "-o", str(folder / "pipeline.yaml")]),
        ("submit", ["submit", config]),
        ("weights", ["backbone", "fetch", "EfficientNetV2B0"]),
        ("root", ["check", config, "--set", f"data.root=s3://{bad}/x"]),
        ("root with a slash", ["run", config, "--set", f"data.root={slashed}"]),
        ("destination", ["run", config, "--set", f"push.destination=https://{MARK}@host/x"]),
        ("kind", ["check", config, "--set", f"training.epochs=http://{bad}"]),
        ("no key", ["check", config, "--set", f"http://{bad}"]),
        ("beam", ["check", config, "--set", f"beam=[--s3_secret_access_key={MARK}]"]),
        ("variable", ["check", config, "--set", f"sinks.mlflow.url_env=http://{bad}"]),
        ("init", ["init", f"s3://{bad}/photos"]),
        ("predict URL", ["predict", DESTINATION, f"https://{bad}/photo.png"]),
        ("predict model", ["predict", slashed, photo]),
        ("pull URL", ["pull", slashed, str(folder / "pulled")]),
        ("watch", ["watch", DESTINATION, f"s3://{bad}/photos"]),
        ("host", ["submit", config, "--host", f"http://{bad}"]),
        ("host with a slash", ["submit", config, "--host", f"http://me:{MARK}/x@host"]),
        ("parameter", ["submit", config, "--param", f"data_root=s3://{bad}"]),
        ("option", ["check", config, f"--http://{bad}"]),
        ("wrong password", ["run", config, "--set", f"{locked}DATABASE_PASSWORD}}"]),
        ("needless password", ["run", config, "--set", "push.sign.password_env=SIGNING_PASSWORD"]),
        ("password for a key", ["run", config, "--set", "push.sign.key_env=SIGNING_PASSWORD"]),
        ("private for public", ["verify", DESTINATION, "--key-env", "SIGNING_KEY"]),
        ("key for a variable", ["check", config, "--set", f"push.sign.key_env={key}"]),
        ("key for a file", ["check", config, "--set", f"push.sign={{key: {json.dumps(key)}}}"]),
        ("key for a public file", ["check", config, "--set", f"push.verify.keys=[{json.dumps(key)}]"]),
        ("key for --key-env", ["verify", DESTINATION, "--key-env", key]),
        ("key for --key", ["predict", DESTINATION, photo, "--key", key]),
    ]
    listed = [{"name": name, "command": command} for name, command in found]
    # Last, since the object store is behind a wrong address from then on, as botocore repeats it in its errors.
    return [*listed, {"name": "no store", "command": ["run", config, "--force"], "environment": down}]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    project = write_tiny(tmp_path_factory.mktemp("planted") / "project")
    outside = tmp_path_factory.mktemp("outside")
    folder, script, box, api = project.folder, Script(), Mailbox(), Api()
    api.token = secret("KFP_EXISTING_TOKEN")
    (folder / "own.py").write_text(OWN)
    text = (folder / "imagegate.yaml").read_text().replace("push: {destination: models/tiny}\n", PUSH)
    signing_key(outside, "signing", b"a")
    signing_key(outside, "next", b"b", secret("SIGNING_PASSWORD"))
    notify = [
        "{to: webhook, url_env: HOOK, secret_env: SECRET}",
        "{to: slack, url_env: SLACK}",
        "{to: email, url_env: MAIL, address: x@y.example}",
    ]
    (folder / "imagegate.yaml").write_text(
        f"{text}notify: [{', '.join(notify)}]\nsinks: {{mlflow: {{url_env: TRACKING}}}}\n"
        f"kubeflow:\n  image: registry.example/imagegate@sha256:{'0' * 64}\n"
        "  secrets:\n"
        "    - {secret: store, key: key, env: AWS_SECRET_ACCESS_KEY}\n"
        "    - {secret: people, key: hook, env: HOOK}\n"
        "    - {secret: signing, key: private, env: SIGNING_KEY}\n"
    )
    (outside / "steps.json").write_text(json.dumps(steps(folder, outside)))
    with object_store.served(outside / "s3.log") as s3, http(script) as hook, smtp(box) as mail:
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, str(outside / "steps.json"), str(outside / "codes.txt")],
            cwd=folder,
            env=environment(outside, s3, hook, mail, api),
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1800,
        )
        objects = stored(s3)
    api.shutdown()
    api.server_close()
    assert done.returncode == 0, done.stdout[-3000:]
    outward = outside / "outward.txt"
    bodies = {f"webhook {i}": request.body for i, request in enumerate(script.seen)}
    bodies |= {f"mail {i}": bytes(message) for i, (_, _, message) in enumerate(box.mails)}
    bodies |= {f"{m} {path}": json.dumps([query, body]).encode() for m, path, query, body, _ in api.seen}
    yield Session(
        project,
        folder,
        done.stdout,
        tuple(step["name"] for step in steps(folder, outside)),
        dict(map(json.loads, (outside / "codes.txt").read_text().splitlines())),
        objects,
        bodies,
        tuple(outward.read_text().splitlines()) if outward.exists() else (),
        tuple(script.seen),
        str(next(headers for *_, headers in api.seen if headers["authorization"])["authorization"]),
    )
    shutil.rmtree(project.folder)


def stored(url: str) -> dict[str, bytes]:
    """Every object of the store."""
    import fsspec

    store = fsspec.filesystem(
        "s3",
        key="a",
        secret="b",
        endpoint_url=url,
        client_kwargs={"region_name": "us-east-1"},
        skip_instance_cache=True,
    )
    return {path: store.cat_file(path) for path in store.find("models")}


def test_each_command_came_to_what_it_was_meant_to(session: Session) -> None:
    """Otherwise nothing is shown by what follows."""
    usual = {"refused data": 3, "own code": 2, "notify": 1, "weights": 1, "no store": 1}
    good = {"check", "run", "predict", "pull", "served", "history", "report", "compile", "submit"}
    good |= {"next key", "rollback", "verify"}
    expected = {name: 0 if name in good else usual.get(name, 2) for name in session.steps}
    assert session.codes == expected, session.output[-3000:]
    assert {"saved_model.pb", "imagegate.json", "model.sig"} <= {path.rpartition("/")[2] for path in session.objects}
    # The secrets were there and used: they arrived where they belong.
    assert MARK in session.hook[0].path
    assert session.token == f"Bearer {secret('KFP_EXISTING_TOKEN')}"
    assert session.output.count("warning: mlflow (TRACKING): not recorded: ") >= 3
    assert {name.split()[0] for name in session.sent} >= {"webhook", "mail", "POST"}


def test_no_secret_is_in_any_file(session: Session) -> None:
    paths = [path for path in session.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    names = {path.name for path in paths}
    assert {"metadata.sqlite", "summary.json", "log.txt", "report.html", "pipeline.yaml", "issues.csv"} <= names
    assert {"saved_model.pb", "MODEL_CARD.md", "imagegate.json", ".imagegate-pulled-from"} <= names
    assert {str(path.relative_to(session.folder)): found for path in paths if (found := planted(opened(path)))} == {}
    assert [path for path in session.folder.rglob("*") if planted(os.fsencode(path.name))] == []


def test_no_secret_is_in_the_push_destination(session: Session) -> None:
    assert {name: found for name, content in session.objects.items() if (found := planted(content))} == {}


def test_no_secret_is_in_what_was_printed(session: Session) -> None:
    parts = re.split(r"^step (.+)$", session.output, flags=re.MULTILINE)
    assert {
        step: found for step, text in zip(parts[1::2], parts[2::2], strict=True) if (found := planted(text.encode()))
    } == {}
    assert planted(session.output.encode()) == []


def test_no_secret_is_in_a_message_or_in_what_kubeflow_gets(session: Session) -> None:
    assert any(b"AWS_SECRET_ACCESS_KEY" in body for body in session.sent.values())  # the name, in the pipeline
    assert {name: found for name, content in session.sent.items() if (found := planted(content))} == {}


def test_nothing_leaves_the_machine_that_was_not_asked_for(session: Session) -> None:
    """Neither imagegate nor a library of its reports its use, looks for updates or asks for a cloud's metadata."""
    assert session.outward == ()


def test_the_guard_notes_every_way_out(tmp_path: Path) -> None:
    code = """
import socket, subprocess, sys
for where in ("127.0.0.1", "192.0.2.1"):
    try:
        socket.create_connection((where, 9), 0.1)
    except OSError:
        pass
try:
    socket.getaddrinfo("host.invalid", 80)
except OSError:
    pass
if len(sys.argv) < 2:
    subprocess.run([sys.executable, __file__, "child"])
"""
    (tmp_path / "calls.py").write_text(code)
    variables = os.environ | {"PYTHONPATH": str(GUARD), "OUTWARD": str(tmp_path / "outward.txt")}
    subprocess.run([sys.executable, str(tmp_path / "calls.py")], env=variables, check=True)
    lines = (tmp_path / "outward.txt").read_text().splitlines()
    assert [line.split(" by ")[0] for line in lines] == 2 * [
        "socket.getaddrinfo 192.0.2.1",
        "socket.connect 192.0.2.1",
        "socket.getaddrinfo host.invalid",
    ]
