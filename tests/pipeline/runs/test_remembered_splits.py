"""The splits of a run are kept for later ones, and what keeps them from being written hides no other error."""

from pathlib import Path

import pytest

from components.base.artifact_files import EARLIER_SPLITS
from pipeline import config
from pipeline.disk.room import NoRoom
from pipeline.runs import local, summary


@pytest.fixture
def one(tmp_path: Path) -> summary.Summary:
    """A run whose data the data gate has accepted, but whose output is not there yet."""
    (tmp_path / "imagegate.yaml").write_text(
        "name: birds\ntask: single_label\ndata: {root: data}\npush: {destination: models}\n"
    )
    one = summary.Summary(config.load(str(tmp_path / "imagegate.yaml")))
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / EARLIER_SPLITS).write_bytes(b"splits")
    one.artifacts = {"examples": str(tmp_path / "examples"), "class_balance": "accepted"}
    return one


def test_splits_are_kept_also_of_a_run_that_a_later_stage_ended(one: summary.Summary) -> None:
    output = Path(one.config.output_folder)
    output.mkdir(parents=True)
    with local.remembered_splits(one.config, one, ()):
        pass
    assert (output / EARLIER_SPLITS).read_bytes() == b"splits"
    (output / EARLIER_SPLITS).unlink()
    with pytest.raises(NoRoom, match=r"^Trainer: "), local.remembered_splits(one.config, one, ()):
        raise NoRoom("Trainer: no space left on device")
    assert (output / EARLIER_SPLITS).read_bytes() == b"splits"
    assert one.notes == []


def test_the_error_of_a_stage_stays_where_the_splits_cannot_be_written_either(one: summary.Summary) -> None:
    with pytest.raises(NoRoom, match=r"^Trainer: no space"), local.remembered_splits(one.config, one, ()):
        raise NoRoom("Trainer: no space left on device")
    [note] = one.notes
    assert note.startswith("warning: the splits of this run are not known to later ones: ")
    with pytest.raises(FileNotFoundError), local.remembered_splits(one.config, one, ()):
        pass
