"""What ingest counts: exact, the same in any order, and nothing that a rule of the data gate needs is missing."""

import dataclasses
import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from counting import PROPERTIES, Seen, merged, report
from hypothesis import given
from hypothesis import strategies as st

from components.data import properties
from components.data.dataset import SPLITS, Dataset
from components.data.manifest import LeftOut, PropertyHistograms
from components.ingest import splits
from components.ingest.counts import census


def test_the_content_digest_covers_all_that_training_can_see_and_nothing_else() -> None:
    def digest(*seen: Seen) -> str:
        return merged(seen)[0].content

    one, two = Seen("1", labels=("cat",)), Seen("2", labels=("dog",))
    assert digest(one, two) == digest(two, one) == digest(dataclasses.replace(one, path="other.png"), two)
    changed = [
        dataclasses.replace(one, **change)
        for change in (
            {"content": "3"},
            {"split": "test"},
            {"labels": ("dog",)},
            {"labels": ()},
            {"unknown": ("dog",)},
            {"weight": 2.0},
            {"slices": (("camera", "day"),)},
            {"mask": b"0", "pixels": (1, 0)},
        )
    ]
    assert len({digest(one, two), digest(one), digest(one, one), *(digest(c, two) for c in changed)}) == 11


def test_known_and_unknown_labels_are_counted_by_split() -> None:
    counted, _ = merged(
        [
            Seen("1", labels=("cat",), unknown=("dog",)),
            Seen("2", unknown=("cat", "dog")),  # nothing is known of it
            Seen("3"),  # neither cat nor dog: that is knowledge
            Seen("4", "eval", ("dog",), unknown=("cat",)),
            Seen("5", "eval", ("dog",), unknown=("cat",)),
        ]
    )
    assert counted.counts == {"train": 3, "eval": 2, "test": 0}
    assert counted.label_counts == {
        "cat": {"train": 1, "eval": 0, "test": 0},
        "dog": {"train": 0, "eval": 2, "test": 0},
    }
    assert counted.unknown == {"cat": {"train": 1, "eval": 2, "test": 0}, "dog": {"train": 2, "eval": 0, "test": 0}}
    assert counted.unlabelled == {"train": 1, "eval": 0, "test": 0}
    assert counted.label_sets == [
        ("eval", ("dog",), ("cat",), 2),
        ("train", (), (), 1),
        ("train", (), ("cat", "dog"), 1),
        ("train", ("cat",), ("dog",), 1),
    ]
    assert counted.pixels == {}


def test_formats_slices_and_sizes_are_counted() -> None:
    wide = (800.0, 300.0, *PROPERTIES[2:])
    counted, _ = merged(
        [
            Seen("1", slices=(("camera", "day"), ("site", "a"))),
            Seen("2", slices=(("camera", "day"), ("site", "b")), format="jpeg"),
            Seen("3", "test", slices=(("camera", "night"), ("site", "a")), properties=wide, changed="palette"),
        ]
    )
    nothing = {"train": 0, "eval": 0, "test": 0}
    assert counted.formats == {"jpeg": nothing | {"train": 1}, "png": nothing | {"train": 1, "test": 1}}
    assert counted.slices == {
        "camera": {"day": nothing | {"train": 2}, "night": nothing | {"test": 1}},
        "site": {"a": nothing | {"train": 1, "test": 1}, "b": nothing | {"train": 1}},
    }
    assert counted.sizes == {"width": (640, 800), "height": (300, 480)}
    assert counted.changed == {"palette": 1}


def test_properties_are_counted_by_split_and_in_train_by_label() -> None:
    dark = (*PROPERTIES[:3], 0.1, *PROPERTIES[4:])
    counted, _ = merged(
        [
            Seen("1", labels=("cat",)),
            Seen("2", labels=("cat", "dog"), properties=dark),
            Seen("3", "eval", ("dog",), properties=dark),
        ]
    )
    bright_bin, dark_bin = (properties.bins(p)[3] for p in (PROPERTIES, dark))
    found = counted.properties
    assert found["train"].all["brightness"] == {str(dark_bin): 1, str(bright_bin): 1}
    assert found["train"].labels["cat"]["brightness"] == {str(dark_bin): 1, str(bright_bin): 1}
    assert found["train"].labels["dog"]["brightness"] == {str(dark_bin): 1}
    assert found["eval"].labels == {}
    assert found["test"] == PropertyHistograms()
    histograms = census.dense(found["train"].all)
    assert histograms.sum(axis=1).tolist() == [2] * len(properties.NAMES)
    assert histograms[3, dark_bin] == histograms[3, bright_bin] == 1


