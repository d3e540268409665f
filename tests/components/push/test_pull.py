"""The served version, pulled to a folder: whole or not at all, whatever the manifest says and whenever it is killed."""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from components.base.errors import ConfigError, ImagegateError
from components.push import rollback
from components.push import versions as push
from components.push.destination import at
from components.push.manifest import PushedManifest
from components.push.pull import check_names, is_current, pull

FILES = {"saved_model.pb": b"graph", "variables/variables.index": b"", "variables/variables.data": b"x" * 5000}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "model"


@pytest.fixture(params=["folder", "file", "s3"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return request.getfixturevalue("s3")
    return ("" if request.param == "folder" else "file://") + str(tmp_path / "served")


@pytest.fixture
def served(model: Path, tmp_path: Path) -> Path:
    """A destination with one version."""
    push.push(str(model), str(tmp_path / "served"), PushedManifest(name="digits"))
    return tmp_path / "served"


def change(model: Path, content: bytes) -> Path:
    (model / "saved_model.pb").write_bytes(content)
    return model


def wrong(version: Path) -> str:
    """What is wrong with a version, by its manifest; "" for nothing. Nothing of the code under test is in here."""
    wanted = json.loads((version / "imagegate.json").read_bytes())["files"]
    there = {str(p.relative_to(version)): p for p in version.rglob("*") if p.is_file()}
    there.pop("imagegate.json")
    found = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in there.items()}
    return "" if found == wanted else f"has {found}, expected {wanted}"


def numbers(folder: Path) -> list[str]:
    return sorted((name for name in os.listdir(folder) if name.isdigit()), key=int)


def test_the_served_version_is_copied_byte_for_byte_and_followed(model: Path, source: str, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    first = push.push(str(model), source, PushedManifest(name="digits"), {"card": b"about"})
    pulled = pull(source, str(folder), 2)
    assert (pulled.version, pulled.path, pulled.new) == (first.version, str(folder / first.version), True)
    assert (pulled.removed, pulled.note) == ((), "")
    there = {str(p.relative_to(folder / first.version)): p.read_bytes() for p in folder.rglob("*/**/*") if p.is_file()}
    fs, base = fsspec.core.url_to_fs(f"{source}/{first.version}")
    assert there.pop("imagegate.json") == fs.cat_file(f"{base}/imagegate.json")
    assert there == FILES | {"card": b"about"}
    assert pull(source, str(folder), 2) == pulled.__class__(first.version, pulled.path, False, (), "")
    assert is_current(source, pulled)

    second = push.push(str(change(model, b"other")), source, PushedManifest(name="digits"))
    assert not is_current(source, pulled)
    assert pull(source, str(folder), 2).version == second.version
    back, _ = rollback.roll_back(source)  # the first one, under a third number
    pulled = pull(source, str(folder), 2)
    assert (pulled.version, pulled.removed) == (back.version, (first.version,))
    assert numbers(folder) == [second.version, back.version]
    assert (folder / back.version / "saved_model.pb").read_bytes() == b"graph"
    assert [wrong(folder / version) for version in numbers(folder)] == ["", ""]


def test_a_version_that_is_no_longer_there_is_not_served_here_either(served: Path, model: Path, tmp_path: Path) -> None:
    [first] = numbers(served)
    second = push.push(str(change(model, b"bad")), str(served), PushedManifest(name="digits"))
    folder = tmp_path / "here"
    pull(str(served), str(folder), 2)
    shutil.rmtree(second.path)
    pulled = pull(str(served), str(folder), 2)
    assert (pulled.version, pulled.new, pulled.removed) == (first, True, (second.version,))
    assert numbers(folder) == [first]


def test_versions_of_others_stay_and_are_named_if_servers_load_them_instead(served: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    (folder / "9223372036854775807").mkdir(parents=True)
    (folder / "5").mkdir()
    pulled = pull(str(served), str(folder), 1)
    assert pulled.note == (
        f"{folder} also holds 9223372036854775807, which imagegate did not put there and servers load instead"
    )
    assert {"5", "9223372036854775807"} < set(numbers(folder))


def test_nothing_to_pull_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    with pytest.raises(ConfigError, match="served: no version that imagegate pushed, so there is nothing to pull"):
        pull(str(tmp_path / "served"), str(tmp_path / "here"), 2)


def test_a_folder_that_is_for_other_versions_is_refused(served: Path, model: Path, tmp_path: Path) -> None:
    for folder in (served, served / "below", tmp_path / "link"):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(served)
        with pytest.raises(ConfigError, match="is or lies in"):
            pull(str(served), str(folder), 2)
    other = push.push(str(model), str(tmp_path / "other"), PushedManifest(name="shapes"))
    with pytest.raises(
        ConfigError, match=f"other holds version {other.version}, which was not pulled; it may be pushed"
    ):
        pull(str(served), str(tmp_path / "other"), 2)
    pull(str(served), str(tmp_path / "here"), 2)
    with pytest.raises(ConfigError, match=f"here holds versions pulled from {served}, expected {tmp_path / 'other'};"):
        pull(str(tmp_path / "other"), str(tmp_path / "here"), 2)


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/tmp/evil", "", ".", "a//b", "./a", "a/", "a\0b", "\ud800", "imagegate.json"]
)
def test_names_that_lead_out_of_the_version_are_refused(served: Path, tmp_path: Path, name: str) -> None:
    [version] = numbers(served)
    path = served / version / "imagegate.json"
    manifest = json.loads(path.read_text())
    manifest["files"][name] = hashlib.sha256(b"evil").hexdigest()
    path.write_text(json.dumps(manifest))
    (served / "evil").write_bytes(b"evil")  # what ../evil would name
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(
        ImagegateError, match=r"imagegate\.json names files that no version may hold: '.*; nothing was copied"
    ):
        pull(str(served), str(tmp_path / "here"), 2)
    assert [p.name for p in sorted(tmp_path.rglob("*")) if p not in before] == ["here"]


def test_names_of_real_models_are_fine() -> None:
    check_names([*FILES, "assets.extra/tf_serving_warmup_requests", "..a", "a..b/c", "naïve.txt"], "7")


def test_a_url_is_no_folder_to_pull_to(served: Path, model: Path, s3: str, tmp_path: Path) -> None:
    """The copy once went to a local folder of that name, and `keep` then removed versions of the store."""
    there = [push.push(str(change(model, bytes([i]))), s3, PushedManifest()).version for i in range(3)]
    with pytest.raises(ConfigError, match="expected a folder of this machine to pull to, not a URL"):
        pull(str(served), s3, 1)
    assert [one.version for one in push.newest_first(at(s3))] == there[::-1]
    pulled = pull(str(served), f"file://{tmp_path}/here", 1)
    assert pulled.path == f"{tmp_path}/here/{pulled.version}"


def test_only_what_was_pulled_is_removed(served: Path, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    first = pull(str(served), str(folder), 1)
    for call in (
        lambda: push.push(str(model), str(folder), PushedManifest(name="other")),
        lambda: push.require_not_pulled(f"file://{folder}"),
    ):
        with pytest.raises(ConfigError, match=rf"here holds versions .* remove {folder}/\.imagegate-pulled-from if"):
            call()
    for name in (".staging-area", ".removing-old", ".staging-17", ".removing-17"):
        (folder / name).mkdir()
    os.makedirs(folder / "7")
    second = push.push(str(change(model, b"other")), str(served), PushedManifest(name="digits"))
    assert pull(str(served), str(folder), 1).removed == (first.version,)
    # The folders of others stay, those of killed pulls go, and no record grows with each version.
    wanted = [".imagegate-pulled-from", ".removing-old", ".staging-area", "7", second.version]
    assert sorted(os.listdir(folder)) == sorted(wanted)


def test_a_version_under_another_number_in_its_manifest_is_removed_like_any_other(
    served: Path, model: Path, tmp_path: Path
) -> None:
    found = []
    for content in (b"1", b"2", b"3"):
        version = push.push(str(change(model, content)), str(served), PushedManifest(name="digits")).version
        path = served / version / "imagegate.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"version": "1"}))
        found.append(pull(str(served), str(tmp_path / "here"), 2).version)
    assert numbers(tmp_path / "here") == found[1:]


def test_a_source_is_the_same_from_every_folder(
    served: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pull("served", "here", 2)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert not pull("../served/", "../here", 2).new
    push.push(str(change(model, b"other")), "served", PushedManifest(name="digits"))  # another one of the same name
    with pytest.raises(ConfigError, match=f"holds versions pulled from {served}, expected {tmp_path}/below/served;"):
        pull("served", "../here", 2)


def test_a_note_that_cannot_be_read_is_not_taken_for_none(served: Path, tmp_path: Path) -> None:
    pull(str(served), str(tmp_path / "here"), 2)
    (tmp_path / "here" / ".imagegate-pulled-from").write_text("{")
    with pytest.raises(ConfigError, match="pulled-from is damaged, so nobody knows which versions were pulled"):
        pull(str(served), str(tmp_path / "here"), 2)


@pytest.mark.parametrize("kind", ["pipe", "link", "deep", "large"])
def test_a_manifest_that_does_harm_when_it_is_read_is_refused(served: Path, tmp_path: Path, kind: str) -> None:
    path = served / numbers(served)[0] / "imagegate.json"
    kept = path.read_bytes()
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)  # whoever opens it waits for a writer
    elif kind == "link":
        (tmp_path / "elsewhere").write_bytes(kept)
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.write_bytes(b"[" * 200_000 if kind == "deep" else kept + b" " * 2**26)
    message = {"pipe": "is not a regular file", "link": "is a link, which is not followed", "deep": "is damaged"}
    message["large"] = rf"has {len(kept) + 2**26:,} bytes, expected 67,108,864 at most"
    with pytest.raises(ImagegateError, match=rf"imagegate\.json {message[kind]}"):
        pull(str(served), str(tmp_path / "here"), 2)


def _link(version: Path) -> None:
    (version.parent.parent / "secret").write_bytes(b"graph")
    (version / "saved_model.pb").unlink()
    (version / "saved_model.pb").symlink_to(version.parent.parent / "secret")


def _linked_folder(version: Path) -> None:
    (version / "variables").rename(version.parent.parent / "elsewhere")
    (version / "variables").symlink_to(version.parent.parent / "elsewhere")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda v: (v / "saved_model.pb").write_bytes(b"other"), "saved_model.pb does not match its imagegate.json"),
        (lambda v: (v / "saved_model.pb").unlink(), "saved_model.pb is missing, but is in its imagegate.json"),
        (lambda v: (v / "more").write_bytes(b""), "more is not in its imagegate.json"),
        (lambda v: (v / "loop").symlink_to(v), "loop is not in its imagegate.json"),
        (_link, "saved_model.pb is or lies behind a link, which is not followed"),
        (_linked_folder, "variables is not in its imagegate.json"),
    ],
    ids=["changed", "missing", "unlisted", "unlisted link", "link", "linked folder"],
)
def test_what_is_not_as_its_manifest_says_is_not_copied(
    served: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    [version] = numbers(served)
    spoil(served / version)
    with pytest.raises(ImagegateError, match=message):
        pull(str(served), str(tmp_path / "here"), 2)
    assert os.listdir(tmp_path / "here") == []  # so another destination may still be pulled to it


def test_a_damaged_copy_is_not_replaced_while_a_server_may_have_loaded_it(served: Path, tmp_path: Path) -> None:
    pulled = pull(str(served), str(tmp_path / "here"), 2)
    Path(pulled.path, "saved_model.pb").write_bytes(b"other")
    with pytest.raises(ImagegateError, match=r"is there already, and is not the version that is served; .* Remove it"):
        pull(str(served), str(tmp_path / "here"), 2)
    shutil.rmtree(pulled.path)
    assert not is_current(str(served), pulled)
    assert pull(str(served), str(tmp_path / "here"), 2).new


_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.copyfile", "shutil.rmtree", "os.listdir"}


def _killed_at(moment: int, source: str, folder: str) -> bool:
    """Pulls in a process that is killed before its `moment`-th access to a file; False if it ended before that."""
    child = os.fork()
    if child == 0:
        seen = [0]

        def hook(event: str, _: object) -> None:
            if event in _EVENTS:
                seen[0] += 1
                if seen[0] > moment:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            pull(source, folder, 2)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_a_pull_that_is_killed_at_any_moment_leaves_the_old_version_or_the_new_one(
    served: Path, model: Path, tmp_path: Path
) -> None:
    [old] = numbers(served)
    pull(str(served), str(tmp_path / "before"), 2)
    new = push.push(str(change(model, b"other")), str(served), PushedManifest(name="digits")).version
    moment, left = 0, []
    while True:
        folder = tmp_path / "here"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "before", folder)
        if not _killed_at(moment, str(served), str(folder)):
            break
        assert numbers(folder) in ([old], [old, new])
        assert [wrong(folder / version) for version in numbers(folder)] == [""] * len(numbers(folder))
        left.append((numbers(folder) == [old, new], any(name.startswith(".staging-") for name in os.listdir(folder))))
        assert pull(str(served), str(folder), 2).version == new  # the next one repairs it
        assert sorted(os.listdir(folder)) == sorted([".imagegate-pulled-from", old, new])
        moment += 1
    assert numbers(folder) == [old, new]
    # Killed before it began to copy, while it copied, and after the rename: otherwise this says nothing.
    assert {(False, False), (False, True), (True, False)} <= set(left)


def test_two_pulls_into_one_folder_exclude_each_other(served: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    done: list[bool] = []
    threads = [threading.Thread(target=lambda: done.append(pull(str(served), str(folder), 2).new)) for _ in range(2)]
    for thread in threads:
        thread.start()
    threads[0].join(0.3)
    assert all(thread.is_alive() for thread in threads)
    assert os.listdir(folder) == []
    os.close(descriptor)
    for thread in threads:
        thread.join()
    assert sorted(done) == [False, True]


def test_a_full_disk_leaves_what_was_there(served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("components.push.destination.folder.sync", full)
    with pytest.raises(ImagegateError, match=r"cannot write to .*here: No space left on device"):
        pull(str(served), str(tmp_path / "here"), 2)
    assert numbers(tmp_path / "here") == []
    assert [name for name in os.listdir(tmp_path / "here") if name.startswith(".staging")] == []
