"""Splits by content: shares, equal images together, and nothing moves that need not."""

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.data.dataset import Dataset, Record
from components.ingest.splits import by_hash, digest, rare_label_splits

SHARES = {"train": 0.8, "eval": 0.1, "test": 0.1}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def contents(split: str, start: int = 0) -> Iterator[bytes]:
    """Contents whose hash puts them into `split`, found by trying."""
    return (c for i in range(start, 10**9) if by_hash(sha256(c := b"%d" % i), SHARES) == split)


def take(split: str, count: int) -> list[bytes]:
    found = contents(split)
    return [next(found) for _ in range(count)]


def dataset(files: Mapping[str, tuple[str, bytes]], fixed: str | None = None) -> Dataset:
    """`files`: path -> (label, content)."""
    records = tuple(Record(path, (label,), fixed, len(content), "") for path, (label, content) in files.items())
    return Dataset("", tuple(sorted({label for label, _ in files.values()})), records, SHARES)


def moved(
    files: Mapping[str, tuple[str, bytes]], broken: Iterable[bytes] = (), fixed: str | None = None
) -> dict[str, str]:
    bad = set(broken)
    return rare_label_splits(
        dataset(files, fixed),
        read=lambda record: files[record.path][1],
        usable=lambda record: files[record.path][1] not in bad,
    )


def final(files: Mapping[str, tuple[str, bytes]], broken: Iterable[bytes] = ()) -> dict[str, str]:
    """Path -> split of the usable images, as ingest applies it."""
    bad, exceptions = set(broken), moved(files, broken)
    return {
        path: exceptions.get(sha256(content)) or by_hash(sha256(content), SHARES)
        for path, (_, content) in files.items()
        if content not in bad
    }


def label(name: str, images: Iterable[bytes]) -> dict[str, tuple[str, bytes]]:
    return {f"{name}/{i}": (name, content) for i, content in enumerate(images)}


@pytest.mark.parametrize(
    ("first_byte", "split"),
    [
        ("00", "train"),
        ("80", "train"),  # 128 / 256 = 0.5
        ("cc", "train"),  # 204 / 256 = 0.797
        ("cd", "eval"),  # 205 / 256 = 0.801
        ("e6", "eval"),  # 230 / 256 = 0.898
        ("e7", "test"),  # 231 / 256 = 0.902
        ("ff", "test"),
    ],
)
def test_a_hash_is_a_fraction_that_falls_into_the_shares_in_order(first_byte: str, split: str) -> None:
    assert by_hash(first_byte + "00" * 31, SHARES) == split


def test_shares_that_fall_short_of_one_by_rounding_lose_no_image() -> None:
    assert sum([0.1] * 10) < 1
    assert by_hash("ff" * 32, {str(i): 0.1 for i in range(10)} | {"none": 0.0}) == "9"


def test_a_share_of_zero_gets_no_images() -> None:
    splits = Counter(by_hash(sha256(b"%d" % i), {"train": 0.5, "eval": 0.0, "test": 0.5}) for i in range(1000))
    assert set(splits) == {"train", "test"}


def test_the_digest_is_sha256() -> None:
    assert digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2


@given(st.integers(0, 10**6), st.lists(st.integers(1, 20), min_size=3, max_size=3))
def test_shares_are_approached(seed: int, parts: list[int]) -> None:
    shares = dict(zip(("train", "eval", "test"), (n / sum(parts) for n in parts), strict=True))
    images = 2000
    counts = Counter(by_hash(sha256(b"%d %d" % (seed, i)), shares) for i in range(images))
    for split, share in shares.items():
        deviation = (images * share * (1 - share)) ** 0.5
        assert abs(counts[split] - images * share) < 5 * deviation  # once in 1.7 million


LABELLED = st.dictionaries(st.binary(min_size=1, max_size=3), st.sampled_from("abc"), max_size=60)


def as_files(labelled: Mapping[bytes, str], copies: int = 1) -> dict[str, tuple[str, bytes]]:
    return {f"{name}/{c.hex()}-{n}": (name, c) for c, name in labelled.items() for n in range(copies)}


@given(LABELLED)
def test_equal_images_are_in_one_split(labelled: dict[bytes, str]) -> None:
    files = as_files(labelled, copies=2)
    splits = final(files)
    for content in labelled:
        assert len({splits[path] for path, (_, other) in files.items() if other == content}) == 1


@given(LABELLED, st.randoms(use_true_random=False))
def test_the_order_of_the_listing_does_not_matter(labelled: dict[bytes, str], shuffle: random.Random) -> None:
    files = list(as_files(labelled, copies=2).items())
    before = final(dict(files))
    shuffle.shuffle(files)
    assert final(dict(files)) == before