SEEN = st.builds(
    Seen,
    content=st.sampled_from("abcdef"),
    path=st.uuids().map(str),
    split=st.sampled_from(SPLITS),
    labels=st.sampled_from([(), ("cat",), ("dog",), ("cat", "dog")]),
    perceptual=st.none() | st.integers(0, 2**256 - 1),
    slices=st.sampled_from([(), (("camera", "a"),), (("camera", "b"),)]),
    properties=st.tuples(*[st.floats(0, 1) for _ in properties.NAMES]).map(lambda p: (9.0, 7.0, *p[2:])),
)


@given(st.lists(SEEN, max_size=20), st.integers(1, 4), st.randoms(use_true_random=False))
def test_neither_the_partition_into_shards_nor_the_order_changes_the_census(
    seen: list[Seen], count: int, order: random.Random
) -> None:
    dataset = Dataset("", ("cat", "dog"), (), {})
    reports = [report(seen[i::count], dataset.labels) for i in range(count)]
    counted, images = census.merge(dataset, reports)
    order.shuffle(reports)
    again, images_again = census.merge(dataset, [census.Report.from_json(r.to_json()) for r in reports])
    assert again == counted
    assert images_again.rows.tobytes() == images.rows.tobytes()
    assert list(images_again.listed) == list(images.listed)

    whole, _ = merged(seen)
    assert counted == whole
    for label in dataset.labels:
        for split in SPLITS:
            assert counted.label_counts[label][split] == sum(label in s.labels and s.split == split for s in seen)


def test_pixels_of_masks_are_summed_by_label() -> None:
    counted, images = merged(
        [
            Seen("1", pixels=(2, 3), ignored=1, mask=b"1"),
            Seen("2", pixels=(4, 0), ignored=0, mask=b"2"),
            Seen("3", pixels=(0, 0), ignored=6, mask=b"3"),
        ]
    )
    # Of each label, then of the ignored: own pixels, and those of the images it is in, known ones and all.
    assert counted.pixels == {"train": ((6, 9, 10), (3, 5, 6), (7, 5, 12))}
    assert counted.label_counts["dog"] == {"train": 1, "eval": 0, "test": 0}
    assert counted.unlabelled == {"train": 1, "eval": 0, "test": 0}
    assert len(set(images.rows["truth"].tolist())) == 3


def test_a_row_holds_what_is_needed_to_find_the_image_again(tmp_path: Path) -> None:
    _, images = merged([Seen("2", path="b.png"), Seen("1", "eval", ("cat",), "a\n.png", perceptual=5 + (7 << 192))])
    images.write(str(tmp_path))
    for found in (images, census.Images.read(str(tmp_path))):
        assert found.rows["sha256"][0].tobytes().hex() == splits.digest(b"1")
        assert found.rows["perceptual"].tolist() == [[5, 0, 0, 7], [0, 0, 0, 0]]
        assert found.rows["comparable"].tolist() == [True, False]
        assert found.rows["split"].tolist() == [1, 0]
        assert found.rows["truth"].tolist() == [census.truth(["cat"], []), census.truth([], [])]
        assert found.paths([1, 0]) == ["b.png", "a\n.png"]
    assert census.ROW.itemsize == 86  # stated in the documentation


@pytest.mark.parametrize("name", [os.fsdecode(b"\xff\n\x1b.png"), "ü.png"])
def test_a_report_survives_json_whatever_the_names(tmp_path: Path, name: str) -> None:
    one = report([Seen("1", path=name)], ["cat"])
    one.reject("2" + name, "broken")
    line = one.to_json()
    assert line.isascii()
    assert "\n" not in line
    json.loads(line)
    dataset = Dataset("", ("cat",), (), {})
    (counted, images), (again, read) = (census.merge(dataset, [r]) for r in (one, census.Report.from_json(line)))
    assert again == counted
    read.write(str(tmp_path))
    assert census.Images.read(str(tmp_path)).paths([0]) == list(images.listed) == [name]
    np.testing.assert_array_equal(read.rows, images.rows)


def quarantined(*paths: str) -> Any:
    one = census.Report()
    for path in paths:
        one.reject(path, "empty file")
    return census.merge(Dataset("", (), (), {}, (("z.png", "named twice"),)), [one])[0].quarantined


def test_files_that_the_listing_rejected_are_quarantined_too() -> None:
    assert quarantined("b.png", "a.png") == (
        LeftOut(path="a.png", reason="empty file"),
        LeftOut(path="b.png", reason="empty file"),
        LeftOut(path="z.png", reason="named twice"),
    )
