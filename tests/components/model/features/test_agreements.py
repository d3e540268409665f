"""Pairs of pictures that are compared once, whatever runs ask."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from components.base import machine
from components.model.features import agreements, registration
from components.model.features.feature_store import digest
from components.model.features.rows import Features

PAIRS = np.array([[0, 1], [0, 2], [1, 2], [2, 3]])


def encoded(seed: int, left: int = 0) -> bytes:
    """Blocks of random greys, without so many columns on the left."""
    greys = np.random.default_rng(seed).integers(0, 256, (15, 20), np.uint8)
    image = Image.fromarray(np.kron(greys, np.ones((12, 12), np.uint8))).crop((left, 0, 240, 180))
    stored = io.BytesIO()
    image.convert("RGB").save(stored, "PNG")
    return stored.getvalue()


# The second picture is a part of the first; the others are like none.
CONTENTS = [encoded(1), encoded(1, left=30), encoded(2), encoded(3)]


class Asked:
    """The images, and which of them were asked for."""

    def __init__(self, contents: Sequence[bytes], folder: str = "") -> None:
        self.indices: list[int] = []
        self._contents = contents
        rows = np.empty((len(contents), 0), np.float32)
        self.features = Features(rows, self._encoded, [digest(one) for one in contents], folder)

    def _encoded(self, indices: Sequence[int]) -> Iterator[bytes]:
        self.indices += indices
        return (self._contents[i] for i in indices)


def test_each_pair_gets_what_registration_says_of_it() -> None:
    found = agreements.of_pairs(Asked(CONTENTS).features, PAIRS)
    alone = [registration.same(*(registration.opened(CONTENTS[i]) for i in pair)) for pair in PAIRS]
    assert alone[0] == found[0] >= 0.9
    assert alone[1:] == [None] * 3
    assert np.isnan(found[1:]).all()


def test_no_pairs_are_no_agreements(tmp_path: Path) -> None:
    assert agreements.of_pairs(Asked(CONTENTS, str(tmp_path)).features, np.empty((0, 2), np.int64)).shape == (0,)


def test_a_later_run_compares_only_new_pairs_whatever_the_order_of_the_images(tmp_path: Path) -> None:
    first = Asked(CONTENTS, str(tmp_path))
    found = agreements.of_pairs(first.features, PAIRS)
    assert first.indices == [0, 1, 2, 3]
    later = Asked([encoded(4), *CONTENTS[::-1]], str(tmp_path))  # the index of image i is now 4 - i
    pairs = np.concatenate([np.sort(4 - PAIRS, axis=1), [[0, 4]]])
    np.testing.assert_array_equal(agreements.of_pairs(later.features, pairs)[:4], found)
    assert later.indices == [0, 4]


def test_a_folder_that_says_nothing_true_is_not_believed(tmp_path: Path) -> None:
    found = agreements.of_pairs(Asked(CONTENTS, str(tmp_path)).features, PAIRS)
    [part] = tmp_path.glob("copies-*/*")
    part.write_bytes(part.read_bytes()[:-1])
    again = Asked(CONTENTS, str(tmp_path))
    np.testing.assert_array_equal(agreements.of_pairs(again.features, PAIRS), found)
    assert again.indices == [0, 1, 2, 3]


@pytest.mark.parametrize("cores", [1, 3])
def test_parts_and_cores_change_nothing(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    expected = agreements.of_pairs(Asked(CONTENTS).features, PAIRS)
    monkeypatch.setattr(agreements, "_PICTURES", 2)  # one pair in each part
    monkeypatch.setattr(machine, "cores", lambda: cores)
    before = cv2.getNumThreads()
    asked = Asked(CONTENTS)
    np.testing.assert_array_equal(agreements.of_pairs(asked.features, PAIRS), expected)
    assert asked.indices == PAIRS.ravel().tolist()
    assert cv2.getNumThreads() == before


def test_a_picture_that_memory_does_not_suffice_for_is_compared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = registration.opened

    def short(encoded: bytes) -> registration.Picture:
        if encoded == CONTENTS[1]:
            raise MemoryError
        return usual(encoded)

    monkeypatch.setattr(registration, "opened", short)
    assert np.isnan(agreements.of_pairs(Asked(CONTENTS, str(tmp_path)).features, PAIRS)).all()
    monkeypatch.setattr(registration, "opened", usual)
    later = Asked(CONTENTS, str(tmp_path))
    assert agreements.of_pairs(later.features, PAIRS)[0] >= 0.9
    assert later.indices == [0, 1, 2]  # those of the pairs with the second image
