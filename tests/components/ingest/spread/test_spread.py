"""The plan of an ingest as files, shards on any worker, and what did not come back."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import object_store
import pytest
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from PIL import Image

from components.base.errors import ImagegateError
from components.data.dataset import SPLITS, Dataset, Record
from components.data.storage.objects import Objects
from components.ingest import earlier, shards
from components.ingest.counts.census import Report
from components.ingest.earlier import Earlier
from components.ingest.spread import place
from components.ingest.spread import plan as spread
from components.ingest.spread.place import Place
from components.ingest.spread.plan import Plan, UnseenError
from components.ingest.stored import copies
from components.ingest.stored.copies import NO_FILES, NOTHING, Files, Kept, Known
from components.stages import ingest

SHARES = {"train": 0.8, "eval": 0.1, "test": 0.1}
KNOWN = Known("report", {2: Kept("Split-train/a", 5, "digest", b"\xff", b"row", b"[]\n", b"")}, [2])


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    root, records = tmp_path / "data", []
    root.mkdir()
    for i in range(12):
        out = io.BytesIO()
        Image.new("RGB", (8, 8), (20 * i, 0, 0)).save(out, "PNG")
        (root / f"\udcff{i}.png").write_bytes(out.getvalue())  # names that are no UTF-8, too
        records.append(Record(f"\udcff{i}.png", ("cat",), None, 100, "1", moments=(("a", 1.5), ("b", None)) * (i == 3)))
    return Dataset(str(root), ("cat",), tuple(dataclasses.replace(r, moments=()) for r in records), SHARES)


def planned(dataset: Dataset, folder: Path) -> Plan:
    parts = shards.plan(dataset.records)
    return spread.write(str(folder), parts, shards.job(dataset, 1000), [NOTHING] * len(parts), NO_FILES)


def done(plan: Plan) -> None:
    for index in range(plan.count):
        spread.work(plan, index, lambda _: None)


def test_shards_are_those_of_one_process_and_nothing_is_left_beside_them(dataset: Dataset, tmp_path: Path) -> None:
    plan = planned(dataset, tmp_path / "out")
    done(plan)
    spread.work(plan, 1, lambda _: None)  # a worker may be told twice
    found = list(spread.reports(plan))
    spread.remove(plan.folder)
    assert sorted(os.listdir(plan.folder)) == ["Split-eval", "Split-test", "Split-train"]
    parts, job = shards.plan(dataset.records), shards.job(dataset, 1000)
    for index, (report, records) in enumerate(zip(found, parts, strict=True)):
        alone = shards.write(str(tmp_path / "alone"), index, len(parts), records, job, lambda _: None)
        assert report.to_json() == alone.to_json()


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    record = Record(
        "\udcff.npy",
        ("a", "b"),
        "test",
        3,
        "v",
        ("c",),
        0.5,
        "g",
        (("k", "v"),),
        "m",
        "[]",
        (("x", 1.5), ("y", None)),
        (3, 4),
    )
    folder = str(tmp_path)
    spread.write(
        folder,
        [[record]],
        shards.job(Dataset("/r", ("a",), (), SHARES), 10),
        [KNOWN],
        NO_FILES,
    )
    with open(os.path.join(folder, ".plan", "0000000.json"), encoding="ascii") as f:
        rows, known = json.load(f)
    assert [Record(*map(spread.census.tupled, row)) for row in rows] == [record]
    assert copies.of_plain(known) == KNOWN


def test_a_worker_that_does_not_see_the_plan_or_the_images_says_so(dataset: Dataset, tmp_path: Path) -> None:
    plan = planned(dataset, tmp_path / "out")
    with pytest.raises(
        UnseenError, match=r"worker \S+ does not see /elsewhere; all workers must see the folders of data"
    ):
        spread.work(dataclasses.replace(plan, folder="/elsewhere"), 0, lambda _: None)
    shutil.rmtree(dataset.root)
    with pytest.raises(UnseenError, match=rf"worker \S+ does not see {dataset.root}; "):
        spread.work(plan, 0, lambda _: None)


def test_shards_on_the_disks_of_the_workers_are_missed(dataset: Dataset, tmp_path: Path) -> None:
    """A worker that sees the plan by another way, as in a container with a copy, but writes to its own disk."""
    plan = planned(dataset, tmp_path / "out")
    own = tmp_path / "own"
    shutil.copytree(plan.folder, own)
    done(dataclasses.replace(plan, folder=str(own)))
    with pytest.raises(
        UnseenError, match=r"4 of 4 shards that the workers wrote are not in .*out, so the workers wrote"
    ):
        spread.reports(plan)


def test_a_shard_that_is_not_as_its_report_says_is_missed(dataset: Dataset, tmp_path: Path) -> None:
    plan = planned(dataset, tmp_path / "out")
    done(plan)
    cut = next(Path(plan.folder, "Split-train").iterdir())
    cut.write_bytes(cut.read_bytes()[:-1])
    with pytest.raises(UnseenError, match="1 of 4 shards"):
        spread.reports(plan)


def test_settings_that_another_run_wrote_are_not_loaded(dataset: Dataset, tmp_path: Path) -> None:
    plan = planned(dataset, tmp_path / "out")
    with open(os.path.join(plan.folder, ".plan", "job"), "ab") as f:
        f.write(b".")
    with pytest.raises(ImagegateError, match="is not what this run wrote"):
        spread.work(plan, 0, lambda _: None)


def _rows(dataset: Dataset, split: str) -> Earlier:
    """As if an earlier run had put all images of the data set into one split."""
    paths = (Path(dataset.root, record.path) for record in dataset.records)
    digests = sorted(hashlib.sha256(path.read_bytes()).digest()[:8][::-1] for path in paths)
    rows = np.zeros(len(digests), earlier.ROW)
    rows["sha256"] = [int.from_bytes(digest, "big") for digest in digests]
    rows["split"] = rows["bound"] = SPLITS.index(split)
    return Earlier(rows)


@pytest.fixture
def with_earlier(dataset: Dataset, tmp_path: Path) -> Plan:
    parts, job = shards.plan(dataset.records), shards.job(dataset, 1000, earlier=_rows(dataset, "test"))
    return spread.write(str(tmp_path / "out"), parts, job, [NOTHING] * len(parts), NO_FILES)


def test_workers_know_the_splits_of_earlier_runs(with_earlier: Plan) -> None:
    done(with_earlier)
    assert {split for report in spread.reports(with_earlier) for split in report.splits().values()} == {"test"}


def test_earlier_splits_that_another_run_wrote_are_not_believed(with_earlier: Plan) -> None:
    path = os.path.join(with_earlier.folder, ".plan", "earlier.npy")
    rows = np.load(path)
    rows["bound"] = SPLITS.index("eval")
    np.save(path, rows)
    with pytest.raises(ImagegateError, match=r"earlier.npy is not what this run wrote"):
        spread.work(with_earlier, 0, lambda _: None)


def test_half_written_files_of_killed_workers_are_swept(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".partial-train-data-00000-of-00004.tfrecord.77-abc").write_bytes(b"half")
    plan = planned(dataset, tmp_path / "out")
    done(plan)
    spread.remove(plan.folder)
    assert not [name for name in os.listdir(plan.folder) if name.startswith(".")]


class _Measured(beam.Pipeline):
    """Remembers the size of its graph."""

    sizes: list[int] = []  # noqa: RUF012

    def run(self, *args: object, **kwargs: object) -> object:
        self.sizes.append(self.to_runner_api().ByteSize())
        return super().run(*args, **kwargs)


def _pipeline() -> beam.Pipeline:
    return _Measured(runner=FnApiRunner())


def test_the_job_graph_is_as_small_for_many_images(dataset: Dataset, tmp_path: Path) -> None:
    """Beside a broken file that is there, 20,000 others are named in the plan; the graph does not grow by a byte."""
    _Measured.sizes.clear()
    many = tuple(Record(f"gone/{i:06}.png", ("cat",), "train", 100, "1") for i in range(20_000))
    for i, records in enumerate((dataset.records, many)):
        data = dataclasses.replace(dataset, records=records)
        parts, job = shards.plan(records), shards.job(data, 1000)
        found = ingest.write_shards(_pipeline, str(tmp_path / f"{i}"), parts, job, [NOTHING] * len(parts), NO_FILES)
        assert sum(len(report.paths) + len(report.quarantined) for report in found) == len(records)
    few, more = _Measured.sizes
    assert abs(more - few) < 100
    assert more < 50_000


def test_what_a_worker_does_not_see_is_the_error_of_the_run(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job fails with a long error of Beam; the run with one sentence."""
    work: Callable[..., None] = spread.work

    def elsewhere(plan: Plan, *rest: object) -> None:
        work(dataclasses.replace(plan, folder="/not/here"), *rest)

    monkeypatch.setattr(ingest.spread, "work", elsewhere)
    parts, job = shards.plan(dataset.records), shards.job(dataset, 1000)
    with pytest.raises(UnseenError) as caught:
        ingest.write_shards(_pipeline, str(tmp_path / "out"), parts, job, [NOTHING] * len(parts), NO_FILES)
    assert str(caught.value).startswith("worker ")
    assert "\n" not in str(caught.value)
    assert "Beam" not in str(caught.value)


