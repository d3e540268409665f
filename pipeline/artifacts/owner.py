"""Whose artifacts lie in a store: numbers of executions come from the database of one output, so it has one owner."""

from __future__ import annotations

import json
import os
import secrets
import socket

from components.base.files import write_atomically
from components.data.storage.objects import Objects
from pipeline.artifacts import written

RECORD = ".owner.json"  # in the store
_MINE = "artifacts.json"  # in the output: the name by which the record knows it


class Owner:
    """The record of the owner in a store. Errors of the store are OSErrors.

    Args:
        objects: of the store.
        output: folder of all runs.
    """

    def __init__(self, objects: Objects, output: str) -> None:
        self._objects, self._path = objects, os.path.join(output, _MINE)

    def other(self) -> str:
        """Names the owner for people where it is another output than this one; "" if it is this one, or none."""
        told = self._read()
        if told is None or self._is_mine(told):
            return ""
        return f"{told.get('name', 'unknown')} on {told.get('host', 'an unknown machine')}"

    def exists(self) -> bool:
        """Whether there is an owner."""
        return self._read() is not None

    def is_own(self) -> bool:
        """Whether the owner is this output."""
        told = self._read()
        return told is not None and self._is_mine(told)

    def take(self, name: str) -> None:
        """Makes this output the owner if there is none; of two that come at once, one becomes it.

        Args:
            name: of the configuration.
        """
        if self._read() is None:
            mine = self._id() or secrets.token_hex(16)
            write_atomically(self._path, json.dumps({"id": mine}))
            told = {"id": mine, "name": name, "host": socket.gethostname()}
            self._objects.calls.create(self._objects.path(RECORD), json.dumps(told).encode())

    def _read(self) -> dict[str, str] | None:
        content = self._objects.read(RECORD)
        return None if content is None else written.parse(content) or {}

    def _is_mine(self, told: dict[str, str]) -> bool:
        return told.get("id", "") == self._id()

    def _id(self) -> str | None:
        try:
            with open(self._path, encoding="ascii") as f:
                return (written.parse(f.read()) or {}).get("id")
        except (OSError, ValueError):  # damaged, and so of nobody
            return None
