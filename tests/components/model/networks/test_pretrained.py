"""The list of backbones, and their weights from a server that has Keras's paths."""

import dataclasses
import hashlib
import http.server
import importlib
import threading
from collections.abc import Iterator
from pathlib import Path

import keras
import pytest

from components.base.errors import ConfigError, ImagegateError
from components.model.networks import network, pretrained
from pipeline import cli

SMALL = pretrained.BY_NAME["MobileNetV3Small"]


class Server(http.server.ThreadingHTTPServer):
    """Answers each path with its bytes; of `cut` bytes fewer are sent than are announced."""

    files: dict[str, bytes]
    cut = 0
    asked: list[str]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        content = self.server.files.get(self.path)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write((content or b"")[: len(content or b"") - self.server.cut])

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    started = Server(("127.0.0.1", 0), Handler)
    started.files, started.asked = {}, []
    thread = threading.Thread(target=started.serve_forever)
    thread.start()
    monkeypatch.setenv(pretrained.ADDRESS, f"http://127.0.0.1:{started.server_port}/")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    yield started
    started.shutdown()
    thread.join()
    started.server_close()


def offer(server: Server, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Serves `content` as the weights of MobileNetV3Small, and has them listed with its digest."""
    server.files[f"/{SMALL.path}"] = content
    known = dataclasses.replace(SMALL, digest=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(pretrained.BY_NAME, SMALL.name, known)


def test_every_file_and_digest_is_what_keras_states() -> None:
    modules = {"MobileNetV3": "mobilenet_v3", "EfficientNetV2": "efficientnet_v2", "EfficientNetB": "efficientnet"}
    for each in pretrained.LISTED:
        name = next((m for prefix, m in modules.items() if each.name.startswith(prefix)), "convnext")
        module = importlib.import_module(f"keras.src.applications.{name}")
        base = getattr(module, "BASE_WEIGHTS_PATH", None) or module.BASE_WEIGHT_PATH
        assert f"https://storage.googleapis.com/{each.path}" == base + each.file
        assert each.digest in {second for _, second in module.WEIGHTS_HASHES.values()}
        assert hasattr(keras.applications, each.name)


def test_fetched_weights_are_those_that_keras_takes(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(server, monkeypatch, b"weights" * 1000)
    assert cli.main(["backbone", "fetch", "MobileNetV3Small"]) == 0
    file = tmp_path / "keras/models" / SMALL.file
    assert file.read_bytes() == b"weights" * 1000
    assert f"wrote {file}" in capsys.readouterr().out.replace("\n", "")
    assert cli.main(["backbone", "fetch", "MobileNetV3Small"]) == 0
    assert "was there" in capsys.readouterr().out.replace("\n", " ")
    assert len(server.asked) == 1
    file.write_bytes(b"damaged")
    pretrained.ensure("MobileNetV3Small")
    assert file.read_bytes() == b"weights" * 1000
    # Keras names the file alike, so it asks no server.
    found: list[str] = []
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda name, *_, **__: found.append(name) or str(file))
    with pytest.raises(ConfigError, match="cannot be built"):
        network._from_applications("MobileNetV3Small", "imagenet", keras.Input((32, 32, 3)))
    assert found == [SMALL.file]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda server: server.files.clear(), "cannot be fetched: Not Found"),
        (lambda server: server.files.update({f"/{SMALL.path}": b"other"}), "is not what Keras states"),
        (lambda server: setattr(server, "cut", 3), "the connection ended after 4 of 7 bytes"),
    ],
)
def test_what_cannot_be_fetched_leaves_nothing_and_says_why(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spoil: object, told: str
) -> None:
    offer(server, monkeypatch, b"weights")
    spoil(server)  # type: ignore[operator]
    with pytest.raises(ImagegateError, match=told):
        pretrained.fetch(pretrained.BY_NAME[SMALL.name])
    assert list((tmp_path / "keras/models").iterdir()) == []


def test_without_a_network_the_configuration_is_refused_with_ways_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(pretrained.ADDRESS, "http://127.0.0.1:9")  # nobody answers there
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(ConfigError) as refused:
        pretrained.ensure("EfficientNetV2B0")
    told = str(refused.value)
    assert told.startswith("training.backbone: the weights of EfficientNetV2B0 are not on this machine, and http://127")
    assert "Connection refused" in told
    assert "imagegate backbone fetch EfficientNetV2B0" in told
    assert f"copy efficientnetv2-b0_notop.h5 to {tmp_path}/models" in told
    pretrained.ensure("VGG16")  # not in the list: Keras fetches it


def test_other_servers_than_web_servers_and_other_names_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv(pretrained.ADDRESS, "file:///etc")
    with pytest.raises(ConfigError, match="expected an address that begins with https"):
        pretrained.fetch(SMALL)
    assert cli.main(["backbone", "fetch", "EfficientNetV2B9"]) == 2
    assert "did you mean EfficientNetV2B" in capsys.readouterr().err


def test_the_list_says_which_are_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / SMALL.file).write_bytes(b"")
    assert cli.main(["backbone", "list"]) == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert rows["MobileNetV3Small"][1:] == ["4", "68.1%", "1.00", "Apache-2.0", "yes"]
    assert rows["ConvNeXtTiny"][-1] == "MIT"
    assert len([name for name in rows if name in pretrained.BY_NAME]) == 9