@pytest.fixture
def url(server: str) -> str:
    """Of a folder in an S3 server."""
    return "s3://models/runs/ImageExampleGen/examples/7"


def digests(reports: Iterable[Report]) -> dict[str, str]:
    return {file.name: file.sha256 for report in reports for file in report.files}


def handed(
    folder: Path, url: str, dataset: Dataset, known: Sequence[Known] = (), there: Files | None = None
) -> tuple[Plan, Plan]:
    """The plan in a folder, and in a store."""
    parts, job = shards.plan(dataset.records), shards.job(dataset, 1000)
    plan = spread.write(str(folder), parts, job, known or [NOTHING] * len(parts), NO_FILES)
    return spread.hand(plan, url, job, there or NO_FILES), plan


def test_workers_write_to_a_store_what_they_would_write_to_a_folder(dataset: Dataset, url: str, tmp_path: Path) -> None:
    parts, job = shards.plan(dataset.records), shards.job(dataset, 1000)
    alone = [shards.write(str(tmp_path), i, len(parts), part, job, lambda _: None) for i, part in enumerate(parts)]
    plans = handed(tmp_path / "plan", url, dataset)
    done(plans[0])
    found = spread.collect(*plans)
    assert [report.to_json() for report in found] == [report.to_json() for report in alone]
    spread.remove(url)
    store = Objects(url, "test")
    assert {name: store.digest(name) for name in store.names()} == digests(alone)

    # The next ingest copies the shards of equal images within the store.
    known = [Known(report.to_json()) for report in found]
    after = handed(tmp_path / "next", f"{url[:-1]}8", dataset, known, Files(url))
    os.rename(dataset.root, f"{dataset.root}.away")
    os.mkdir(dataset.root)  # nothing of it can be read any more
    done(after[0])
    assert digests(spread.collect(*after)) == digests(alone)


