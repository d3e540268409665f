"""Pushing: a version is there whole or not at all, never changes, and a changed one is refused."""

import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.base.artifact_files import PUSHED_MANIFEST
from components.base.errors import ImagegateError
from components.push import history
from components.push import versions as push
from components.push.manifest import PushedManifest

ROOT = Path(__file__).parents[3]
FILES = {"saved_model.pb": b"graph", "variables/variables.index": b"", "variables/variables.data": b"x" * 5000}


@pytest.fixture
def model(tmp_path: Path) -> str:
    for name, content in FILES.items():
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(tmp_path / "model")


@pytest.fixture
def destination(tmp_path: Path) -> str:
    return str(tmp_path / "served" / "digits")


def everything(folder: str) -> dict[str, tuple[bytes, int]]:
    """Content and modification time of every file and folder."""
    found = {}
    for path in sorted([Path(folder), *Path(folder).rglob("*")]):
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (content, path.stat().st_mtime_ns)
    return found


def test_a_version_holds_the_model_and_its_manifest(model: str, destination: str) -> None:
    pushed = push.push(model, destination, PushedManifest(labels=("cät", "dog"), metrics={"accuracy": 0.5}))
    folder = Path(destination) / pushed.version
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    manifest = json.loads((folder / "imagegate.json").read_text(encoding="utf-8"))
    assert abs(datetime.datetime.fromisoformat(manifest.pop("pushed")).timestamp() - int(pushed.version)) <= 1
    assert manifest == {
        "labels": ["cät", "dog"],
        "metrics": {"accuracy": 0.5},
        "beside": [],
        "withdrawn": {},
        "version": pushed.version,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()},
    }
    assert sorted(os.listdir(destination)) == [pushed.version]
    assert pushed == push.current(destination)


def test_the_first_version_is_the_time(model: str, destination: str) -> None:
    before = int(time.time())
    version = push.push(model, destination, PushedManifest()).version
    assert before <= int(version) <= time.time()


def test_pushes_within_one_second_get_different_versions(model: str, destination: str) -> None:
    versions = [int(push.push(model, destination, PushedManifest(name=str(n))).version) for n in range(4)]
    assert versions == sorted(set(versions))
    assert sorted(map(int, os.listdir(destination))) == versions
    contents = [json.loads(Path(destination, str(v), PUSHED_MANIFEST).read_text())["name"] for v in versions]
    assert contents == ["0", "1", "2", "3"]


@given(there=st.sets(st.integers(0, 10**12), max_size=4))
@settings(max_examples=25, deadline=None)
def test_a_version_is_larger_than_every_other(tmp_path_factory: pytest.TempPathFactory, there: set[int]) -> None:
    base = tmp_path_factory.mktemp("versions")
    (base / "model").mkdir()
    for version in there:  # also those that others made, without a manifest
        (base / "served" / str(version)).mkdir(parents=True)
    pushed = push.push(str(base / "model"), str(base / "served"), PushedManifest())
    assert all(int(pushed.version) > version for version in there)
    assert push.current(str(base / "served")).version == pushed.version


def test_the_newest_is_the_largest_number_not_the_last_name(model: str, destination: str) -> None:
    pushed = push.push(model, destination, PushedManifest())
    for name in ("9", "999999999999"):  # no manifest: not ours
        os.makedirs(os.path.join(destination, name))
    assert push.current(destination).version == pushed.version
    assert int(push.push(model, destination, PushedManifest()).version) == 10**12


