"""Strong changes of images."""

import numpy as np

from components.model.fitting.unlabelled import strong

PHOTO = np.random.default_rng(1).integers(0, 256, (8, 8, 3)).astype(np.uint8)
EQUAL = np.stack([PHOTO] * 8)


def test_each_image_is_changed_by_itself_and_stays_in_range() -> None:
    changed = np.asarray(strong.RandAugment(1)(EQUAL))
    assert changed.shape == EQUAL.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert len(np.unique(changed.reshape(8, -1), axis=0)) > 4


def test_a_seed_gives_the_same_changes_again() -> None:
    first, second = strong.RandAugment(1), strong.RandAugment(1)
    np.testing.assert_array_equal(first(EQUAL[:3]), second(EQUAL[:3]))
    assert not np.array_equal(first(EQUAL[:3]), strong.RandAugment(2)(EQUAL[:3]))


def test_no_image_is_a_batch_too() -> None:
    assert strong.RandAugment(1)(EQUAL[:0]).shape == (0, 8, 8, 3)


def test_every_change_takes_images_and_gives_images() -> None:
    for change in strong.RandAugment(1).changes:
        assert change(EQUAL.astype(np.float32), training=True).shape == EQUAL.shape


def test_colours_stay_where_they_are() -> None:
    """Two areas of one colour each: another colour, a different one for each image, up to the same edge."""
    image = np.full((8, 8, 3), (200, 40, 90), np.uint8)
    image[:, 5:] = (30, 120, 60)
    changed = np.asarray(strong.colours(1)(np.stack([image] * 4), training=True))
    for one in changed:
        assert np.ptp(one[:, :5], axis=(0, 1)).max() < 1e-3
        assert np.ptp(one[:, 5:], axis=(0, 1)).max() < 1e-3
        assert np.abs(one[0, 0] - one[0, 7]).max() > 5
    assert len(np.unique(changed[:, 0, 0].round(), axis=0)) == 4
