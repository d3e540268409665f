"""The same operations on a folder of this machine and on object stores behind fsspec."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from components.base.artifact_files import PUSHED_MANIFEST
from components.base.errors import ConfigError, ImagegateError
from components.data.location import check_url
from components.push import destination, history
from components.push import versions as push
from components.push.destination import MARKER
from components.push.manifest import PushedManifest

ROOT = Path(__file__).parents[3]
FILES = {"saved_model.pb": b"graph", "variables/variables.index": b"", "variables/variables.data": b"x" * 5000}
DIGESTS = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(FILES.items())}


@pytest.fixture
def model(tmp_path: Path) -> str:
    for name, content in FILES.items():
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(tmp_path / "model")


@pytest.fixture
def memory() -> Iterator[str]:
    yield "memory://bucket/served/digits"
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


@pytest.fixture(params=["folder", "file", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param in ("memory", "s3"):
        return request.getfixturevalue(request.param)
    return ("" if request.param == "folder" else "file://") + str(tmp_path / "served" / "digits")


@pytest.fixture(params=["memory", "s3"])
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


def everything(root: str) -> dict[str, bytes]:
    """Path below the root -> content, as fsspec sees it, without the lock."""
    fs, base = fsspec.core.url_to_fs(root)
    fs.invalidate_cache()
    names = [name for name in (fs.find(base) if fs.exists(base) else ()) if "/.imagegate-lock-" not in name]
    return {name.removeprefix(base + "/"): fs.cat_file(name) for name in names}


def write(root: str, name: str, content: bytes) -> None:
    fs, base = fsspec.core.url_to_fs(root)
    fs.makedirs(f"{base}/{name}".rpartition("/")[0], exist_ok=True)
    fs.pipe_file(f"{base}/{name}", content)


def test_a_push_uploads_its_files_and_nothing_else(model: str, root: str) -> None:
    assert push.current(root) is None
    pushed = push.push(model, root, PushedManifest(name="1"), {"images.npy": b"known"})
    there = everything(root)
    manifest = there.pop(f"{pushed.version}/{PUSHED_MANIFEST}")
    wanted = FILES | {"images.npy": b"known"}
    assert there == {f"{pushed.version}/{name}": content for name, content in wanted.items()}
    assert PushedManifest.from_json(manifest) == pushed.manifest
    assert pushed.path == f"{root}/{pushed.version}"
    assert pushed == push.current(root) == push.read(pushed.path)
    assert pushed.model == DIGESTS
    assert push.content(pushed, "images.npy") == b"known"
    push.verify(pushed)
    with push.local(pushed) as folder:
        assert push.digests(folder) == pushed.manifest.files


@pytest.mark.parametrize("scheme", ["file://", "local://"])
def test_the_url_of_a_local_folder_is_that_folder(model: str, tmp_path: Path, scheme: str) -> None:
    assert isinstance(destination.at(f"{scheme}{tmp_path}/served"), type(destination.at(str(tmp_path / "served"))))
    pushed = push.push(model, f"{scheme}{tmp_path}/served", PushedManifest())
    assert push.current(str(tmp_path / "served")).manifest == pushed.manifest


def test_version_numbers_grow_and_old_versions_are_removed(model: str, root: str) -> None:
    write(root, "3/saved_model.pb", b"somebody else's")
    versions = [push.push(model, root, PushedManifest(name=str(n))).version for n in range(4)]
    assert sorted(set(map(int, versions))) == list(map(int, versions))
    assert push.tidy(root, 2) == ([versions[1], versions[0]], "")
    assert {name.split("/")[0] for name in everything(root)} == {"3", *versions[2:], history.RECORD}
    assert push.current(root).manifest.name == "3"


def test_the_next_version_is_larger_than_all_that_a_server_reads_whatever_else_lies_there(
    model: str, root: str
) -> None:
    """A file counts, since TensorFlow Serving does not ask; 20 digits are no int64, and `12.tmp` is no number."""
    for name in ("99/saved_model.pb", "0009999999999/saved_model.pb", "20261128103000123456/x", "12.tmp/x"):
        write(root, name, b"somebody else's")
    assert int(push.push(model, root, PushedManifest()).version) == 9_999_999_999 + 1
    write(root, "30000000000", b"a file")
    last = push.push(model, root, PushedManifest(name="2"))
    assert int(last.version) == 30_000_000_000 + 1
    assert push.current(root) == last
    push.require_number(root)


def test_a_number_after_which_none_comes_is_named(model: str, root: str) -> None:
    first = push.push(model, root, PushedManifest())
    write(root, f"{2**63 - 2}/x", b"somebody else's")
    assert push.push(model, root, PushedManifest(name="2")).version == "9223372036854775807"
    for call in (lambda: push.push(model, root, PushedManifest(name="3")), lambda: push.require_number(root)):
        with pytest.raises(push.NoNumber, match=r"holds '9223372036854775807', and TensorFlow Serving reads no n") as e:
            call()
        assert e.value.exit_code == 1
    assert first.version in {name.split("/")[0] for name in everything(root)}


def test_versions_are_ordered_as_a_server_orders_them(model: str, root: str) -> None:
    """10 > 9 as numbers, though not as text; an own version that somebody renamed to 0…9 is that number."""
    for name in ("9", "010", "-5", "x"):
        write(root, f"{name}/x", b"")
    assert destination.at(root).versions() == ["010", "9", "-5"]


@pytest.mark.parametrize("change", [b"grapH", None])
def test_a_changed_version_is_refused(model: str, root: str, change: bytes | None) -> None:
    pushed = push.push(model, root, PushedManifest())
    fs, base = fsspec.core.url_to_fs(f"{pushed.path}/saved_model.pb")
    fs.rm_file(base)
    if change is not None:
        write(pushed.path, "saved_model.pb", change)
    with pytest.raises(ImagegateError, match=rf"{pushed.path}/saved_model.pb (does not match|is missing)"):
        push.verify(pushed)
    with pytest.raises(ImagegateError, match=r"saved_model\.pb"), push.local(pushed):
        pass
    with pytest.raises(ImagegateError, match=r"saved_model\.pb is missing or does not match"):
        push.content(pushed, "saved_model.pb")


def test_a_model_that_was_not_evaluated_leaves_nothing(model: str, root: str) -> None:
    before = push.push(model, root, PushedManifest(), evaluated=DIGESTS)
    content = everything(root)
    Path(model, "variables", "variables.data").write_bytes(b"y" * 5000)
    with pytest.raises(ImagegateError, match=r"variables/variables.data is not the file of the model that was evalu"):
        push.push(model, root, PushedManifest(), evaluated=DIGESTS)
    assert everything(root) == content
    assert push.current(root) == before


def test_remains_of_a_killed_upload_are_removed_and_its_number_is_not_reused(model: str, url: str) -> None:
    before = push.push(model, url, PushedManifest())
    killed = 10**12
    for name, content in {
        MARKER: b"",
        "saved_model.pb": b"gra",
        PUSHED_MANIFEST: b'{"files": {',
    }.items():
        write(url, f"{killed}/{name}", content)
    write(url, "10/saved_model.pb", b"somebody else's upload, without our marker")
    assert push.current(url) == before
    after = push.push(model, url, PushedManifest())
    assert int(after.version) == killed + 1
    assert {name.split("/")[0] for name in everything(url)} == {"10", before.version, after.version}


def test_an_upload_killed_after_its_manifest_is_a_version(model: str, url: str) -> None:
    pushed = push.push(model, url, PushedManifest())
    write(pushed.path, MARKER, b"")
    push.verify(push.current(url))
    assert push.tidy(url, 1) == ([], "")
    assert f"{pushed.version}/{MARKER}" not in everything(url)
    push.verify(push.current(url))


def test_a_killed_removal_is_finished_by_the_next_push(model: str, url: str) -> None:
    old, new = push.push(model, url, PushedManifest(name="1")), push.push(model, url, PushedManifest(name="2"))
    write(old.path, MARKER, b"")
    fs, base = fsspec.core.url_to_fs(old.path)
    fs.rm_file(f"{base}/{PUSHED_MANIFEST}")
    fs.rm_file(f"{base}/saved_model.pb")
    assert push.tidy(url, 5) == ([], "")
    assert {name.split("/")[0] for name in everything(url)} == {new.version}


def test_the_graph_is_uploaded_after_everything_that_it_needs(
    model: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that finds the graph must find what it names, and one that finds a manifest all of it."""
    fs, _ = fsspec.core.url_to_fs(url)
    seen: list[set[str]] = []

    def watched(method: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object, **more: object) -> None:
            seen.append({name.split("/", 1)[1] for name in everything(url)})
            method(*arguments, **more)

        return call

    for name in ("pipe_file", "put_file", "rm_file"):
        monkeypatch.setattr(fs, name, watched(getattr(fs, name)))
    push.push(model, url, PushedManifest(), {"images.npy": b"x"})
    without = [names for names in seen if "saved_model.pb" not in names]
    assert set().union(*without) == {MARKER, "images.npy", "variables/variables.index", "variables/variables.data"}
    assert all(names >= {*FILES, "images.npy"} for names in seen if "saved_model.pb" in names)
    assert [PUSHED_MANIFEST in names for names in seen].index(True) == len(
        seen
    ) - 2  # then the marker goes, and the lock