@pytest.mark.parametrize("name", ["", "missing"])
def test_nothing_is_served_where_nothing_was_pushed(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes").mkdir()
    assert push.current(str(tmp_path / name)) is None


def test_remains_of_a_killed_push_are_removed_and_nothing_else(model: str, destination: str) -> None:
    for name in (".staging-17/variables", ".removing-11/variables", "assets", "12"):
        os.makedirs(os.path.join(destination, name))
    pushed = push.push(model, destination, PushedManifest())
    assert sorted(os.listdir(destination)) == sorted(["12", pushed.version, "assets"])


KILLED = """
import os, signal, sys
from components.push import history
from components.push import versions as push
from components.push.destination import folder
from components.push.manifest import PushedManifest
folder._sync = lambda folder: os.kill(os.getpid(), signal.SIGKILL)
push.push(*sys.argv[1:], PushedManifest())
"""


def test_a_killed_push_leaves_no_version_and_no_lock(model: str, destination: str) -> None:
    before = push.push(model, destination, PushedManifest())
    run = subprocess.run([sys.executable, "-c", KILLED, model, destination], cwd=ROOT, check=False, timeout=60)
    assert run.returncode == -9
    assert any(name.startswith(".staging-") for name in os.listdir(destination))
    assert push.current(destination) == before
    after = push.push(model, destination, PushedManifest())
    assert sorted(os.listdir(destination)) == [before.version, after.version]


def test_digests_cover_every_file_but_the_manifest(model: str) -> None:
    Path(model, PUSHED_MANIFEST).write_text("{}")
    Path(model, "variables", PUSHED_MANIFEST).write_text("{}")
    digests = push.digests(model)
    assert list(digests) == sorted([*FILES, f"variables/{PUSHED_MANIFEST}"])
    assert digests["saved_model.pb"] == hashlib.sha256(b"graph").hexdigest()


def test_an_unchanged_version_is_verified(model: str, destination: str) -> None:
    push.push(model, destination, PushedManifest())
    push.verify(push.current(destination))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda f: (f / "saved_model.pb").write_bytes(b"grapH"), "saved_model.pb does not match"),
        (lambda f: (f / "saved_model.pb").unlink(), "saved_model.pb is missing, but is in"),
        (lambda f: (f / "assets.extra").write_bytes(b""), "assets.extra is not in"),
        (lambda f: (f / "variables" / "variables.index").write_bytes(b"\0"), "variables.index does not match"),
        (lambda f: (f / "variables").rename(f / "Variables"), "variables.data is not in"),
    ],
    ids=["changed", "missing", "one too many", "no longer empty", "moved"],
)
def test_a_changed_version_is_refused(model: str, destination: str, change: Callable[[Path], None], what: str) -> None:
    pushed = push.push(model, destination, PushedManifest())
    change(Path(pushed.path))
    with pytest.raises(ImagegateError, match=rf"{what} the model's imagegate\.json; .* is not loaded"):
        push.verify(pushed)


@pytest.mark.parametrize("manifest", ["", "{", "[]", "null", '{"labels": []}', '{"files": 3}', None])
def test_a_served_version_with_a_broken_manifest_is_named(model: str, destination: str, manifest: str | None) -> None:
    """A model that was compared with an older one, or with none, could be worse than the one that is served."""
    push.push(model, destination, PushedManifest())
    newer = push.push(model, destination, PushedManifest(), {"MODEL_CARD.md": b"#"})
    path = Path(newer.path, PUSHED_MANIFEST)
    path.unlink() if manifest is None else path.write_text(manifest)
    what = "is damaged" if manifest is not None else r"is missing, but MODEL_CARD\.md is there"
    with pytest.raises(push.Damaged, match=rf"{newer.path}/imagegate\.json {what}; the model is not loaded"):
        push.read(newer.path)
    advice = rf"Bring an older version back \(imagegate rollback CONFIG\), or remove {newer.path}$"
    for call in (lambda: push.current(destination), lambda: push.push(model, destination, PushedManifest())):
        with pytest.raises(
            push.Damaged, match=f"version {newer.version} is served, but nothing .*json {what}. {advice}"
        ):
            call()
    assert push.tidy(destination, 1) == ([], "")


def test_a_manifest_of_another_release_is_read_or_refused_with_a_sentence(model: str, destination: str) -> None:
    pushed = push.push(model, destination, PushedManifest())
    manifest = Path(pushed.path, PUSHED_MANIFEST)
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(told | {"key_of_another_release": 1}))
    assert push.current(destination) == pushed
    manifest.write_text(json.dumps(told | {"data": {"counts": []}}))
    with pytest.raises(
        ImagegateError, match=r"another release, which is needed to read its key 'data\.counts'\. Bring"
    ):
        push.current(destination)


@pytest.fixture
def polled(destination: str) -> Iterator[list[str]]:
    """What a server that looks at the folder all the time would ever call broken."""
    os.makedirs(destination)
    broken: list[str] = []
    done = threading.Event()

    def poll() -> None:
        while not done.is_set():
            for name in filter(str.isdigit, os.listdir(destination)):
                served = push.Served(name, os.path.join(destination, name), PushedManifest())
                try:
                    manifest = PushedManifest.from_json(Path(served.path, PUSHED_MANIFEST).read_text())
                    push.verify(push.Served(name, served.path, manifest))
                except (OSError, ValueError, ImagegateError) as error:
                    broken.append(f"{name}: {error!r}")

    thread = threading.Thread(target=poll)
    thread.start()
    yield broken
    done.set()
    thread.join()


