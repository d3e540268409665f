"""What a stage hands on is what the next one reads, in this run and in later ones."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from components.base.errors import ImagegateError
from pipeline.runs.handed_on import HandedOn

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of b"abc", FIPS 180-2


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An artifact of two files."""
    folder = tmp_path / "pipeline" / "Trainer" / "model" / "7"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"abc")
    (folder / "variables" / "data").write_bytes(b"weights")
    return folder


def flip(folder: Path) -> None:
    """One bit, with the size and the modification time that it had."""
    path = folder / "saved_model.pb"
    status = path.stat()
    path.write_bytes(b"abb")  # "c" is 0x63, "b" is 0x62
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def swap(folder: Path) -> None:
    (folder / "saved_model.pb").rename(folder / "aside")
    (folder / "variables" / "data").rename(folder / "saved_model.pb")
    (folder / "aside").rename(folder / "variables" / "data")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "one bit flipped": (
        flip,
        f"saved_model.pb changed after it was written: expected SHA-256 {ABC}, found [0-9a-f]{{64}}",
    ),
    "emptied": (lambda f: (f / "saved_model.pb").write_bytes(b""), "saved_model.pb changed after it was written"),
    "two files swapped": (swap, "saved_model.pb changed after it was written"),
    "gone": (lambda f: (f / "saved_model.pb").unlink(), "saved_model.pb is missing"),
    "one too many": (lambda f: (f / "x").write_bytes(b""), "x was not there when its folder was written"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("later", [False, True], ids=["between two stages", "between two runs"])
def test_every_change_is_found_and_named(
    tmp_path: Path, model: Path, damage: Callable[[Path], object], message: str, later: bool
) -> None:
    run = HandedOn(str(tmp_path))
    run.add(str(model), cached=False)
    run.check()
    damage(model)
    if later:
        run = HandedOn(str(tmp_path))
        run.add(str(model), cached=True)
    with pytest.raises(ImagegateError, match=rf"^{model}/{message}.*; run again with --force$") as error:
        run.check()
    assert error.value.exit_code == 1


def test_an_artifact_written_anew_under_the_same_name_counts_as_it_is(tmp_path: Path, model: Path) -> None:
    """As after `rm metadata.sqlite`, which numbers the artifacts from 1 again."""
    HandedOn(str(tmp_path)).add(str(model), cached=False)
    flip(model)
    again = HandedOn(str(tmp_path))
    again.add(str(model), cached=False)
    again.check()


def test_an_artifact_without_digests_counts_as_it_is(tmp_path: Path, model: Path) -> None:
    """As after a kill between the end of the stage and the digests."""
    run = HandedOn(str(tmp_path))
    run.add(str(model), cached=True)
    run.check()
    flip(model)
    with pytest.raises(ImagegateError, match=r"saved_model\.pb changed after it was written"):
        run.check()


def test_digests_of_artifacts_that_were_removed_go_with_the_next(tmp_path: Path, model: Path) -> None:
    HandedOn(str(tmp_path)).add(str(model), cached=False)
    after = model.with_name("9")
    model.rename(after)
    HandedOn(str(tmp_path)).add(str(after), cached=False)
    assert os.listdir(tmp_path / "digests" / "pipeline" / "Trainer" / "model") == ["9.json"]
