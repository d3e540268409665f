"""Weights of keras.applications: from a server that has the same paths, and everything that may go wrong with it."""

import hashlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from components.base import progress
from components.base.errors import ConfigError
from components.labels import kinds
from components.model.networks import catalogue, network, weights
from components.model.networks.catalogue import RECOMMENDED, WEIGHTS, Weights

CONTENT = b"as large as a tree"
MOBILE = "/tensorflow/keras-applications/mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"
KNOWN = Weights("net/tree.h5", hashlib.sha256(CONTENT).hexdigest(), megabytes=1)

Answer = Callable[[BaseHTTPRequestHandler], None]


def whole(content: bytes, claimed: int | None = None) -> Answer:
    """Answers with this content, of which the header claims another length."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(content) if claimed is None else claimed))
        request.end_headers()
        request.wfile.write(content)

    return answer


def endless(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(bytes(1 << 20))


class Server(ThreadingHTTPServer):
    daemon_threads = True
    answers: dict[str, Answer]

    def handle_error(self, *_: object) -> None:
        """A client that has left is no news."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.answers.get(self.path, lambda request: request.send_error(404))(self)

    def log_message(self, *_: object) -> None:
        """Nothing on the screen."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A mirror that Keras's folder, which is empty, would be filled from."""
    with Server(("127.0.0.1", 0), Handler) as running:
        running.answers = {}
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv(weights.MIRROR, f"http://127.0.0.1:{running.server_port}/")
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
        yield running
        running.shutdown()


def files(folder: str) -> list[str]:
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def test_a_file_is_fetched_with_progress_and_is_then_there(server: Server, tmp_path: Path) -> None:
    server.answers["/net/tree.h5"] = whole(CONTENT)
    told: list[Any] = []
    progress.listen(lambda *report: told.append(report))
    assert not weights.cached(KNOWN)
    assert weights.fetch(KNOWN) == str(tmp_path / "keras" / "models" / "tree.h5")
    progress.listen(None)
    assert weights.cached(KNOWN)
    assert files(weights.folder()) == ["tree.h5"]
    assert told == [("fetching weights", 18, 18, "0 of 0 MB")]
    assert os.stat(weights.path(KNOWN)).st_mode & 0o777 == 0o644


def test_what_killed_runs_had_fetched_in_part_goes_and_what_others_fetch_now_stays(server: Server) -> None:
    server.answers["/net/tree.h5"] = whole(CONTENT)
    os.makedirs(weights.folder())
    for name, age in ((".new.tree.h5.old", 3700), (".new.tree.h5.now", 60), (".new.bush.h5.old", 3700)):
        path = os.path.join(weights.folder(), name)
        with open(path, "wb") as f:
            f.write(CONTENT[:5])
        os.utime(path, (time.time() - age,) * 2)
    weights.fetch(KNOWN)
    assert files(weights.folder()) == [".new.bush.h5.old", ".new.tree.h5.now", "tree.h5"]


FAULTS: dict[str, tuple[Answer, str]] = {
    "other content": (
        whole(b"as large as a bush"),
        r"is not the file that Keras knows: its SHA256 is [0-9a-f]{64}",
    ),
    "cut": (whole(CONTENT[:5], claimed=18), r"the connection (ended after 5 of 18 bytes|broke)"),
    "missing": (lambda request: request.send_error(404), "/net/tree.h5 answers 404 Not Found"),
    "silent": (lambda _: threading.Event().wait(2), "cannot be reached: no answer within 0.2 seconds"),
    "no HTTP": (lambda request: request.wfile.write(b"220 ready\r\n"), r"cannot be reached: 220 ready"),
    "endless": (endless, "is far larger than these weights, about 1 MB"),
}


@pytest.mark.parametrize(("answer", "message"), FAULTS.values(), ids=list(FAULTS))
def test_what_goes_wrong_leaves_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch, answer: Answer, message: str
) -> None:
    monkeypatch.setattr(weights, "_TIMEOUT", 0.2)
    server.answers["/net/tree.h5"] = answer
    with pytest.raises(weights.Unreachable, match=message):
        weights.fetch(KNOWN)
    assert files(weights.folder()) == []


def test_servers_that_are_not_there(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for url, message in {
        f"http://127.0.0.1:{port}": "cannot be reached: Connection refused",
        "https://nowhere.invalid": "https://nowhere.invalid/net/tree.h5 cannot be reached: .+",
        "file:///etc": r"IMAGEGATE_WEIGHTS_URL: expected https://SERVER or http://SERVER, without a user name, got fi",
        "https://me:s/e@host": r"IMAGEGATE_WEIGHTS_URL: expected .*, without a user name, got https://\*\*\*@host$",
    }.items():
        monkeypatch.setenv(weights.MIRROR, url)
        with pytest.raises(weights.Unreachable, match=message):
            weights.fetch(KNOWN)


def test_a_damaged_file_is_fetched_again(server: Server) -> None:
    server.answers["/net/tree.h5"] = whole(CONTENT)
    Path(weights.fetch(KNOWN)).write_bytes(CONTENT[:-1])
    assert not weights.cached(KNOWN)
    weights.fetch(KNOWN)
    assert Path(weights.path(KNOWN)).read_bytes() == CONTENT


def test_where_keras_knows_no_digest_the_form_decides(server: Server) -> None:
    server.answers["/net/tree.h5"] = whole(CONTENT)
    with pytest.raises(weights.Unreachable, match="it is no HDF5 file"):
        weights.fetch(replace(KNOWN, digest=""))
    server.answers["/net/tree.h5"] = whole(b"\x89HDF\r\n\x1a\n" + CONTENT)
    weights.fetch(replace(KNOWN, digest=""))


def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    server.answers["/net/tree.h5"] = whole(CONTENT)
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "models").write_bytes(b"")
    with pytest.raises(weights.Unreachable, match=r"keras/models/tree\.h5 cannot be written: .*KERAS_HOME"):
        weights.fetch(KNOWN)


