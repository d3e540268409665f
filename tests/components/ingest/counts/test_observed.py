"""What the files hold that the stored images do not show is said once for each kind, with a count and examples."""

import io
from pathlib import Path

import numpy as np
import pytest
from counting import PROPERTIES
from PIL import Image
from trees import encoded

from components.data.dataset import Dataset, Record
from components.data.images import Checked
from components.ingest import shards
from components.ingest.counts import census, facts, observed

REMARK = "several pages or frames; only the first is used"


def of(paths: list[str], highest: int = 0) -> census.Report:
    """Each image in a shard of its own."""
    found = census.Report()
    for path in paths:
        one = census.Report()
        image = Checked(b"", "png", 8, 8, "TIFF", PROPERTIES, None, (REMARK,), highest)
        one.add(Record(path, ("cat",), None, 1, ""), "train", "0" * 64, facts.of(image, None), None)
        one.include(census.Report.from_json(found.to_json()))
        found = one
    return found


def test_examples_are_the_first_by_name_however_the_shards_were_counted() -> None:
    names = [f"{i}.tif" for i in range(1, 8)]
    for order in (names, names[::-1]):
        counted = of(order)
        assert counted.remarks == {REMARK: (7, ["1.tif", "2.tif", "3.tif", "4.tif", "5.tif"])}
        [sentence] = observed.sentences(counted.remarks, 0, 0)
        assert sentence == f"7 images with {REMARK}: 1.tif, 2.tif, 3.tif, 4.tif, 5.tif, and 2 more"


@pytest.mark.parametrize(("highest", "bits"), [(255, 8), (256, 10), (1023, 10), (4080, 12), (4096, 14), (16383, 14)])
def test_images_that_use_few_of_sixteen_bits_are_told_with_the_key_to_set(highest: int, bits: int) -> None:
    counted = of(["a", "bb"], highest)
    *_, sentence = observed.sentences(counted.remarks, *counted.deep)
    assert f"2 images of 16 bits hold no value above {highest:,} of 65,535" in sentence
    assert sentence.endswith(f"if the values have {bits} bits, set data.bits: {bits}")


def test_images_that_use_all_bits_are_not() -> None:
    assert observed.sentences({}, 3, 16384) == []  # 2 ** 14
    assert observed.sentences({}, 0, 0) == []


def test_a_data_set_of_twelve_bits_is_black_without_the_key_and_right_with_it(tmp_path: Path) -> None:
    grey = np.full((8, 8), 110, np.uint16)
    (tmp_path / "x.png").write_bytes(encoded(Image.fromarray(grey * 16)))
    records = (Record("x.png", ("cat",), None, 100, ""),)
    dataset = Dataset(str(tmp_path), ("cat",), records, {"train": 1.0})

    means, notes = [], []
    for bits in (None, 12):
        found = census.Report()
        [item] = shards.examine(records, shards.job(dataset, 10_000, bits=bits))
        assert item.image is not None
        shards.enter(item, found)
        means.append(np.asarray(Image.open(io.BytesIO(item.image.encoded))).mean())
        notes += census.merge(dataset, [found])[0].notes
    assert means == [6, 110]  # 110 * 16 = 1,760; >> 8 gives 6, >> 4 gives 110
    assert notes == [
        "1 image with more than 8 bits per value; the upper 8 are used: x.png",
        observed.sentences({}, 1, 1760)[0],
        "1 image with 16 bits per value; they were read as values of 12 bits (data.bits): x.png",
    ]