def test_another_process_continues_the_versions_of_a_destination(model: str, s3: str) -> None:
    code = (
        "import sys; from components.push import manifest, versions as push; "
        "print(push.push(*sys.argv[1:], manifest.PushedManifest()).version)"
    )
    found = []
    for _ in range(3):
        run = subprocess.run([sys.executable, "-c", code, model, s3], cwd=ROOT, capture_output=True, check=True)
        found.append(int(run.stdout))
        assert push.current(s3).version == str(found[-1])
    assert sorted(set(found)) == found


def test_a_key_that_leads_out_of_its_version_is_not_fetched(model: str, memory: str) -> None:
    pushed = push.push(model, memory, PushedManifest())
    fsspec.filesystem("memory").store[f"/bucket/served/digits/{pushed.version}/../../evil"] = fsspec.filesystem(
        "memory"
    ).store[f"/bucket/served/digits/{pushed.version}/saved_model.pb"]
    with pytest.raises(ImagegateError, match="file names that lead out of the folder"), push.local(pushed):
        pass


@pytest.mark.parametrize(
    ("root", "what"),
    [
        ("s3://me:secret@bucket/models", "the URL holds a password"),
        ("sftp://me:secret@host/models", "the URL holds a password"),
        ("https://host/models?sig=secret", "the URL has a query"),
        ("nonsense://models", "nonsense://models cannot be opened: .*[Pp]rotocol"),
    ],
)
def test_a_url_that_cannot_or_must_not_be_used_is_refused(root: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what) as error:
        destination.at(root)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("root", ["sftp://me@host/models", "abfs://box@account.dfs.core.windows.net/x", "s3://b/a:b@c"])
def test_a_url_may_name_a_user(root: str) -> None:
    check_url(root)


def test_errors_of_a_store_become_sentences(model: str, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCredentialsError(Exception):
        pass

    def refuse(*_: object, **__: object) -> None:
        raise NoCredentialsError("unable to locate credentials")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "ls", refuse)
    for call in (lambda: push.current(memory), lambda: push.push(model, memory, PushedManifest())):
        with pytest.raises(ImagegateError, match=r"push: cannot .* NoCredentialsError: unable to locate"):
            call()
    assert "NoCredentialsError" in push.tidy(memory, 1)[1]
    monkeypatch.undo()
    push.push(model, memory, PushedManifest())


def test_a_missing_file_and_a_folder_read_as_none(model: str, root: str) -> None:
    place = destination.at(root)
    pushed = push.push(model, root, PushedManifest())
    assert place.read(pushed.version, "none") is None
    assert place.read(pushed.version, "variables") is None
    assert place.read("1", PUSHED_MANIFEST) is None
    assert place.read(pushed.version, "saved_model.pb/x") is None
    assert os.path.basename(pushed.path) == pushed.version
