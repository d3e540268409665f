"""What is below a root, and what must not be read: links that lead out, pipes, what cannot be reached."""

import errno
import http.server
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from aiohttp import ClientPayloadError
from aiohttp.http_exceptions import ContentLengthError
from fsspec.implementations.local import LocalFileSystem

from components.base.errors import ConfigError, ImagegateError
from components.data import storage
from components.data.storage import calls
from components.data.storage.objects import Objects

WriteFiles = Callable[..., Path]


def problems(root: object) -> dict[str, str]:
    return {file.path: file.problem for file in storage.files(str(root))}


@pytest.fixture
def memory() -> Iterator[str]:
    """A root in fsspec's store in memory."""
    store = fsspec.filesystem("memory")
    for path, content in {"/data/cat/1.png": b"one", "/data/cat/a/2.png": b"three", "/data/dog/.x": b""}.items():
        store.pipe_file(path, content)
    yield "memory://data"
    store.rm("/data", recursive=True)


def test_every_file_is_named_with_its_size(tmp_path: Path, write_files: WriteFiles) -> None:
    root = write_files(tmp_path, {"top.txt": b"", "cat/1.png": b"one", "cat/a b/ü.png": b"three"})
    files = {file.path: file for file in storage.files(str(root))}

    assert {path: (file.size, file.problem) for path, file in files.items()} == {
        "top.txt": (0, ""),
        "cat/1.png": (3, ""),
        "cat/a b/ü.png": (5, ""),
    }
    assert storage.read(str(root), "cat/a b/ü.png") == b"three"


def test_the_version_changes_with_the_file(tmp_path: Path, write_files: WriteFiles) -> None:
    root = write_files(tmp_path, {"1.png": b"one"})
    os.utime(root / "1.png", ns=(0, 1_000_000_007))
    [before] = storage.files(str(root))
    os.utime(root / "1.png", ns=(0, 1_000_000_008))
    [after] = storage.files(str(root))
    assert before.version.startswith("~1000000007 ")  # the mark of a file that changed a moment ago
    assert after.version.startswith("~1000000008 ")


@pytest.mark.parametrize("name", [".DS_Store", ".hidden/1.png", "cat/._1.png", "Thumbs.db", "cat/desktop.ini"])
def test_files_that_file_managers_leave_are_not_data(tmp_path: Path, write_files: WriteFiles, name: str) -> None:
    assert problems(write_files(tmp_path, {name: b"x", "cat/1.png": b""})) == {"cat/1.png": ""}


def test_links_below_the_root_are_followed(tmp_path: Path, write_files: WriteFiles) -> None:
    root = write_files(tmp_path, {"cat/1.png": b"one"})
    (root / "cat" / "2.png").symlink_to("1.png")
    assert problems(root) == {"cat/1.png": "", "cat/2.png": ""}
    assert storage.read(str(root), "cat/2.png") == b"one"


def test_the_root_itself_may_be_a_link(tmp_path: Path, write_files: WriteFiles) -> None:
    write_files(tmp_path / "real", {"cat/1.png": b"one"})
    (tmp_path / "real" / "cat" / "2.png").symlink_to(tmp_path / "real" / "cat" / "1.png")
    (tmp_path / "link").symlink_to("real")
    assert problems(tmp_path / "link") == {"cat/1.png": "", "cat/2.png": ""}


@pytest.mark.parametrize("target", ["../../secret", "../../data-more/1.png", "/etc", "/no/such/file", "../../data"])
def test_a_link_that_leads_out_is_not_read(tmp_path: Path, write_files: WriteFiles, target: str) -> None:
    write_files(tmp_path, {"secret": b"", "data-more/1.png": b"", "data/cat/1.png": b""})
    (tmp_path / "data" / "cat" / "2.png").symlink_to(target)
    found = problems(tmp_path / "data")
    assert found.pop("cat/1.png") == ""
    assert found == {"cat/2.png": "a link that leads out of data.root; copy the file instead"}


def test_a_link_to_a_folder_is_not_followed_for_ever(tmp_path: Path, write_files: WriteFiles) -> None:
    root = write_files(tmp_path, {"cat/1.png": b"", "cat/a/2.png": b""})
    (root / "cat" / "a" / "up").symlink_to("..")
    assert problems(root)["cat/a/up"] == "a link to a folder; copy the folder instead"
    assert len(problems(root)) == 3


