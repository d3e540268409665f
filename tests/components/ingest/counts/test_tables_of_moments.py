"""Tables with a row for each moment of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from components.data.arrays import stored
from components.data.dataset import Dataset, LayoutError
from components.ingest import shards
from components.ingest.layouts import reading
from components.ingest.settings import Columns, Data, Labels, Source

HEADER = "field,day,file_name,label"


def written(root: Path, rows: Sequence[str], header: str = HEADER) -> None:
    (root / "table.csv").write_text("\n".join([header, *rows]) + "\n")
    for i in range(6):
        np.save(root / f"{i}.npy", np.full((4, 5, 2), i + 1, np.uint16))


def source(root: Path, **columns: object) -> Source:
    told = Columns.model_validate({"sequence": "field", "time": "day", "labels": "label", **columns})
    data = Data(root=str(root), layout="manifest", manifest="table.csv", columns=told, bands=2, frames=3)
    return Source(exclusive=True, per_pixel=False, data=data, labels=Labels())


def examined(told: Source) -> tuple[Dataset, list[shards.Examined]]:
    dataset, _ = reading.read(told)
    job = shards.job(dataset, 1000, bands=told.data.arrays)
    return dataset, list(shards.examine(dataset.records, job))


def arrays(items: Sequence[shards.Examined]) -> list[stored.Array]:
    return [stored.restored(item.image.encoded) for item in items if item.image is not None]


ROWS = (
    "north,2017-03-01,0.npy,wheat",
    "south,2017-01-31,1.npy,rape",
    "north,2017-01-31,2.npy,wheat",
    "south,2017-03-01T12:00:00,3.npy,rape",
)


def test_rows_of_a_sequence_are_its_moments_in_the_order_of_their_times(tmp_path: Path) -> None:
    """Three different times fit into the three frames, so they are a calendar: each sequence lacks one."""
    written(tmp_path, ROWS)
    dataset, items = examined(source(tmp_path))
    assert [(r.path, r.labels) for r in dataset.records] == [("north.frames", ("wheat",)), ("south.frames", ("rape",))]
    assert "4 rows are the moments of 2 sequences" in " ".join(dataset.notes)
    north, south = arrays(items)
    assert north.pixels[:, 0, 0, 0].tolist() == [3, 1, 0]
    assert north.valid[:, 0, 0].tolist() == [True, True, False]
    assert south.pixels[:, 0, 0, 0].tolist() == [2, 0, 4]
    assert south.valid[:, 0, 0].tolist() == [True, False, True]
    assert (south.times - south.times[0]).tolist() == [0, 29, 29.5]


def test_without_times_the_order_is_that_of_the_rows(tmp_path: Path) -> None:
    written(tmp_path, ROWS)
    north, south = arrays(examined(source(tmp_path, time=None))[1])
    assert north.pixels[:, 0, 0, 0].tolist() == [1, 3]
    assert south.times.tolist() == [0, 1]


def test_numbers_are_days(tmp_path: Path) -> None:
    written(tmp_path, ["7,10.5,0.npy,wheat", "7,3,1.npy,wheat", "8,3,2.npy,rape", "8,10.5,3.npy,rape"])
    dataset, items = examined(source(tmp_path))
    assert [record.path for record in dataset.records] == ["7.frames", "8.frames"]
    assert arrays(items)[0].times.tolist() == [3, 10.5]


def test_a_sequence_with_two_labels_or_a_missing_moment_is_left_out_and_named(tmp_path: Path) -> None:
    written(tmp_path, [*ROWS, "south,2017-02-01,4.npy,wheat", "west,2017-01-31,gone.npy,wheat"])
    dataset, _ = reading.read(source(tmp_path))
    assert [record.path for record in dataset.records] == ["north.frames"]
    reasons = dict(dataset.rejected)
    assert "row 7 of table.csv there is no such file" in reasons["west.frames"]
    assert "the same sequence is named with other labels or values in row" in reasons["south.frames"]
    assert [path for path, _ in dataset.contradictory] == ["south.frames"]


def test_two_moments_of_one_time_are_named(tmp_path: Path) -> None:
    written(tmp_path, [*ROWS, "north,2017-03-01,5.npy,wheat"])
    items = examined(source(tmp_path))[1]
    assert [item.problem for item in items] == ["0.npy and 5.npy have the same date", ""]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("north,1488326400,0.npy,wheat", "1488326400 days are more than a thousand years; seconds since 1970 have to"),
        ("north,yesterday,0.npy,wheat", "row 2: column 'day': expected a date such as 2017-01-03"),
        (",2017-01-31,0.npy,wheat", "row 2: column 'field': expected the name of a sequence"),
        ("../../etc/x,2017-01-31,0.npy,wheat", "row 2: column 'field': expected the name of a sequence"),
    ],
)
def test_a_cell_that_says_nothing_is_named(tmp_path: Path, row: str, told: str) -> None:
    written(tmp_path, [row])
    with pytest.raises(LayoutError, match=told):
        reading.read(source(tmp_path))


def test_a_changed_moment_or_time_changes_the_sequence(tmp_path: Path) -> None:
    def versions() -> list[str]:
        dataset = reading.read(source(tmp_path))[0]
        return [dataset.fingerprint(), *(record.version for record in dataset.records)]

    written(tmp_path, ROWS)
    before = versions()
    (tmp_path / "table.csv").write_text((tmp_path / "table.csv").read_text().replace("2017-03-01,0", "2017-03-02,0"))
    changed = [a != b for a, b in zip(before, versions(), strict=True)]
    assert changed == [True, True, False]


def test_columns_of_sequences_need_frames() -> None:
    with pytest.raises(ValidationError, match="it needs the key frames"):
        Data(root="x", layout="manifest", manifest="t.csv", columns=Columns(sequence="s"), bands=2)
    with pytest.raises(ValidationError, match=r"it needs the key columns\.sequence"):
        Data(root="x", layout="manifest", manifest="t.csv", columns=Columns(time="s"), bands=2, frames=2)


def test_a_file_that_is_named_twice_is_told(tmp_path: Path) -> None:
    written(tmp_path, [*ROWS, "north,2017-04-01,0.npy,wheat"])
    dataset, _ = reading.read(source(tmp_path))
    assert dict(dataset.rejected)["north.frames"].endswith(
        "0.npy is a moment in row 2 of table.csv and in row 6 of table.csv"
    )


def test_dates_in_the_names_make_a_calendar_as_a_column_does(tmp_path: Path) -> None:
    rows = []
    for i, (field, day) in enumerate((("n", "2017-01"), ("n", "2017-03"), ("s", "2017-02"), ("s", "2017-03"))):
        rows.append(f"{field},{field}_{day}.npy,{'wheat' if field == 'n' else 'rape'}")
        np.save(tmp_path / f"{field}_{day}.npy", np.full((4, 5, 2), i + 1, np.uint16))
    written(tmp_path, rows, header="field,file_name,label")
    north, south = arrays(examined(source(tmp_path, time=None))[1])
    assert north.pixels[:, 0, 0, 0].tolist() == [1, 0, 2]
    assert south.pixels[:, 0, 0, 0].tolist() == [0, 3, 4]
