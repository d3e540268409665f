"""What stages wrote in a store: complete or absent, as it was written, and nobody else's."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import object_store
import pytest

from components.base.errors import ConfigError
from components.data.storage.objects import Objects
from pipeline.artifacts.copies import StoreError
from pipeline.artifacts.store import ArtifactStore
from pipeline.runs.handed_on import HandedOn

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of b"abc", FIPS 180-2
ROOT = Path(__file__).parents[3]
MODEL = "pipeline/Trainer/model"


@pytest.fixture
def memory() -> Iterator[str]:
    yield "memory://bucket/runs"
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


@pytest.fixture(params=["file", "memory", "server"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/store"
    told: str = request.getfixturevalue(request.param)
    return told if request.param == "memory" else "s3://models/runs"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


def write(output: Path, number: int, **files: bytes) -> Path:
    """An artifact of these files and one in a folder."""
    folder = output / MODEL / str(number)
    (folder / "variables").mkdir(parents=True)
    for name, content in {"saved_model.pb": b"abc", "variables/data": b"weights"}.items():
        (folder / name).write_bytes(content)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def begun(url: str, output: Path) -> ArtifactStore:
    output.mkdir(exist_ok=True)
    store = ArtifactStore(url, str(output))
    store.begin("pets")
    return store


def everything(url: str) -> dict[str, bytes]:
    fs, base = fsspec.core.url_to_fs(url)
    fs.invalidate_cache()
    return {path.removeprefix(f"{base}/"): fs.cat_file(path) for path in fs.find(base)}


def test_what_was_sent_is_fetched_where_there_is_no_copy(url: str, output: Path) -> None:
    folder, store = write(output, 7), begun(url, output)
    uri = f"{url}/Trainer/model/7"
    assert not store.is_complete(uri)
    store.send(uri)
    stored = everything(url)
    assert stored["Trainer/model/7/saved_model.pb"] == b"abc"
    assert json.loads(stored[".complete/Trainer/model/7.json"])["saved_model.pb"] == ABC
    assert {path: (s.size, s.complete) for path, s in store.artifacts().items()} == {f"{MODEL}/7": (10, True)}  # 3 + 7
    shutil.rmtree(output / "pipeline")
    assert store.fetch(uri) == str(folder)
    assert (folder / "variables/data").read_bytes() == b"weights"
    handed_on = HandedOn(str(output))
    handed_on.add(str(folder), cached=True)  # by the digests of the record, which came along
    handed_on.check()
    assert not list(output.glob(".new.*"))


def test_a_copy_that_is_there_is_not_fetched_again(url: str, output: Path) -> None:
    write(output, 7)
    store = begun(url, output)
    store.send(f"{url}/Trainer/model/7")
    Objects(url, "test").remove_folder("Trainer")
    assert store.fetch(f"{url}/Trainer/model/7") == str(output / MODEL / "7")


def test_a_file_that_an_earlier_artifact_has_is_copied_in_the_store_and_linked_here(
    url: str, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(output, 7)
    store = begun(url, output)
    store.send(f"{url}/Trainer/model/7")
    HandedOn(str(output)).add(str(output / MODEL / "7"), cached=False)
    folder = write(output, 9, card=b"new")
    uploaded, put = list[str](), Objects.put
    monkeypatch.setattr(Objects, "put", lambda self, name, content: uploaded.append(name) or put(self, name, content))
    store.send(f"{url}/Trainer/model/9")
    assert uploaded == ["Trainer/model/9/card", ".complete/Trainer/model/9.json"]
    assert everything(url)["Trainer/model/9/variables/data"] == b"weights"
    shutil.rmtree(folder)
    store.fetch(f"{url}/Trainer/model/9")
    assert os.path.samefile(folder / "saved_model.pb", output / MODEL / "7" / "saved_model.pb")


def test_an_upload_that_did_not_end_is_no_result_and_is_swept(server: str, output: Path) -> None:
    url = "s3://models/runs"
    write(output, 7)
    store = begun(url, output)
    object_store.faults(server, ("PUT", "variables/data", 10**6, "403"))
    with pytest.raises(StoreError, match=r"^output\.artifacts: s3://models/runs/Trainer/model/7 cannot be written: "):
        store.send(f"{url}/Trainer/model/7")
    object_store.faults(server)
    assert not store.is_complete(f"{url}/Trainer/model/7")
    assert not store.artifacts()[f"{MODEL}/7"].complete
    shutil.rmtree(output / "pipeline")
    with pytest.raises(StoreError, match=r"Trainer/model/7 is not complete; run again with --force"):
        store.fetch(f"{url}/Trainer/model/7")
    begun(url, output)
    assert list(everything(url)) == [".owner.json"]


def test_an_earlier_artifact_that_is_not_in_the_store_is_no_source(url: str, output: Path) -> None:
    """As after the first run with a store, or another one."""
    HandedOn(str(output)).add(str(write(output, 7)), cached=False)
    write(output, 9)
    store = begun(url, output)
    store.send(f"{url}/Trainer/model/9")
    stored = everything(url)
    assert (stored["Trainer/model/9/saved_model.pb"], stored["Trainer/model/9/variables/data"]) == (b"abc", b"weights")


def test_the_newest_artifact_is_fetched_where_there_is_no_copy_of_any(url: str, output: Path) -> None:
    store = begun(url, output)
    store.restore("Trainer", "model")  # there is none
    for number in (9, 10):
        write(output, number, card=b"%d" % number)
        store.send(f"{url}/Trainer/model/{number}")
    shutil.rmtree(output / MODEL / "10")
    store.restore("Trainer", "model")
    assert os.listdir(output / MODEL) == ["9"]
    shutil.rmtree(output / "pipeline")
    store.restore("Trainer", "model")
    assert os.listdir(output / MODEL) == ["10"]
    assert (output / MODEL / "10" / "card").read_bytes() == b"10"


SEND = """
import sys
from pipeline.artifacts.store import ArtifactStore
url, output = sys.argv[1:]
store = ArtifactStore(url, output)
store.begin("pets")
store.send(f"{url}/Trainer/model/7")
"""


def test_an_upload_that_is_killed_is_no_result_and_is_swept(output: Path, tmp_path: Path) -> None:
    folder, url, many = write(output, 7), f"file://{tmp_path}/store", 2000
    for i in range(many):
        (folder / str(i)).write_bytes(b"x")
    process = subprocess.Popen([sys.executable, "-c", SEND, url, str(output)], cwd=ROOT)
    arriving = tmp_path / "store" / "Trainer" / "model" / "7"
    while process.poll() is None and not (arriving.is_dir() and len(os.listdir(arriving)) > 5):
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert 5 < len(os.listdir(arriving)) < many
    assert not ArtifactStore(url, str(output)).is_complete(f"{url}/Trainer/model/7")
    begun(url, output)
    assert not arriving.exists()
    ArtifactStore(url, str(output)).send(f"{url}/Trainer/model/7")  # the next one is whole
    assert len([path for path in arriving.rglob("*") if path.is_file()]) == many + 2


def test_a_removal_that_did_not_end_leaves_no_result(server: str, output: Path) -> None:
    url = "s3://models/runs"
    write(output, 7)
    store = begun(url, output)
    store.send(f"{url}/Trainer/model/7")
    object_store.faults(server, ("DELETE", "saved_model.pb", 10**6, "403"))
    with pytest.raises(StoreError, match="cannot be removed"):
        store.remove(f"{MODEL}/7")
    assert not store.is_complete(f"{url}/Trainer/model/7")
    object_store.faults(server)
    store.remove(f"{MODEL}/7")
    assert store.artifacts() == {}


def test_what_changed_in_the_store_is_refused_and_leaves_nothing_here(url: str, output: Path) -> None:
    write(output, 7)
    store = begun(url, output)
    store.send(f"{url}/Trainer/model/7")
    Objects(url, "test").put("Trainer/model/7/saved_model.pb", b"abd")
    shutil.rmtree(output / "pipeline")
    with pytest.raises(StoreError, match=rf"model/7/saved_model\.pb changed after .*: expected SHA-256 {ABC}, found "):
        store.fetch(f"{url}/Trainer/model/7")
    assert not (output / MODEL / "7").exists()
    assert not list(output.glob(".new.*"))


def test_a_record_that_leads_out_of_its_folder_is_refused(url: str, output: Path) -> None:
    store = begun(url, output)
    Objects(url, "test").put(".complete/Trainer/model/7.json", b'{"../../../../../outside": "00"}')
    with pytest.raises(StoreError, match="leads out of its folder"):
        store.fetch(f"{url}/Trainer/model/7")
    assert not (output.parent / "outside").exists()


def test_a_place_outside_the_url_is_refused(memory: str, output: Path) -> None:
    store = begun(memory, output)
    for uri in ("memory://bucket/other/Trainer/model/7", f"{memory}/../x", "/Trainer/model/7"):
        with pytest.raises(StoreError, match=r"does not lie below output\.artifacts"):
            store.local(uri)


def test_another_output_does_not_write_to_the_same_url(url: str, output: Path, tmp_path: Path) -> None:
    first = begun(url, output)
    first.check()
    with pytest.raises(ConfigError, match=r"holds what another output wrote \(pets on .*\); choose another folder or"):
        begun(url, tmp_path / "another")
    assert not ArtifactStore(url, str(tmp_path / "another")).is_own()
    Objects(url, "test").put(".owner.json", b"damaged")
    with pytest.raises(ConfigError, match="holds what another output wrote"):
        first.check()


def test_a_folder_that_the_stage_did_not_leave_is_not_there(url: str, output: Path) -> None:
    store = begun(url, output)
    store.send(f"{url}/Baseline/baseline_model/3")
    assert not store.is_complete(f"{url}/Baseline/baseline_model/3")
    assert not os.path.exists(store.fetch(f"{url}/Baseline/baseline_model/3"))
    (output / "pipeline/Baseline/baseline_model/4").mkdir(parents=True)  # an empty one is a result
    store.send(f"{url}/Baseline/baseline_model/4")
    assert store.is_complete(f"{url}/Baseline/baseline_model/4")


def test_a_store_that_cannot_be_written_is_named(server: str, output: Path) -> None:
    with pytest.raises(ConfigError, match=r"^output\.artifacts: s3://none/runs cannot be written: .*; check that"):
        ArtifactStore("s3://none/runs", str(output)).check()
    object_store.faults(server, ("PUT", "models", 10**6, "403"))
    with pytest.raises(ConfigError, match=r"s3://models/runs cannot be written: .*credentials in the environment$"):
        ArtifactStore("s3://models/runs", str(output)).check()


def test_a_url_with_files_of_others_is_refused_and_they_stay(url: str, output: Path) -> None:
    objects = Objects(url, "test")
    objects.put("Trainer/model/5/saved_model.pb", b"of another program")
    with pytest.raises(ConfigError, match=r"files that no run wrote there, such as Trainer/model/5/saved_model\.pb"):
        begun(url, output)
    assert objects.read("Trainer/model/5/saved_model.pb") == b"of another program"
