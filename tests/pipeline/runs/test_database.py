"""A database of metadata that no run can use is named before anything heavy, in `run` and `check`."""

import os
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.base.errors import ConfigError
from pipeline import cli
from pipeline.runs import database

Png = Callable[..., bytes]
WriteFiles = Callable[..., Path]
_NOBODY = 65534


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What ML Metadata writes, with a few rows."""
    path = tmp_path_factory.mktemp("intact") / database.NAME
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(path)
    store = metadata_store.MetadataStore(config)
    store.put_context_type(mlmd.ContextType(name="a"))
    del store  # closes it
    return path.read_bytes()


@pytest.fixture
def output(tmp_path: Path, intact: bytes) -> Path:
    (tmp_path / database.NAME).write_bytes(intact)
    return tmp_path


def changed(output: Path, statement: str) -> None:
    with closing(sqlite3.connect(output / database.NAME)) as connection, connection:
        connection.execute(statement)


def cut(output: Path) -> None:
    path = output / database.NAME
    path.write_bytes(path.read_bytes()[:10_000])


def overwritten(output: Path) -> None:
    path = output / database.NAME
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * 4096 + content[8192:])


def folder(output: Path) -> None:
    (output / database.NAME).unlink()
    (output / database.NAME).mkdir()


def link(output: Path) -> None:
    (output / database.NAME).unlink()
    (output / database.NAME).symlink_to("nowhere")


FAULTS = {
    "text": (lambda o: (o / database.NAME).write_text("not a database " * 100), "is not a database; move it away"),
    "cut": (cut, "is damaged"),
    "overwritten": (overwritten, "is damaged"),
    "folder": (folder, "is not a file; "),
    "link": (link, "is a link to nothing; "),
    "foreign": (lambda o: changed(o, "ALTER TABLE Event RENAME TO Occurrence"), "is not a database of runs, .* Event;"),
    "newer": (
        lambda o: changed(o, "UPDATE MLMDEnv SET schema_version = 11"),
        r"was written by a newer version .* 11, not 10\)",
    ),
    "emptied": (lambda o: changed(o, "DELETE FROM MLMDEnv"), "is damaged .*MLMDEnv should hold one version"),
}


@pytest.mark.parametrize(("harm", "message"), FAULTS.values(), ids=FAULTS)
def test_a_database_that_no_run_can_use_is_named(output: Path, harm: Callable[[Path], object], message: str) -> None:
    database.check(str(output))
    harm(output)
    with pytest.raises(ConfigError, match=rf"^output: {re.escape(str(output))}/metadata\.sqlite {message}"):
        database.check(str(output))


def test_no_database_and_an_empty_one_are_fine(tmp_path: Path) -> None:
    """SQLite itself leaves an empty file where a run is killed as it makes the database."""
    database.check(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / database.NAME).touch()
    database.check(str(tmp_path))
    assert (tmp_path / database.NAME).read_bytes() == b""


def test_the_check_changes_nothing(output: Path, intact: bytes) -> None:
    database.check(str(output))
    assert [path.name for path in output.iterdir()] == [database.NAME]
    assert (output / database.NAME).read_bytes() == intact


def test_a_database_that_another_process_holds_is_named(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_WAIT", 0.1)
    with closing(sqlite3.connect(output / database.NAME, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ConfigError, match=r"metadata\.sqlite is locked by another process; wait"):
            database.check(str(output))
    database.check(str(output))


@pytest.fixture
def unprivileged() -> Iterator[None]:
    root = os.geteuid() == 0
    if root:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_database_without_permission_is_named(intact: bytes, unprivileged: None) -> None:
    with tempfile.TemporaryDirectory() as output:
        path = Path(output, database.NAME)
        path.write_bytes(intact)
        path.chmod(0o444)
        with pytest.raises(ConfigError, match=r"metadata\.sqlite cannot be written: permission denied; change that"):
            database.check(output)


@pytest.mark.parametrize("command", ["check", "run"])
def test_the_commands_say_so_before_they_read_the_data(
    tmp_path: Path, write_files: WriteFiles, png: Png, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    write_files(tmp_path / "images", {f"{label}/0.png": png(i) for i, label in enumerate(["cat", "dog"])})
    told = {"name": "pets", "task": "single_label", "data": {"root": "images"}, "push": {"destination": "served"}}
    (tmp_path / "imagegate.yaml").write_text(yaml.safe_dump(told))
    (tmp_path / "runs/pets").mkdir(parents=True)
    (tmp_path / "runs/pets" / database.NAME).write_text("no database")
    assert cli.main([command, str(tmp_path / "imagegate.yaml")]) == 2
    assert "metadata.sqlite is not a database;" in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in (tmp_path / "runs/pets").iterdir()] == [database.NAME]