def test_single_records_of_shards_in_the_store_are_copied(dataset: Dataset, url: str, tmp_path: Path) -> None:
    plans = handed(tmp_path / "plan", url, dataset)
    done(plans[0])
    found = spread.collect(*plans)
    known = [Known("", copies.kept(report, {i: i for i in range(len(report.paths))})) for report in found]
    after = handed(tmp_path / "next", f"{url[:-1]}8", dataset, known, Files(url))
    os.rename(dataset.root, f"{dataset.root}.away")
    os.mkdir(dataset.root)  # nothing of it can be read any more
    done(after[0])
    again = spread.collect(*after)
    assert digests(again) == digests(found)
    assert again.reused == len(dataset.records)


def test_where_an_earlier_file_is_gone_from_the_store_the_images_are_read(
    dataset: Dataset, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = handed(tmp_path / "plan", url, dataset)
    done(plans[0])
    found = spread.collect(*plans)
    known = [Known("", copies.kept(report, {i: i for i in range(len(report.paths))})) for report in found]
    Objects(url, "test").remove(f"Split-train/{shards.name(2, 4)}")
    after = handed(tmp_path / "next", f"{url[:-1]}8", dataset, known, Files(url))
    left, whole = [], shards.write

    def write(folder: str, *others: Any) -> Any:
        left.append(sorted(os.listdir(folder)))
        return whole(folder, *others)

    monkeypatch.setattr(spread.shards, "write", write)
    done(after[0])
    again = spread.collect(*after)
    assert digests(again) == digests(found)
    assert again.reused == len(dataset.records) - len(found[2].paths)
    assert left == [["earlier"], ["earlier"], [], ["earlier"]]  # what was fetched in vain takes no room


def test_a_shard_that_is_not_in_the_store_is_missed(dataset: Dataset, url: str, tmp_path: Path) -> None:
    plans = handed(tmp_path / "plan", url, dataset)
    done(plans[0])
    Objects(url, "test").remove(f"Split-train/{shards.name(2, 4)}")
    with pytest.raises(UnseenError, match=r"1 of 4 shards are not in s3://models/.* as the workers wrote them; run"):
        spread.collect(*plans)


def test_a_worker_that_does_not_reach_the_store_says_so(
    dataset: Dataset, url: str, server: str, tmp_path: Path
) -> None:
    plan, _ = handed(tmp_path / "plan", url, dataset)
    object_store.faults(server, ("GET", ".plan", 10**6, "403"))
    with pytest.raises(UnseenError, match=r"^worker \S+ does not see s3://models/.* \(.*\); workers need the packages"):
        spread.work(plan, 0, lambda _: None)


def test_the_folder_of_the_shards_is_filled_from_the_store(dataset: Dataset, url: str, tmp_path: Path) -> None:
    folder = tmp_path / "copy"

    def fetch(files: Collection[str], sums: Mapping[str, str]) -> None:
        for name in files:
            Objects(url, "test").get(name, str(folder / name))

    def pipeline() -> beam.Pipeline:
        return beam.Pipeline(FnApiRunner())

    parts, job = shards.plan(dataset.records), shards.job(dataset, 1000)
    there = Place(url, lambda folder: f"s3://models/{folder}", fetch)
    with place.at(there):
        found = digests(ingest.write_shards(pipeline, str(folder), parts, job, [NOTHING] * 4, NO_FILES))
    assert there.there == found
    spread.remove(str(folder))
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {name: hashlib.sha256(content).hexdigest() for name, content in files.items()} == found
    assert place.current() is None
    assert Objects(url, "test").names().keys() == files.keys()  # the plan and the reports are gone


def test_a_worker_that_cannot_write_to_the_store_says_so(
    dataset: Dataset, url: str, server: str, tmp_path: Path
) -> None:
    plan, _ = handed(tmp_path / "plan", url, dataset)
    object_store.faults(server, ("PUT", "Split-", 10**6, "403"))
    with pytest.raises(UnseenError, match=r"^worker \S+ cannot write s3://models/.* \(.*\); workers need the packages"):
        spread.work(plan, 0, lambda _: None)


def test_an_earlier_shard_that_was_cut_in_the_store_is_written_anew(dataset: Dataset, url: str, tmp_path: Path) -> None:
    plans = handed(tmp_path / "plan", url, dataset)
    done(plans[0])
    found = spread.collect(*plans)
    known, expected = [Known(report.to_json()) for report in found], digests(found)
    cut = Objects(url, "test")
    name = f"Split-train/{shards.name(2, 4)}"
    cut.put(name, (cut.read(name) or b"")[:-4])
    after = handed(tmp_path / "next", f"{url[:-1]}8", dataset, known, Files(url))
    done(after[0])
    assert digests(spread.collect(*after)) == expected
