"""Ingest of arrays: counts, masks where nothing is seen, and shards that other rules of validity change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.data import mask_rules
from components.data.arrays.spec import Bands, ByValue
from components.data.dataset import Dataset, Record
from components.ingest import reuse, settling, shards
from components.ingest.counts import census

SPLITS = {"train": 0.8, "eval": 0.1, "test": 0.1}
RULE = mask_rules.rule(("left", "right"))
BANDS = Bands(names=("a", "b"))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Six images whose left half is NaN, with masks of two labels: the left half and the right one."""
    records = []
    for i in range(6):
        pixels = np.random.default_rng(i).normal(size=(8, 8, 2)).astype(np.float32)
        pixels[:, :4] = np.nan
        np.save(tmp_path / f"{i}.npy", pixels)
        Image.fromarray(np.repeat([[0] * 4 + [1] * 4], 8, axis=0).astype(np.uint8)).save(tmp_path / f"{i}.png")
        split = "train" if i < 4 else ("eval", "test")[i % 2]
        records.append(Record(f"{i}.npy", (), split, 100, "", mask=f"{i}.png"))
    return Dataset(str(tmp_path), ("left", "right"), tuple(records), SPLITS)


def test_no_pixel_counts_of_which_nothing_is_seen(dataset: Dataset) -> None:
    job, report = shards.job(dataset, 1000, RULE, bands=BANDS), census.Report()
    for item in shards.examine(dataset.records, job):
        assert item.problem == ""
        shards.enter(item, report)
    manifest, _ = settling.merge(dataset, [report], job, None)
    # [own, known of the images with any, all of these images]: of the left, none; of the right, 4 x 32 of 4 x 32.
    assert [list(cell) for cell in manifest.pixels["train"]] == [[0, 0, 0], [128, 128, 256], [128, 128, 256]]
    [note] = [note for note in manifest.notes if "never valid" in note]
    assert note.startswith("6 images")
    assert manifest.arrays is not None
    assert manifest.arrays.valid == {"train": 0.5, "eval": 0.5, "test": 0.5}
    right = np.concatenate([np.load(Path(dataset.root, f"{i}.npy"))[:, 4:].reshape(-1, 2) for i in range(4)])
    np.testing.assert_allclose(manifest.arrays.mean, right.astype(np.float64).mean(axis=0), rtol=1e-12)


def test_shards_follow_what_says_which_pixels_are_valid(dataset: Dataset) -> None:
    job = shards.job(dataset, 1000, RULE, bands=BANDS)
    other = shards.job(dataset, 1000, RULE, bands=BANDS.model_copy(update={"invalid": ByValue(value=0.5)}))
    digests = dict.fromkeys((record.path for record in dataset.records), "x")
    keys = {reuse.key(dataset.records, digests, one, "code") for one in (job, replace(job), other)}
    assert len(keys) == 2


def test_files_unlike_most_are_quarantined(dataset: Dataset) -> None:
    np.save(Path(dataset.root, "0.npy"), np.zeros((8, 8, 2), np.uint8))
    np.save(Path(dataset.root, "1.npy"), np.zeros((8, 9, 2), np.float32))
    np.save(Path(dataset.root, "2.npy"), np.full((8, 8, 2), np.nan, np.float32))
    job = shards.job(dataset, 1000, RULE, bands=BANDS)
    problems = [item.problem for item in shards.examine(dataset.records, job)]
    assert problems == [
        "values of type uint8; most files have float32",
        "9 x 8 pixels; most files have 8 x 8",
        "no pixel is valid",
        *[""] * 3,
    ]


def test_without_any_readable_array_each_file_is_named(dataset: Dataset) -> None:
    for path in Path(dataset.root).glob("*.npy"):
        path.write_bytes(b"broken")
    job = shards.job(dataset, 1000, RULE, bands=BANDS)
    assert {item.problem for item in shards.examine(dataset.records, job)} == {"no TIFF, .npy, .npz or PNG file"}