@pytest.mark.parametrize(("target", "reason"), [("itself", "Too many levels"), ("nowhere", "No such file")])
def test_a_broken_link_is_named(tmp_path: Path, target: str, reason: str) -> None:
    (tmp_path / "cat").mkdir()
    for link in (tmp_path / "itself", tmp_path / "cat" / "itself"):
        link.symlink_to(target)
    assert problems(tmp_path).keys() == {"itself", "cat/itself"}
    assert all(p.startswith(f"cannot be read: {reason}") for p in problems(tmp_path).values())
    assert storage.folders(str(tmp_path)) == ["cat"]


def test_pipes_and_sockets_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert problems(tmp_path) == dict.fromkeys(["pipe", "socket"], "not a regular file")


def test_a_folder_that_may_not_be_read_is_an_error(tmp_path: Path, write_files: WriteFiles) -> None:
    root = write_files(tmp_path, {"cat/1.png": b""})
    (root / "cat").chmod(0)
    if os.access(root / "cat", os.R_OK):
        pytest.skip("root may read everything")
    with pytest.raises(ConfigError, match=r"^data.root: .*/cat cannot be read: Permission denied; allow it "):
        problems(root)
    (root / "cat").chmod(0o700)


def test_a_folder_that_vanishes_while_it_is_listed_is_named(tmp_path: Path, write_files: WriteFiles) -> None:
    root = write_files(tmp_path, {"cat/a/1.png": b"", "cat/b/1.png": b""})
    listing = storage.files(str(root))
    other = {"cat/a/1.png": "cat/b", "cat/b/1.png": "cat/a"}[next(listing).path]
    (root / other / "1.png").unlink()
    (root / other).rmdir()
    assert [(f.path, f.problem) for f in listing] == [(other, "cannot be read: No such file or directory")]


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("when", ["opened", "read"])
def test_a_folder_that_its_disk_cannot_list_is_an_error_and_was_not_removed(
    tmp_path: Path, write_files: WriteFiles, monkeypatch: pytest.MonkeyPatch, number: int, when: str
) -> None:
    root = write_files(tmp_path, {"cat/1.png": b"", "dog/1.png": b"", "dog/2.png": b""})
    scan, stat, dog = os.scandir, os.lstat, os.path.join(tmp_path, "dog")

    class Listing:
        """Of two entries, it has the first."""

        def __init__(self, path: str) -> None:
            self._entries = scan(path)

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            yield next(self._entries)
            raise OSError(number, os.strerror(number))

        def __exit__(self, *_: object) -> None:
            self._entries.close()

    def fail(path: str) -> object:
        if os.path.normpath(path) != dog:
            return scan(path)
        if when == "read":
            return Listing(path)
        raise OSError(number, os.strerror(number))

    def fail_too(path: str, **options: object) -> os.stat_result:
        if str(path).startswith(dog):
            raise OSError(number, os.strerror(number))
        return stat(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "scandir", fail)
    monkeypatch.setattr(os, "lstat", fail_too)
    with pytest.raises(ConfigError, match=f"^data.root: {dog} cannot be read: {os.strerror(number)}$"):
        problems(root)