@given(LABELLED, LABELLED)
def test_more_images_move_others_only_where_their_label_is_rare(old: dict[bytes, str], new: dict[bytes, str]) -> None:
    # 25 images expected in a tenth: "common" is not rare.
    common = label("common", (b"common %d" % i for i in range(250)))
    before = final(as_files(old) | common)
    after = final(as_files(new | old) | common)
    assert {p: after[p] for p in common} == {p: before[p] for p in common}
    untouched = {p for p, (name, _) in as_files(old).items() if name not in {new[c] for c in new.keys() - old}}
    assert {p: after[p] for p in untouched} == {p: before[p] for p in untouched}


@given(LABELLED, st.sets(st.binary(min_size=1, max_size=3)))
def test_a_label_with_images_to_spare_in_train_is_in_every_split(
    labelled: dict[bytes, str], broken: set[bytes]
) -> None:
    splits = final(as_files(labelled), broken)
    for name in set(labelled.values()):
        usable = [c for c, own in labelled.items() if own == name and c not in broken]
        by_chance = Counter(by_hash(sha256(c), SHARES) for c in usable)
        missing = [s for s in ("eval", "test") if not by_chance[s]]
        if by_chance["train"] > len(missing):
            assert {splits[path] for path in splits if path.startswith(name)} == set(SHARES)


@given(LABELLED)
def test_only_images_of_train_move_and_no_more_than_one_into_a_split_of_a_label(labelled: dict[bytes, str]) -> None:
    exceptions = moved(as_files(labelled))
    for name in set(labelled.values()):
        own = {sha256(c) for c, other in labelled.items() if other == name}
        went = Counter(split for key, split in exceptions.items() if key in own)
        assert max(went.values(), default=0) <= 1
    assert all(by_hash(key, SHARES) == "train" for key in exceptions)


def test_the_image_that_moves_is_the_one_nearest_to_the_missing_split() -> None:
    images = [*take("train", 9), *take("eval", 1)]
    nearest = max(sha256(c) for c in images[:9])  # train's interval comes first, so the largest hash ends it
    assert moved(label("rare", images)) == {nearest: "test"}


def test_a_label_that_is_everywhere_stays_as_it_is() -> None:
    assert moved(label("cat", [*take("train", 3), *take("eval", 1), *take("test", 1)])) == {}


def test_the_last_image_of_train_stays_there() -> None:
    assert moved(label("cat", take("train", 1))) == {}
    assert list(moved(label("cat", take("train", 2))).values()) == ["eval"]
    assert sorted(moved(label("cat", take("train", 3))).values()) == ["eval", "test"]


def test_a_broken_image_does_not_count() -> None:
    train, broken = take("train", 9), take("test", 1)
    files = label("rare", [*train, *take("eval", 1), *broken])
    nearest = max(map(sha256, train))
    assert moved(files, broken) == {nearest: "test"}
    # Nor may it be the one that moves.
    broken += [c for c in train if sha256(c) == nearest]
    assert moved(files, broken) == {sorted(map(sha256, train))[-2]: "test"}


def test_all_copies_of_an_image_move_together() -> None:
    first, second, third = sorted(take("train", 3), key=sha256)
    splits = final(label("rare", [third, second, third, first, third]))
    assert Counter(splits.values()) == {"eval": 3, "test": 1, "train": 1}


def test_images_of_predefined_splits_stay_where_they_are() -> None:
    assert moved(label("rare", take("train", 5)), fixed="train") == {}


def test_one_split_needs_no_moves() -> None:
    files = label("rare", take("train", 5))
    only = Dataset("", ("rare",), dataset(files).records, {"train": 1.0})
    assert rare_label_splits(only, lambda record: files[record.path][1], lambda _: True) == {}


def test_images_of_common_labels_are_not_even_read() -> None:
    files = label("common", (b"%d" % i for i in range(200))) | label("rare", (b"r%d" % i for i in range(199)))
    read: list[str] = []

    def remember(record: Record) -> bytes:
        read.append(record.path)
        return files[record.path][1]

    rare_label_splits(dataset(files), remember, lambda _: True)
    # 20 images of 200 are expected in the tenths: by chance there are none once in 500 million data sets.
    assert sorted(read) == sorted(path for path in files if path.startswith("rare"))


def test_unreadable_files_do_not_count() -> None:
    files = label("rare", take("train", 5))
    assert rare_label_splits(dataset(files), lambda _: None, lambda _: True) == {}