def test_a_server_never_sees_half_a_version(model: str, destination: str, polled: list[str]) -> None:
    for n in range(30):
        push.push(model, destination, PushedManifest(name=str(n)))
    assert polled == []
    assert len(os.listdir(destination)) == 30


def test_pushes_at_the_same_time_wait_for_one_another(model: str, destination: str, polled: list[str]) -> None:
    code = (
        "import sys; from components.push import manifest, versions as push; "
        "push.push(*sys.argv[1:], manifest.PushedManifest())"
    )
    command = [sys.executable, "-c", code]
    pushing = [subprocess.Popen([*command, model, destination], cwd=ROOT) for _ in range(4)]
    assert [process.wait(timeout=60) for process in pushing] == [0] * 4
    assert polled == []
    assert len(os.listdir(destination)) == 4


LIMITED = """
import resource, signal, sys
from components.push import history
from components.push import versions as push
from components.base.errors import ImagegateError
from components.push.manifest import PushedManifest
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
try:
    push.push(*sys.argv[1:], PushedManifest())
except ImagegateError as error:
    print(error)
"""


def test_a_push_that_cannot_write_leaves_the_destination_as_it_was(model: str, destination: str) -> None:
    """No file may grow beyond 4,000 bytes, as if the disk were full; one of the model's has 5,000."""
    push.push(model, destination, PushedManifest())
    before = {path: content for path, (content, _) in everything(destination).items()}
    command = [sys.executable, "-c", LIMITED, model, destination]
    run = subprocess.run(command, cwd=ROOT, check=True, timeout=60, capture_output=True, text=True)
    [line] = run.stdout.splitlines()
    assert line.startswith(f"push: cannot write to {destination}: ")
    assert "File too large" in line
    assert run.stderr == ""
    assert {path: content for path, (content, _) in everything(destination).items()} == before


def test_a_destination_that_is_not_a_folder_is_refused_with_a_sentence(model: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImagegateError, match=r"push: cannot write to .*file"):
        push.push(model, str(tmp_path / "file"), PushedManifest())
    with pytest.raises(ImagegateError, match=r"push: cannot write to .*below"):
        push.push(model, str(tmp_path / "file" / "below"), PushedManifest())


def test_a_model_that_is_gone_pushes_nothing(tmp_path: Path, destination: str) -> None:
    with pytest.raises(ImagegateError, match=r"cannot read .*gone: No such file"):
        push.push(str(tmp_path / "gone"), destination, PushedManifest())
    assert not os.path.exists(destination)


def test_a_model_that_is_not_the_one_that_was_evaluated_is_not_pushed(model: str, destination: str) -> None:
    evaluated = push.digests(model)
    pushed = push.push(model, destination, PushedManifest(), {"note.txt": b"x"}, evaluated)
    assert pushed.model == evaluated
    assert pushed.manifest.files == evaluated | {"note.txt": hashlib.sha256(b"x").hexdigest()}
    before = everything(destination)
    changes = {"saved_model.pb": b"grapH", "extra": b"", "variables/variables.index": None}
    for name, changed in changes.items():
        path = Path(model, name)
        kept = path.read_bytes() if path.exists() else None
        path.unlink(missing_ok=True)
        if changed is not None:
            path.write_bytes(changed)
        with pytest.raises(ImagegateError, match=rf"push: {name} is not the file of the model .* nothing was pushed"):
            push.push(model, destination, PushedManifest(), {"note.txt": b"x"}, evaluated)
        path.unlink(missing_ok=True)
        if kept is not None:
            path.write_bytes(kept)
    after = everything(destination)  # the folder's own time has changed
    assert {p: c for p, c in after.items() if p != destination} == {p: c for p, c in before.items() if p != destination}


WARM_UP = "assets.extra/tf_serving_warmup_requests"
HELD = {"exports/litert.tflite": b"A", "exports/onnx.onnx": b"B", WARM_UP: b"images", "MODEL_CARD.md": b"Monday"}