def test_without_a_home_the_folder_is_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file" / "keras"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(weights, "_temporary", tempfile.gettempdir)  # it is asked once in a process
    assert weights.folder() == str(tmp_path / ".keras" / "models")
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert weights.folder() == str(tmp_path / "home" / ".keras" / "models")


def test_a_network_is_built_with_what_the_mirror_has(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras.utils.set_random_seed(4)
    original = keras.applications.MobileNetV3Small(include_top=False, weights=None, input_shape=(32, 32, 3))
    with h5py.File(tmp_path / "made.h5", "w") as f:
        legacy_h5_format.save_weights_to_hdf5_group(f, original)
    made = (tmp_path / "made.h5").read_bytes()
    digest = hashlib.md5(made).hexdigest()
    monkeypatch.setitem(WEIGHTS, "MobileNetV3Small", replace(WEIGHTS["MobileNetV3Small"], digest=digest))
    told = {"image_size": (32, 32), "classes": 2, "augment": False, "seed": 1, "kind": kinds.kind("single_label")}

    expected = (
        r"training\.weights: the ImageNet weights of MobileNetV3Small are not on this machine: "
        rf"http://127\.0\.0\.1:\d+{MOBILE} answers 404 Not Found; on a machine with a network, run "
        r"`imagegate backbone fetch MobileNetV3Small` and copy weights_mobilenet_v3_small_224_1\.0_float_no_top_v2\.h5 "
        r"to .*/keras/models, or set weights: null, or take the path of a \.keras file as training\.backbone$"
    )
    with pytest.raises(ConfigError, match=expected):
        network.build("MobileNetV3Small", weights="imagenet", **told)

    server.answers[MOBILE] = whole(made)
    built = network.build("MobileNetV3Small", weights="imagenet", **told)
    pixels = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(
        built.extractor(pixels), np.mean(original(pixels, training=False), axis=(1, 2)), rtol=1e-4, atol=1e-5
    )
    server.answers.clear()  # from here on it works offline
    assert weights.ensure("MobileNetV3Small", (32, 32)) == weights.path(WEIGHTS["MobileNetV3Small"])
    assert files(weights.folder()) == [WEIGHTS["MobileNetV3Small"].file]


class Asked(Exception):
    """Keras wants to download a file."""


def asked(name: str, side: int, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, str]:
    """Name, URL and digest of the file that Keras would download for a network."""

    def get_file(fname: str, origin: str, *, cache_subdir: str, file_hash: str | None = None) -> None:
        assert cache_subdir == "models"
        raise Asked(fname, origin, file_hash or "")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    with pytest.raises(Asked) as error:
        getattr(keras.applications, name)(include_top=False, weights="imagenet", input_shape=(side, side, 3))
    return error.value.args  # type: ignore[return-value]


CASES = [
    *((name, 224) for name in sorted(WEIGHTS)),
    *((name, side) for name in ("MobileNet", "MobileNetV2") for side in (96, 128, 200)),
]
FAST = ("MobileNetV3Small", 224), ("VGG16", 224), ("MobileNet", 96)


@pytest.mark.filterwarnings("ignore:.input_shape. is undefined")
@pytest.mark.parametrize(
    ("name", "side"), [pytest.param(*case, marks=() if case in FAST else pytest.mark.slow) for case in CASES]
)
def test_the_catalogue_is_that_of_keras(name: str, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(weights.MIRROR, raising=False)
    one = WEIGHTS[name].at((side, side))
    assert asked(name, side, monkeypatch) == (one.file, weights.url(one), one.digest)


def test_every_network_of_keras_is_in_the_catalogue() -> None:
    assert {name for name in dir(keras.applications) if name[0].isupper()} == set(WEIGHTS)
    assert {one.name for one in RECOMMENDED} < set(WEIGHTS)
    assert len({one.name for one in RECOMMENDED}) == len(RECOMMENDED)
    [reference] = [one for one in RECOMMENDED if one.name == catalogue.REFERENCE]
    assert (reference.speed, reference.training_speed) == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("one", RECOMMENDED, ids=lambda one: one.name)
def test_sizes_are_those_of_the_networks(one: catalogue.Recommended) -> None:
    built = getattr(keras.applications, one.name)(include_top=False, weights=None)
    assert one.parameters == pytest.approx(built.count_params() / 1e6, abs=0.05)
    assert WEIGHTS[one.name].megabytes == pytest.approx(built.count_params() * 4 / 1e6, abs=1)
