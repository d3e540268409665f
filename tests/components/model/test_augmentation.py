"""An image and its mask move together, and no id is invented."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.data.features import IGNORED_ID
from components.model.networks import augmentation

SEEDS = range(20)


def changed(images: np.ndarray, masks: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    result = augmentation.pairs(tf.constant(images), tf.constant(masks), tf.constant([seed, 0]))
    return result[0].numpy(), result[1].numpy()


@pytest.fixture
def no_contrast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "_CONTRAST", (1.0, 1.0))


@pytest.mark.usefixtures("no_contrast")
def test_image_and_mask_move_alike() -> None:
    # Red says the row and green the column, in steps of 6; one mask says the row, the other the column.
    rows, columns = np.mgrid[:33, :41]
    image = np.stack([10 + 6 * rows, 6 * columns, np.full_like(rows, 50)], axis=-1).astype(np.uint8)
    for seed in SEEDS:
        # The seed draws for the batch as a whole: both examples with each mask in turn.
        for mask, channel, start in ((rows, 0, 10), (columns, 1, 0)):
            masks = np.stack([mask] * 2).astype(np.uint8)
            images, ids = changed(np.stack([image] * 2), masks, seed)
            inside = ids != IGNORED_ID
            assert inside.mean() > 0.5
            where = (images[inside][:, channel].astype(float) - start) / 6
            # The mask's is the nearest whole pixel: half a pixel off, and half a grey level of rounding.
            assert np.abs(where - ids[inside]).max() <= 0.5 + 0.5 / 6 + 1e-4
            np.testing.assert_array_equal(images[~inside], 0)
            assert (images[inside][:, 2] == 50).all()


@pytest.mark.usefixtures("no_contrast")
def test_a_marked_pixel_is_found_in_both() -> None:
    found = 0
    for seed in SEEDS:
        image, mask = np.full((1, 32, 32, 3), 20, np.uint8), np.zeros((1, 32, 32), np.uint8)
        image[0, 11, 7], mask[0, 11, 7] = 255, 9
        images, masks = changed(image, mask, seed)
        marked = masks[0] == 9
        found += marked.any()
        assert (images[0][marked] > 20 + 235 / 4 - 1).all()  # at least half of it in each direction
        assert marked[images[0, ..., 0] > 20 + 235 * 3 / 4].all()
    assert found > len(SEEDS) // 2


def test_each_example_of_a_batch_changes_differently_and_some_are_mirrored() -> None:
    columns = np.broadcast_to(np.arange(40, dtype=np.uint8), (16, 40, 40))
    _, masks = changed(np.zeros((16, 40, 40, 3), np.uint8), columns, 0)
    assert len(np.unique(masks.reshape(16, -1), axis=0)) == 16
    mirrored = [row[row != IGNORED_ID][0] > row[row != IGNORED_ID][-1] for row in masks[:, 20]]
    assert 2 <= sum(mirrored) <= 14


def test_contrast_changes_the_image_only(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    plain = np.zeros((2, 16, 16), np.uint8)
    images, masks = changed(image, plain, 3)
    assert images.dtype == masks.dtype == np.uint8
    monkeypatch.setattr(augmentation, "_CONTRAST", (1.0, 1.0))
    without, same = changed(image, plain, 3)
    assert np.abs(images.astype(float) - without).mean() > 1
    np.testing.assert_array_equal(masks, same)
    assert set(masks.flat) == {0, IGNORED_ID}


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_augmentation_invents_no_id(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    present = data.draw(st.lists(st.integers(0, 254), min_size=1, max_size=4))
    masks = np.random.default_rng(data.draw(st.integers(0, 99))).choice(present, (2, height, width)).astype(np.uint8)
    _, ids = changed(np.zeros((2, height, width, 3), np.uint8), masks, data.draw(st.integers(0, 2**31 - 1)))
    assert ids.shape == masks.shape
    for before, after in zip(masks, ids, strict=True):
        assert set(after.flat) <= set(before.flat) | {IGNORED_ID}


def test_the_same_seeds_give_the_same_changes_in_tf_data() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 9, 3), np.uint8)
    masks = np.random.default_rng(1).integers(0, 5, (4, 8, 9)).astype(np.uint8)

    def epochs(seed: int) -> list[np.ndarray]:
        batches = tf.data.Dataset.from_tensors((images, masks)).repeat(3)
        seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)
        data = tf.data.Dataset.zip(batches, seeds)
        data = data.map(lambda pair, s: augmentation.pairs(*pair, s), tf.data.AUTOTUNE)
        assert data.element_spec[0].shape.as_list() == [4, 8, 9, 3]
        return [np.stack([ids for _, ids in data]) for _ in range(2)]

    first, second = epochs(1)
    np.testing.assert_array_equal([first, second], epochs(1))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first[0], first[1])