def test_no_label_is_lost_because_its_folder_cannot_be_looked_at(
    tmp_path: Path, write_files: WriteFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, stat = write_files(tmp_path, {"cat/1.png": b"", "dog/1.png": b"", "x": b""}), os.stat
    (root / "here").symlink_to("here")

    def fail(path: str, **options: object) -> os.stat_result:
        if str(path).endswith("dog"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return stat(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", fail)
    assert not os.path.isdir(root / "dog"), "what looked at folders before"
    assert storage.folders(str(root)) == ["cat", "dog"]


def test_listing_the_folders_of_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match=f"^data.root: {tmp_path}/file cannot be read: Not a directory$"):
        storage.folders(str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("name", "what"),
    [("none", "does not exist"), ("file", "is a file, not a folder or an archive; archives end in .*")],
)
def test_a_root_that_is_not_a_folder_is_an_error(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match=f"^data.root: {tmp_path}/{name} {what}$") as error:
        problems(tmp_path / name)
    assert error.value.exit_code == 2


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such names")
def test_names_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(b"one")
    [file] = storage.files(str(tmp_path))
    assert os.fsencode(file.path) == b"\xff.png"
    assert storage.read(str(tmp_path), file.path) == b"one"


def test_folders_are_sorted_and_may_be_empty(tmp_path: Path, write_files: WriteFiles) -> None:
    root = write_files(tmp_path, {"dog/1.png": b"", "Cat/1.png": b"", ".git/x": b"", "file": b""})
    (root / "ant").mkdir()
    assert storage.folders(str(root)) == ["Cat", "ant", "dog"]


def test_a_url_lists_like_a_folder(memory: str) -> None:
    files = {file.path: file for file in storage.files(memory)}
    assert {path: file.size for path, file in files.items()} == {"cat/1.png": 3, "cat/a/2.png": 5}
    assert all(file.version and not file.problem for file in files.values())
    assert storage.folders(memory) == ["cat", "dog"]
    assert storage.read(memory, "cat/a/2.png") == b"three"


def test_a_url_may_end_in_a_slash(memory: str) -> None:
    assert problems(memory + "/") == problems(memory)


def test_a_file_url_reads_no_links_and_no_pipes(tmp_path: Path, write_files: WriteFiles) -> None:
    write_files(tmp_path, {"secret": b"x", "data/cat/1.png": b"one"})
    root = tmp_path / "data"
    (root / "cat" / "2.png").symlink_to("../../secret")
    os.mkfifo(root / "cat" / "3.png")
    found = problems(f"file://{root}")
    assert found == {"cat/1.png": "", "cat/2.png": "not a regular file", "cat/3.png": "not a regular file"}


@pytest.mark.parametrize(
    ("root", "reason"),
    [("memory://nothing", "does not exist"), ("nonsense://data", "cannot be opened: .*[Pp]rotocol")],
)
def test_a_url_that_leads_nowhere_is_an_error(root: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"data.root: {root} {reason}"):
        problems(root)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), "No such file or directory"),
    ],
)
def test_no_image_is_lost_because_its_folder_cannot_be_listed(
    tmp_path: Path, write_files: WriteFiles, monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str
) -> None:
    """fsspec's `find` leaves such a folder out, and says nothing."""
    write_files(tmp_path, {"cat/1.png": b"one", "dog/a/2.png": b"two", "dog/a/b/3.png": b"three"})
    root, whole, asked = f"file://{tmp_path}", LocalFileSystem.ls, list[str]()

    def fail(store: LocalFileSystem, path: str, **options: bool) -> object:
        asked.append(path)
        if path.endswith("dog/a"):
            raise error
        return whole(store, path, **options)

    assert set(problems(root)) == {"cat/1.png", "dog/a/2.png", "dog/a/b/3.png"}
    monkeypatch.setattr(calls, "_PAUSE_S", 0.001)
    monkeypatch.setattr(LocalFileSystem, "ls", fail)
    assert [path.removeprefix(f"{tmp_path}/") for path in fsspec.filesystem("file").find(tmp_path)] == ["cat/1.png"]
    asked.clear()
    expected = f"^data.root: {root} cannot be listed: {tmp_path}/dog/a cannot be listed: {reason}$"
    with pytest.raises(ConfigError, match=expected):
        problems(root)
    assert asked.count(f"{tmp_path}/dog/a") == (3 if error.errno == errno.EIO else 1)  # EIO may pass
    with pytest.raises(OSError, match=f"^{tmp_path}/dog/a cannot be listed: {reason}$"):
        Objects(root, "output.artifacts").names()
    assert Objects(root, "output.artifacts").names("cat") == {"1.png": 3}


def test_a_file_or_nothing_behind_a_file_url_is_an_error(tmp_path: Path, write_files: WriteFiles) -> None:
    write_files(tmp_path, {"cat/1.png": b"one"})
    with pytest.raises(ConfigError, match=f"^data.root: file://{tmp_path}/dog does not exist$"):
        problems(f"file://{tmp_path}/dog")
    assert Objects(f"file://{tmp_path}/dog", "output.artifacts").names() == {}


PAGES = {
    "/data": '<a href="cat/">cat</a> <a href="dog/">dog</a> <a href="./">here</a> <a href="../">up</a>',
    "/data/cat": '<a href="1.png">1</a> <a href="../dog/">next</a> <a href="../../secret.png">?</a>',
    "/data/dog": '<a href="2.png">2</a> <a href="../cat/">back</a>',
}


