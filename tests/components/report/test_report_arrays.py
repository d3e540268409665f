"""What the page shows of arrays, from real shards."""

from __future__ import annotations

import base64
import io
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from prepared import ingest

from components.base.errors import ImagegateError
from components.data.arrays.spec import Bands
from components.data.arrays.stored import Array
from components.data.dataset import Dataset, Record
from components.data.manifest import ArrayFacts
from components.data.mask_rules import rule
from components.ingest import manifest
from components.labels import kinds
from components.report import page, pictures
from components.report.arrays import bands, sample, strips
from components.report.run_summary import RunSummary

SINGLE, _, MASKS = kinds.KINDS.values()
SPLITS = {"train": 0.8, "eval": 0.1, "test": 0.1}
HOSTILE = "<b>nir</b>"
FACTS = ArrayFacts(bands=("a", "b", "c"), frames=20, shown=(2, 1, 0), dtype="uint8", height=2, width=2)


def images(folder: Path, count: int, names: tuple[str, ...] = ("a", HOSTILE), labels: int = 2) -> str:
    """Single images of 4 x 4 pixels in train, of which image i holds the value i + 1 and has label i % labels."""
    records = []
    for i in range(count):
        np.save(folder / f"{i}.npy", np.full((4, 4, len(names)), np.arange(1, len(names) + 1) * (i + 1), np.uint16))
        records.append(Record(f"{i}.npy", (f"{i % labels:02}",), "train", 100, ""))
    every = tuple(f"{i:02}" for i in range(labels))
    ingest(Dataset(str(folder), every, tuple(records), SPLITS), folder / "examples", bands=Bands(names=names))
    return str(folder / "examples")


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three sequences of two moments: the left half, of the label left, is 1 and then 2, the right half 5 and then 6.

    The upper row is invalid at the first moment.
    """
    folder, records = tmp_path_factory.mktemp("sequences"), []
    for i in range(3):
        pixels = np.zeros((2, 4, 4, 1), np.float32)
        pixels[0, :, :2], pixels[0, :, 2:], pixels[1, :, :2], pixels[1, :, 2:] = 1, 5, 2, 6
        pixels[0, 0] = np.nan
        np.save(folder / f"{i}.npy", pixels)
        Image.fromarray(np.repeat([[0, 0, 1, 1]], 4, axis=0).astype(np.uint8)).save(folder / f"{i}.png")
        records.append(Record(f"{i}.npy", (), "train", 100, "", mask=f"{i}.png"))
    dataset = Dataset(str(folder), ("left", "right"), tuple(records), SPLITS)
    ingest(dataset, folder / "examples", rule=rule(dataset.labels), bands=Bands(names=("x",), frames=2))
    return str(folder / "examples")


def test_sequences_have_curves_and_figures_of_each_label(sequences: str) -> None:
    found = bands.collect(sequences, MASKS)
    assert found is not None
    assert "which are 87.5 % of all its pixels of 2 moments" in found["exact"]
    assert found["figures"].endswith("at the moments that there are. A pixel that is never valid has no label.")
    assert found["sampled"] == "What follows is of all 3 arrays of train."
    # By hand: 12 pixels of 1 and of 5, 16 of 2 and of 6, in each half 6 and 8 of them.
    [row] = found["bands"]["rows"]
    everything = np.repeat([1, 5, 2, 6], [6, 6, 8, 8])
    assert [cell and cell["value"] for cell in row["cells"]] == pytest.approx(
        [everything.mean(), everything.std(), 1, 6], rel=1e-12
    )
    left, right = found["labels"]["rows"]
    assert [cell and cell["text"] for cell in left["cells"]] == ["42", "87.5 %", "1.571 ± 0.4949"]
    assert [cell and cell["text"] for cell in right["cells"]] == ["42", "87.5 %", "5.571 ± 0.4949"]
    curves, values = found["charts"]
    assert "x: largest 6 (right, moment 2), smallest 1 (left, moment 1)" in curves["svg"]
    assert "75 % to 100 %" in curves["svg"]
    assert "equal bins, from the 0.1 to the 99.9 percentile" in values["note"]


def test_single_images_have_no_curve_over_time(tmp_path: Path) -> None:
    found = bands.collect(images(tmp_path, 4), SINGLE)
    assert found is not None
    assert [chart["title"] for chart in found["charts"]] == ["Distribution of the values, by label"]
    assert "which are 100 % of all its pixels. A pixel" in found["exact"]
    assert found["figures"].endswith("how many of its pixels are valid.")
    cells = [[cell and cell["text"] for cell in row["cells"]] for row in found["labels"]["rows"]]
    assert cells == [["32", "100 %", "2 ± 1", "4 ± 2"], ["32", "100 %", "3 ± 1", "6 ± 2"]]
    html = page.render(RunSummary(name="n", task="single_label", status="failed"), {"bands": found})
    assert HOSTILE not in html
    assert "&lt;b&gt;nir&lt;/b&gt;" in html
    assert '<a href="#bands">Bands</a>' in html


def test_photos_have_no_bands(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "0.png")
    ingest(Dataset(str(tmp_path), ("a",), (Record("0.png", ("a",), "train", 9, ""),), SPLITS), tmp_path / "examples")
    assert bands.collect(str(tmp_path / "examples"), SINGLE) is None
    assert 'id="bands"' not in page.render(RunSummary(name="n", task="single_label", status="failed"), {})


def test_the_most_frequent_labels_and_the_first_bands_are_drawn(tmp_path: Path) -> None:
    names = tuple(f"b{i}" for i in range(13))
    found = bands.collect(images(tmp_path, 27, names, labels=14), SINGLE)  # label 13 has one image, all others two
    assert found is not None
    assert [row["name"] for row in found["labels"]["rows"]] == [f"{i:02}" for i in range(12)]
    assert "It shows 12 labels, the most frequent in train, of 14, and not: 12, 13." in found["sampled"]
    assert "It shows the first 12 of 13 bands." in found["sampled"]
    assert len(found["bands"]["rows"]) == 13
    [chart] = found["charts"]
    written = {element.text for element in ET.fromstring(chart["svg"]).iter("{http://www.w3.org/2000/svg}text")}
    assert {"b0", "b11"} <= written
    assert "b12" not in written


def test_a_sample_is_spread_over_all_records_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = images(tmp_path, 12)
    told = manifest.read(folder)
    assert told.arrays is not None

    def read() -> list[int]:
        found = sample.read(folder, told, told.arrays, 1, masks=False)
        assert {one.array.pixels.shape for one in found} == {(1, 4, 4, 1)}  # the second band is dropped
        assert all(one.labels == ((int(one.array.pixels[0, 0, 0, 0]) - 1) % 2,) for one in found)
        return [int(one.array.pixels[0, 0, 0, 0]) for one in found]

    order = read()
    assert sorted(order) == list(range(1, 13))
    monkeypatch.setattr(sample, "MOST", 4)
    assert read() == order[::3]
    monkeypatch.setattr(sample, "MOST_BYTES", 4 * 4 * 2 * 2)  # two arrays of one band of 16 bits
    assert read() == order[::6]
    monkeypatch.setattr(sample, "MOST_BYTES", 1)
    assert read() == order[:1]
    found = bands.collect(folder, SINGLE)
    assert found is not None
    assert "What follows is of 1 of the 12 arrays of train" in found["sampled"]


def test_a_sample_of_damaged_shards_is_refused(tmp_path: Path) -> None:
    folder = images(tmp_path, 3)
    shard = max(Path(folder).glob("Split-train/*"), key=lambda path: path.stat().st_size)
    content = shard.read_bytes()
    shard.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])  # the record's last byte
    with pytest.raises(ImagegateError, match="changed after it was written"):
        bands.collect(folder, SINGLE)


def sequence(moments: int, times: list[float] | None = None) -> Array:
    """Moment i is grey of level i in all pixels."""
    pixels = np.broadcast_to(np.arange(moments, dtype=np.uint8)[:, None, None, None], (moments, 2, 2, 3))
    return Array(pixels, np.ones((moments, 2, 2), bool), np.array(times or range(moments), np.float64))


def frames(found: strips.Strip) -> list[np.ndarray]:
    """The colours of each frame, [H, W, 3]; between them, the picture is transparent."""
    pixels = np.asarray(found.picture)
    parts = np.split(pixels, len(found.days), axis=1)
    assert all((part[:, [0, -1], 3] == 0).all() and (part[:, 1:-1, 3] == 255).all() for part in parts)
    return [part[:, 1:-1, :3] for part in parts]


def test_a_strip_shows_eight_moments_in_order() -> None:
    found = strips.strip(sequence(16).encoded(), FACTS)
    assert found.days == [str(i) for i in range(1, 17, 2)]  # of two equal ones the first
    assert found.moments == 16
    levels = [int(frame[0, 0, 0]) for frame in frames(found)]
    # Of 64 values from 0 to 15, four of each, the 2nd and the 98th percentile are 0 and 15, in all frames alike.
    assert levels == [17 * i for i in range(0, 16, 2)]
    assert all((frame == frame[0, 0]).all() for frame in frames(found))


def test_a_strip_leaves_out_moments_without_a_valid_pixel_and_prefers_clear_ones() -> None:
    array = sequence(18, [17167.0 + 10 * i for i in range(18)])
    array.valid[0] = array.valid[5] = False
    array.valid[1, 0] = False  # the first of two moments, of which the other is clearer
    array.valid[3:5, 0, 0] = False  # both as clear
    found = strips.strip(array.encoded(), FACTS)
    assert found.moments == 16
    assert found.days[:3] == ["2017-01-21", "2017-01-31", "2017-03-02"]
    first = frames(found)[1]
    assert first.shape[:2] == (72, 72)  # 36 times as large
    assert (first[:36, :36] != first[36:, 36:]).any()  # hatched


def test_a_short_sequence_has_a_short_strip() -> None:
    found = strips.strip(sequence(3).encoded(), FACTS)
    assert (found.days, found.picture.size) == (["1", "2", "3"], (3 * 74, 72))
    assert "c as red, b as green, a as blue" in strips.about(FACTS)
    assert strips.about(FACTS.model_copy(update={"frames": None})) == ""


def test_a_strip_is_on_the_page_with_its_days() -> None:
    album, found = pictures.Album(), strips.strip(sequence(3).encoded(), FACTS)
    shown = {
        "path": HOSTILE,
        "truth": ["a"],
        "predicted": ["a"],
        "probability": None,
        "thumbnail": "i0",
        "strip": album.add(found.picture),
        "days": found.days,
        "moments": 9,
    }
    examples = {"labels": [{"label": "a", "mistakes": [], "hits": [shown], "random": []}], "strips": "Frames."}
    evidence = {"examples": examples, "images": {"i0": "data:image/webp;base64,UklGRg==", **album.images}}
    html = page.render(RunSummary(name="n", task="single_label", status="failed"), evidence)
    assert f'<img src="{album.images[shown["strip"]]}" alt="moments of &lt;b&gt;nir&lt;/b&gt;"' in html
    assert "<span>1</span><span>2</span><span>3</span>" in html
    assert "3 of 9 moments with a valid pixel" in html
    assert "<p>Frames.</p>" in html
    opened = Image.open(io.BytesIO(base64.b64decode(album.images[shown["strip"]].split(",")[1])))
    assert opened.size == found.picture.size
