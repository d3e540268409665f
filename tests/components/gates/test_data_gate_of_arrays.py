"""Rules on arrays: shares of valid pixels, bands of one value, bands that are copies."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from components.base.verdict import Verdict
from components.data.arrays.spec import Bands, ByBand
from components.data.dataset import Dataset, Record
from components.gates import data_gate
from components.gates.settings import DataGateLimits
from components.ingest import census, settling, shards

BANDS = Bands(names=("a", "b", "c"), frames=2, invalid="nan")
SPLITS = {"train": 0.8, "eval": 0.1, "test": 0.1}


def judged(folder: Path, arrays: Sequence[NDArray[Any]], bands: Bands = BANDS, **limits: Any) -> list[Verdict]:
    """Judges arrays of which the last two are eval and test."""
    records = []
    for i, array in enumerate(arrays):
        out = io.BytesIO()
        np.save(out, array.astype(np.float32))
        (folder / f"{i}.npy").write_bytes(out.getvalue())
        split = ("eval", "test")[i - len(arrays)] if i >= len(arrays) - 2 else "train"
        records.append(Record(f"{i}.npy", ("x",), split, 1, ""))
    dataset = Dataset(str(folder), ("x",), tuple(records), SPLITS)
    job, report = shards.job(dataset, 10_000, bands=bands), census.Report()
    for item in shards.examine(records, job):
        assert item.problem == ""
        shards.enter(item, report)
    manifest, images = settling.merge(dataset, [census.Report.from_json(report.to_json())], job, None)
    told = DataGateLimits(max_bad_fraction=None, contradictions=False, min_labels=1, **limits)
    return [
        verdict
        for verdict in data_gate.check(manifest, images, told)
        if "pixels of" in verdict.rule or "bands" in verdict.rule
    ]


def noise(*shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=shape)


def failed(verdicts: Sequence[Verdict]) -> list[str]:
    return [verdict.reason for verdict in verdicts if not verdict.passed]


def test_sound_arrays_pass(tmp_path: Path) -> None:
    assert failed(judged(tmp_path, [noise(2, 4, 5, 3) + i for i in range(4)])) == []


def test_a_missing_moment_and_clouds_are_pixels_without_information(tmp_path: Path) -> None:
    """Of 2 x 20 pixels, 20 are missing with their moment and 10 are NaN: 30 / 40, in eval alone."""
    cloudy = noise(1, 4, 5, 3)
    cloudy[0, :2] = np.nan
    whole = noise(2, 4, 5, 3)
    verdicts = judged(tmp_path, [whole, whole + 1, cloudy, whole + 2], max_invalid=0.7)
    assert [verdict.value for verdict in verdicts[:3]] == pytest.approx([0, 0.75, 0])
    [reason] = failed(verdicts)
    assert reason.startswith("share of the pixels of eval without information is 0.75, above the maximum 0.7")


def test_a_constant_band_and_a_copy_are_named(tmp_path: Path) -> None:
    arrays = [noise(2, 4, 5, 3) + i for i in range(4)]
    for array in arrays:
        array[..., 1] = 7
        array[..., 2] = array[..., 0]
    one, two = failed(judged(tmp_path, arrays))
    assert one.startswith(
        "number of bands with one value in all of train is 1, above the maximum 0: b. Remove the band"
    )
    assert two.startswith("number of bands that are copies of another is 1, above the maximum 0: c of a. Remove one")
    assert failed(judged(tmp_path, arrays, allow_useless_bands=True)) == []
    arrays[0][0, 0, 0, 2] += 1  # a copy but for one value is none
    assert len(failed(judged(tmp_path, arrays))) == 1


def test_a_band_that_says_which_pixels_are_valid_may_have_one_value_where_they_are(tmp_path: Path) -> None:
    arrays = [noise(2, 4, 5, 3) + i for i in range(4)]
    for array in arrays:
        array[..., 1] = noise(2, 4, 5) > 0
    bands = BANDS.model_copy(update={"invalid": ByBand(band="b", below=0.5)})
    assert failed(judged(tmp_path, arrays, bands)) == []
