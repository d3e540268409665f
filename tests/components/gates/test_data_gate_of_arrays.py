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
from components.data.manifest import DatasetManifest, KnownData
from components.gates import data_gate, reference
from components.gates.data_rules.base import GateInput
from components.gates.reference import Reference
from components.gates.settings import DataGateLimits
from components.ingest import settling, shards
from components.ingest.counts import census

BANDS = Bands(names=("a", "b", "c"), frames=2, invalid="nan")
SPLITS = {"train": 0.8, "eval": 0.1, "test": 0.1}


def counted(
    folder: Path, arrays: Sequence[NDArray[Any]], bands: Bands = BANDS, held: int = 2
) -> tuple[DatasetManifest, census.Images]:
    """Ingests arrays of which the last `held` are eval and test, one after the other."""
    records = []
    for i, array in enumerate(arrays):
        out = io.BytesIO()
        np.save(out, array.astype(np.float32))
        (folder / f"{i}.npy").write_bytes(out.getvalue())
        split = ("eval", "test")[(i - len(arrays)) % 2] if i >= len(arrays) - held else "train"
        records.append(Record(f"{i}.npy", ("x",), split, 1, ""))
    dataset = Dataset(str(folder), ("x",), tuple(records), SPLITS)
    job, report = shards.job(dataset, 10_000, bands=bands), census.Report()
    for item in shards.examine(records, job):
        assert item.problem == ""
        shards.enter(item, report)
    return settling.merge(dataset, [census.Report.from_json(report.to_json())], job, None)


def judged(folder: Path, arrays: Sequence[NDArray[Any]], bands: Bands = BANDS, **limits: Any) -> list[Verdict]:
    manifest, images = counted(folder, arrays, bands)
    told = DataGateLimits(max_bad_fraction=None, contradictions=False, min_labels=1, **limits)
    return [
        verdict
        for verdict in data_gate.check(GateInput(manifest, images), told)
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


def drift(manifest: DatasetManifest, images: census.Images, served: Reference | None = None) -> dict[str, Verdict]:
    told = DataGateLimits(max_bad_fraction=None, contradictions=False, min_labels=1)
    verdicts = data_gate.check(GateInput(manifest, images, served), told)
    named = {verdict.rule.partition(" of ")[2].partition(" <=")[0]: verdict for verdict in verdicts}
    return {name: verdict for name, verdict in named.items() if name.startswith("band ")}


def shifted(count: int, band: int, by: float) -> list[NDArray[np.float64]]:
    """Arrays whose means are 0 to 1, and those of one band larger."""
    arrays = [np.full((2, 4, 5, 3), i / count) + noise(2, 4, 5, 3) / 100 for i in range(count)]
    for array in arrays:
        array[..., band] += by
    return arrays


def test_a_band_that_drifts_between_splits_is_named(tmp_path: Path) -> None:
    """All of the 10 images of eval have larger means of b than all 30 of train: the distance is 1."""
    moved = [one for pair in zip(shifted(10, 1, 5.0), shifted(10, 1, 0.0), strict=True) for one in pair]
    found = drift(*counted(tmp_path, [*shifted(30, 1, 0.0), *moved], held=20))
    bad = found["band b in eval from that in train"]
    assert not bad.passed
    assert bad.value == 1
    # The 15th of 30 is 14 / 30; the 5th of 10 is 5.4, which lies between 5 + 51 / 128 and 5 + 52 / 128.
    assert "median 0.467 of 30 images -> median 5.402 of 10 images" in bad.reason
    assert found["band b in test from that in train"].passed
    assert found["band a in eval from that in train"].passed


def test_a_band_that_drifts_from_the_served_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "then").mkdir()
    (tmp_path / "now").mkdir()
    before, images = counted(tmp_path / "then", shifted(40, 2, 0.0))
    kept, content = reference.remember(before, images)
    known = np.load(io.BytesIO(content), allow_pickle=False)
    served = Reference("7", KnownData.from_json(kept.to_json()), known)
    same = drift(before, images, served)["band c in train from that of version 7"]
    assert (same.value, same.passed) == (0, True)
    later = drift(*counted(tmp_path / "now", shifted(40, 2, 0.9)), served)
    bad = later["band c in train from that of version 7"]
    assert not bad.passed
    assert bad.value == pytest.approx(0.92, abs=0.06)  # of means from 0 to 1 and from 0.9 to 1.9, a tenth overlaps
    assert later["band a in train from that of version 7"].passed