@pytest.mark.parametrize("as_challenger", [False, True], ids=["champion", "challenger"])
@pytest.mark.parametrize(
    ("wanted", "again"),
    [
        (HELD | {"MODEL_CARD.md": b"Tuesday"}, False),
        (HELD | {"exports/openvino.xml": b"C"}, True),  # one that is new
        ({name: content for name, content in HELD.items() if name != "exports/onnx.onnx"}, True),  # that fails now
        (HELD | {"exports/litert.tflite": b"better"}, True),
        ({name: content for name, content in HELD.items() if name != WARM_UP}, True),  # serving.warm_up: false
        (HELD | {"batching_params.pbtxt": b""}, True),
    ],
    ids=["another date", "more", "fewer", "changed", "no images", "of a later release"],
)
def test_an_equal_model_is_pushed_again_if_what_stands_beside_it_is_not_what_is_wanted(
    model: str, destination: str, wanted: dict[str, bytes], again: bool, as_challenger: bool
) -> None:
    compared = ""
    if as_challenger:
        compared = push.push(model, destination, PushedManifest(identity="champion")).version

    def pushed(beside: dict[str, bytes], compared: str) -> push.Served:
        manifest = PushedManifest(identity="equal")
        return push.push(model, destination, manifest, beside, compared=compared, as_challenger=as_challenger)

    first = pushed(HELD, compared)
    second = pushed(wanted, compared if as_challenger else first.version)
    assert (second.new, second.version != first.version) == (again, again)
    assert second.manifest.beside == tuple(sorted(wanted))


def test_what_stands_beside_a_model_is_what_was_judged(model: str, destination: str, tmp_path: Path) -> None:
    export = tmp_path / "litert.tflite"
    export.write_bytes(b"judged")
    beside, judged = {"exports/litert.tflite": str(export)}, hashlib.sha256(b"judged").hexdigest()
    evaluated = push.digests(model) | {"exports/litert.tflite": judged}
    export.write_bytes(b"other!")
    with pytest.raises(ImagegateError, match=rf"push: exports/litert\.tflite is not .* SHA-256 {judged}, found"):
        push.push(model, destination, PushedManifest(), beside, evaluated)
    assert push.current(destination) is None
    export.write_bytes(b"judged")
    pushed = push.push(model, destination, PushedManifest(), beside, evaluated)
    assert pushed.manifest.files == evaluated
    assert pushed.identity == push.identity(push.digests(model))


def test_the_newest_versions_stay_and_so_do_foreign_ones(model: str, destination: str) -> None:
    for other in ("5", "12"):
        os.makedirs(os.path.join(destination, other))
    ours = [push.push(model, destination, PushedManifest(name=str(n))).version for n in range(5)]
    # A version that somebody copied by hand to another number.
    shutil.copytree(os.path.join(destination, ours[0]), os.path.join(destination, "77"))
    assert push.tidy(destination, None) == ([], "")
    assert push.tidy(destination, 3) == (ours[1::-1], "")
    assert sorted(os.listdir(destination)) == sorted(["5", "12", "77", *ours[2:], history.RECORD])
    assert push.tidy(destination, 3) == ([], "")
    assert push.tidy(destination, 1) == (ours[3:1:-1], "")
    assert sorted(os.listdir(destination)) == sorted(["5", "12", "77", ours[4], history.RECORD])


def test_a_version_that_cannot_be_removed_is_reported(model: str, destination: str) -> None:
    ours = [push.push(model, destination, PushedManifest(name=str(n))).version for n in range(3)]
    Path(destination, f".removing-{ours[0]}").write_text("a file in the way")
    removed, problem = push.tidy(destination, 1)
    assert removed == [ours[1]]
    assert f"/.removing-{ours[0]} cannot be removed" in problem
    assert f"/{ours[0]} cannot be removed: Not a directory" in problem
    push.verify(push.read(os.path.join(destination, ours[0])))  # whole, as it was
    push.push(model, destination, PushedManifest())  # it is in nobody's way
    assert "cannot be tidied" in push.tidy(os.path.join(destination, ours[2], "saved_model.pb"), 1)[1]


def test_an_unreadable_destination_is_not_taken_for_an_empty_one(destination: str) -> None:
    """Or a model would be compared with none, and pass."""
    os.makedirs(os.path.join(destination, "7"))
    os.symlink("imagegate.json", os.path.join(destination, "7", "imagegate.json"))
    with pytest.raises(ImagegateError, match=r"nothing is known of it: .*imagegate\.json is a link, which is not"):
        push.current(destination)
