"""The database of metadata in which TFX records what each stage read and wrote: whether a run can use it."""

from __future__ import annotations

import os
import pathlib
import sqlite3
from contextlib import closing

from components.base.errors import ConfigError

NAME = "metadata.sqlite"  # below the output
_TABLES = {"Artifact", "Execution", "Event", "Context", "MLMDEnv"}  # some that ML Metadata needs
_VERSION = 10  # of ML Metadata's tables; an older version is brought up to date by itself
_WAIT = 5.0  # seconds for another process to finish its transaction
_ANEW = "move it away, and the next run makes a new one and runs every stage again; models and history stay"


def check(output: str) -> None:
    """Raises ConfigError unless the database of an output can be read and written, or does not exist yet.

    It is not changed, except that SQLite itself takes back what a killed process did not finish.
    """
    path = os.path.join(output, NAME)
    if reason := fault(path):
        raise ConfigError(f"output: {path} {reason}")


def fault(path: str) -> str:
    """What keeps a run from using this database, as the end of a sentence that begins with its path; "" if nothing."""
    if not os.path.lexists(path):
        return ""
    if not os.path.exists(path):
        return "is a link to nothing; remove it"
    if not os.path.isfile(path):
        return "is not a file; expected the database that runs write; move it away"
    try:
        # Not by os.access, which knows nothing of a file system that is read-only for this user alone.
        with open(path, "r+b"):
            pass
        with closing(_open(path)) as connection:
            return _fault(connection)
    except OSError as error:
        return _closed(error.strerror or str(error))
    except sqlite3.Error as error:
        return _told(str(error))


def _open(path: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{pathlib.Path(path).absolute().as_uri()}?mode=rw", _WAIT, isolation_level=None, uri=True)


def _fault(connection: sqlite3.Connection) -> str:
    connection.execute("BEGIN IMMEDIATE")  # as for writing
    connection.execute("ROLLBACK")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    [[intact]] = connection.execute("PRAGMA quick_check(1)")
    if intact != "ok":
        return f"is damaged ({' '.join(intact.split())}); {_ANEW}"
    if not tables:
        return ""  # new
    if missing := sorted(_TABLES - tables):
        return f"is not a database of runs, since it has no table {missing[0]}; {_ANEW}"
    versions = [version for (version,) in connection.execute("SELECT schema_version FROM MLMDEnv")]
    if len(versions) != 1 or not isinstance(versions[0], int):
        return f"is damaged (its table MLMDEnv should hold one version); {_ANEW}"
    if versions[0] > _VERSION:
        return f"was written by a newer version (its tables have version {versions[0]}, not {_VERSION}); {_ANEW}"
    return ""


def _told(reason: str) -> str:
    """The same for an error of SQLite, which has stable texts."""
    if "locked" in reason:
        return "is locked by another process; wait until that has ended"
    if "readonly" in reason:
        return _closed(reason)
    if "not a database" in reason:
        return f"is not a database; {_ANEW}"
    if "malformed" in reason:
        return f"is damaged; {_ANEW}"
    return f"cannot be used: {reason}"


def _closed(reason: str) -> str:
    return f"cannot be written: {reason[:1].lower()}{reason[1:]}; change that, or choose another output"
