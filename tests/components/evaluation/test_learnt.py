"""Test images that the served model has learnt from are found by their content and by what they look like."""

from counting import Seen, merged

from components.data import known_images
from components.data.dataset import SPLITS
from components.evaluation import learnt
from components.ingest import splits


def digest(content: str) -> str:
    return splits.digest(content.encode())


def found(test: list[Seen], before: list[Seen], distance: int | None = 32) -> dict[str, str]:
    rows = merged(test)[1].rows
    known = known_images.of_bytes(known_images.to_bytes(merged(before)[1].rows))
    return learnt.split_of(rows[rows["split"] == SPLITS.index("test")], known, distance)


def test_an_equal_file_of_train_or_eval_is_found_and_one_of_test_is_not() -> None:
    before = [Seen("a", "train"), Seen("b", "eval"), Seen("c", "test")]
    test = [Seen(name, "test") for name in ("a", "b", "c", "new")]
    assert found(test, before) == {digest("a"): "train", digest("b"): "eval"}


def test_a_nearly_equal_image_is_found_within_the_distance_of_the_near_duplicate_rule() -> None:
    """Hashes that differ in 3 bits are nearly equal at a distance of 3, and not at 2; nor without a distance."""
    before = [Seen("a", "train", perceptual=0), Seen("b", "eval", perceptual=(1 << 256) - 1)]
    test = [Seen("like a", "test", perceptual=7), Seen("again like a", "test", perceptual=7)]
    test += [Seen("like b", "test", perceptual=(1 << 256) - 8), Seen("other", "test", perceptual=(1 << 128) - 1)]
    expected = {digest("like a"): "train", digest("again like a"): "train", digest("like b"): "eval"}
    assert found(test, before, 3) == expected
    assert found(test, before, 2) == {}
    assert found(test, before, None) == {}


def test_images_without_a_meaningful_hash_are_compared_by_content_only() -> None:
    """The hash of an image of one colour is none; in the record there is 0, as of a picture whose hash is 0."""
    before = [Seen("plain", "train"), Seen("dark", "train", perceptual=0)]
    test = [Seen("another plain", "test"), Seen("plain", "test"), Seen("also dark", "test", perceptual=0)]
    assert found(test, before) == {digest("plain"): "train", digest("also dark"): "train"}
    assert found([Seen("another plain", "test")], [Seen("plain", "train")]) == {}


def test_without_images_nothing_is_found() -> None:
    assert found([], [Seen("a")]) == {}
    assert found([Seen("a", "test", perceptual=0)], []) == {}
