"""Files are replaced as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from components.base.files import replacing, write_atomically


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomically(str(path), "ä")
    assert path.read_bytes() == "ä".encode()
    write_atomically(str(path), b"\xff")
    assert path.read_bytes() == b"\xff"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def half(temporary: str) -> None:
        Path(temporary).write_text("ne")
        raise ValueError

    with pytest.raises(ValueError), replacing(str(path)) as temporary:  # noqa: PT011  raised here
        half(temporary)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "no folder" / "a.json"
    with pytest.raises(FileNotFoundError) as raised:
        write_atomically(str(path), "")
    assert raised.value.filename == str(path)


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with replacing(str(path), shared=True) as first:
        Path(first).write_text("the first, half")
        write_atomically(str(path), "the second", shared=True)
        assert path.read_text() == "the second"
        Path(first).write_text("the first")
    assert path.read_text() == "the first"
    assert list(tmp_path.iterdir()) == [path]
