"""`.keras` files from strangers: loaded in safe mode, or refused; nothing in them runs or writes a file."""

import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from components.base.errors import ConfigError
from components.labels import kinds
from components.model.features import feature_store
from components.model.networks import network


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """The parts of a sound file."""
    path = tmp_path_factory.mktemp("good") / "net.keras"
    pixels = keras.Input((None, None, 3))
    keras.Model(pixels, keras.layers.Conv2D(4, 3, padding="same", name="only")(pixels)).save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def saved(path: Path, parts: Mapping[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return str(path)


def refused(path: str) -> str:
    """The sentence by which a network is refused; "" if it is loaded."""
    try:
        network.build(
            path, weights=None, image_size=(12, 8), classes=2, augment=False, seed=1, kind=kinds.kind("single_label")
        )
    except ConfigError as error:
        return str(error)
    return ""


def layer(config: Any, module: str, name: str, inner: dict[str, Any]) -> bytes:
    """The description of a network whose layer is another object."""
    told = json.loads(config)
    one = next(entry for entry in told["config"]["layers"] if entry["name"] == "only")
    one |= {"module": module, "class_name": name, "registered_name": None, "config": inner}
    return json.dumps(told).encode()


def marker(path: Path) -> str:
    return f"open({str(path)!r}, 'w').close()"


OBJECTS: dict[str, tuple[str, str, Callable[[Path], dict[str, Any]]]] = {
    "os.system": ("os", "system", lambda path: {"command": f"touch {path}"}),
    "eval": ("builtins", "eval", lambda path: {"source": marker(path)}),
    "exec": ("builtins", "exec", lambda path: {"source": marker(path)}),
    "subprocess": ("subprocess", "Popen", lambda path: {"args": ["touch", str(path)]}),
    "a Lambda of Keras": (
        "keras.layers",
        "Lambda",
        lambda path: {
            "name": "only",
            "function": {"class_name": "__lambda__", "config": {"code": "4wAAAA==", "defaults": None, "closure": None}},
        },
    ),
    "a layer that enables unsafe loading": ("keras.config", "enable_unsafe_deserialization", lambda path: {}),
    "a download": (
        "keras.utils",
        "get_file",
        lambda path: {"fname": path.name, "origin": "file:///etc/passwd", "cache_dir": str(path.parent)},
    ),
    "a class from another place": (
        "tempfile",
        "NamedTemporaryFile",
        lambda path: {"dir": str(path.parent), "delete": False},
    ),
    "a network of TensorFlow that is code": (
        "keras.layers",
        "TFSMLayer",
        lambda path: {"filepath": str(path), "name": "only"},
    ),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_that_is_no_layer_is_not_made(name: str, good: Mapping[str, bytes], tmp_path: Path) -> None:
    module, class_name, inner = OBJECTS[name]
    mark = tmp_path / "made"
    config = layer(good["config.json"], module, class_name, inner(mark))
    path = saved(tmp_path / "net.keras", {**good, "config.json": config})
    assert "net.keras cannot be loaded" in refused(path)
    assert [p.name for p in tmp_path.iterdir()] == ["net.keras"]


PATHS = ("../evil", "/tmp/evil-of-a-keras-file", "assets/../../evil", "_layer_checkpoint_dependencies/../../../evil")


@pytest.mark.parametrize("name", PATHS)
def test_a_name_that_leads_out_writes_nothing(name: str, good: Mapping[str, bytes], tmp_path: Path) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    refused(saved(inside / "net.keras", {**good, name: b"evil"}))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [inside / "net.keras"]
    assert not Path("/tmp/evil-of-a-keras-file").exists()


def pickled(path: Path) -> bytes:
    class Evil:
        def __reduce__(self) -> Any:
            return exec, (marker(path),)

    return pickle.dumps(Evil())


def test_a_pickle_and_an_hdf5_file_are_no_networks(good: Mapping[str, bytes], tmp_path: Path) -> None:
    mark = tmp_path / "made"
    weights = io.BytesIO(good["model.weights.h5"]).getvalue()
    for name, content in {"net.keras": pickled(mark), "other.keras": weights}.items():
        (tmp_path / name).write_bytes(content)
        assert "cannot be loaded" in refused(str(tmp_path / name))
    assert not mark.exists()
    # Another ending is no network at all, whatever the file holds.
    (tmp_path / "net.h5").write_bytes(weights)
    assert "is neither small, nor the path of a .keras file" in refused(str(tmp_path / "net.h5"))


def test_the_sound_file_is_loaded(good: Mapping[str, bytes], tmp_path: Path) -> None:
    assert refused(saved(tmp_path / "net.keras", good)) == ""


def test_damaged_files_are_refused_or_loaded(good: Mapping[str, bytes], tmp_path: Path) -> None:
    """HDF5 and ZIP are read by code in C."""
    whole = Path(saved(tmp_path / "net.keras", good)).read_bytes()
    random = np.random.default_rng(5)
    sentences = []
    for number in range(60):
        data = bytearray(whole)
        for at in random.integers(0, len(data), random.integers(1, 6)):
            data[at] ^= 1 << int(random.integers(8))
        (tmp_path / "net.keras").write_bytes(data[: int(random.integers(1, len(data)))] if number % 5 == 0 else data)
        sentences.append(refused(str(tmp_path / "net.keras")))
    assert sum(map(bool, sentences)) > 20
    assert all("net.keras" in sentence for sentence in sentences if sentence)


def test_stored_features_that_hold_a_pickle_are_computed_again(tmp_path: Path) -> None:
    """Whoever can write to the output gives the file the name that its content asks for."""
    mark = tmp_path / "made"

    class Evil:
        def __reduce__(self) -> Any:
            return exec, (marker(mark),)

    out = io.BytesIO()
    np.savez(out, digests=np.array([Evil()], object), features=np.zeros((1, 3), np.float32))
    folder = tmp_path / "key"
    folder.mkdir()
    (folder / f"{hashlib.sha256(out.getvalue()).hexdigest()}.npz").write_bytes(out.getvalue())
    assert dict(feature_store.FeatureStore(str(tmp_path), "key").read()) == {}
    assert not mark.exists()