def test_pages_of_a_web_server_are_listed_once_and_none_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = dict(PAGES)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path.rstrip("/"))
            if page == "closed":
                self.close_connection = True
                return
            self.send_response(404 if page is None else 200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page or "")))
            self.end_headers()
            self.wfile.write((page or "").encode())

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setattr(calls, "_PAUSE_S", 0.001)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}/data"
        try:
            assert problems(root) == {"cat/1.png": "", "dog/2.png": ""}
            for page in (None, "closed"):  # 404, and no answer
                pages["/data/dog"] = page
                with pytest.raises(ConfigError, match=f"^data.root: {root} cannot be listed: {root}/dog cannot be"):
                    problems(root)
            pages.clear()
            with pytest.raises(ConfigError, match=f"^data.root: {root} does not exist$"):
                problems(root)
        finally:
            server.shutdown()


def cut_body() -> Exception:
    """What aiohttp raises for an answer that is shorter than it said; the cause has a `code`, which is no status."""
    error = ClientPayloadError("slow down")
    error.__cause__ = ContentLengthError("received 4 of 8 bytes")
    assert error.__cause__.code == 400
    return error


@pytest.mark.parametrize(
    "error", [OSError(errno.EBUSY, "slow down"), TimeoutError(errno.ETIMEDOUT, "slow down"), cut_body()]
)
def test_a_store_that_fails_is_asked_again_and_is_no_broken_file(
    memory: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    store, asked, failures = fsspec.filesystem("memory"), list[str](), [2]
    whole = store.cat_file

    def fail(path: str, **options: object) -> bytes:
        asked.append(path)
        if len(asked) <= failures[0]:
            raise error
        return whole(path, **options)

    monkeypatch.setattr(calls, "_PAUSE_S", 0.001)
    monkeypatch.setattr(store, "cat_file", fail)
    assert storage.read(memory, "cat/1.png") == b"one"
    assert len(asked) == 3
    failures[0] = 10
    with pytest.raises(ImagegateError, match=r"^memory://data/cat/1.png cannot be read: .*slow down; run again once "):
        storage.read(memory, "cat/1.png")
    assert len(asked) == 6


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EBUSY, "slow down"), r"^memory://data/tile cannot be read: slow down; run again once its store"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), r"^memory://data/tile cannot be read: reset; run again once"),
        (PermissionError(errno.EACCES, "denied"), r"^\[Errno 13\] denied$"),
    ],
)
def test_moments_whose_folder_a_store_does_not_list_are_no_broken_file(
    memory: str, monkeypatch: pytest.MonkeyPatch, error: OSError, expected: str
) -> None:
    """Only the last is the folder's own: the record counts as a file that cannot be read."""
    store = fsspec.filesystem("memory")
    store.pipe_file("/data/tile/1.npy", b"one")
    whole = storage.read(memory, "tile.frames")

    def fail(path: str, **_: object) -> object:
        raise error

    monkeypatch.setattr(calls, "_PAUSE_S", 0.001)
    with monkeypatch.context() as broken:
        broken.setattr(store, "find", fail)
        with pytest.raises(OSError if isinstance(error, PermissionError) else ImagegateError, match=expected):
            storage.read(memory, "tile.frames")
    assert storage.read(memory, "tile.frames") == whole
    with pytest.raises(OSError, match=r"^there is no folder none with the files of its moments$"):
        storage.read(memory, "none.frames")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EBUSY, "slow down"), "^memory://data cannot be read: slow down; run again once its store"),
        (PermissionError(errno.EACCES, "denied"), "^data.root: memory://data cannot be listed: denied$"),
    ],
)
def test_folders_that_a_store_does_not_list_are_one_sentence(
    memory: str, monkeypatch: pytest.MonkeyPatch, error: OSError, expected: str
) -> None:
    def fail(path: str, **_: object) -> object:
        raise error

    monkeypatch.setattr(calls, "_PAUSE_S", 0.001)
    monkeypatch.setattr(fsspec.filesystem("memory"), "ls", fail)
    with pytest.raises(ImagegateError, match=expected):
        storage.folders(memory)


def test_a_file_that_may_not_be_read_is_asked_for_once(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fail(path: str, **_: object) -> bytes:
        asked.append(path)
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(fsspec.filesystem("memory"), "cat_file", fail)
    with pytest.raises(PermissionError):
        storage.read(memory, "cat/1.png")
    assert len(asked) == 1
