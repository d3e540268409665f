"""From night to night, an image keeps its split; where it must move, it is named, and never away from train."""

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.data.dataset import SPLITS, Dataset, Record
from components.data.manifest import Assigned
from components.ingest import earlier, moves, near_duplicates, splits
from components.ingest.counts import census
from components.ingest.earlier import Seen
from components.ingest.settings import NearLimits
from components.ingest.splits import by_hash

SHARES = {"train": 0.8, "eval": 0.1, "test": 0.1}
LIMITS = NearLimits(distance=2, max_share=None)


@dataclass(frozen=True)
class Image:
    """`bits` are those of the perceptual hash; None: the image is too small for one."""

    content: bytes
    label: str = "cat"
    bits: int | None = None
    group: str = ""
    split: str | None = None


def contents(split: str, shares: Mapping[str, float] = SHARES) -> Iterator[bytes]:
    """Contents whose hash puts them into `split`, found by trying."""
    return (c for i in range(10**9) if by_hash(splits.digest(c := b"%d" % i), shares) == split)


def take(split: str, count: int, start: int = 0) -> list[Image]:
    found = contents(split)
    return [Image(next(found)) for _ in range(start + count)][start:]


@dataclass(frozen=True)
class Night:
    """What a run made of its images: their splits and notes, and the record that it leaves."""

    images: tuple[Image, ...]
    split_of: dict[bytes, str]
    notes: tuple[str, ...]
    record: Seen
    key: str
    moved: bool = field(default=True)


def night(
    images: Iterable[Image],
    own: Night | None = None,
    served: Night | None = None,
    shares: Mapping[str, float] = SHARES,
    limits: NearLimits | None = LIMITS,
) -> Night:
    """One run after that of `own`, with the model of `served` in the destination, as ingest puts it together."""
    images = tuple(images)
    records = tuple(Record(f"{i.content.decode()}.png", (i.label,), i.split, 1, "", group=i.group) for i in images)
    labels = tuple(sorted({i.label for i in images}))
    dataset = Dataset("", labels, records, dict(shares))
    content_of = {record.path: image.content for record, image in zip(records, images, strict=True)}
    pair = (served and dataclasses.replace(served.record, served=""), own and own.record)
    before = earlier.joined(*pair, shares)
    chosen = splits.rare_label_splits(dataset, lambda r: content_of[r.path], lambda _: True, before)
    rows = np.zeros(len(images), census.ROW)
    for row, record, image in zip(rows, records, images, strict=True):
        sha256 = splits.digest(image.content)
        row["sha256"] = np.frombuffer(bytes.fromhex(sha256), "<u8")
        row["perceptual"][0], row["comparable"] = image.bits or 0, image.bits is not None
        row["split"] = SPLITS.index(splits.assign(record, sha256, shares, chosen, before))
        row["named"] = image.split is not None
    settled = near_duplicates.settle(records, rows, labels, limits, before, shares)
    notes = moves.notes(dataset, records, rows, settled, before)
    rows["split"] = settled.target
    origin = hashlib.sha256(repr(images).encode()).hexdigest()
    key = earlier.key(*pair, shares, origin)
    assigned = Assigned(fractions=dict(shares), origin=origin, earlier=key)
    split_of = {image.content: SPLITS[s] for image, s in zip(images, rows["split"].tolist(), strict=True)}
    record = before.after(rows, assigned, served.record.digest() if served else "")
    return Night(images, split_of, notes, record, key, settled.found is None or settled.found.moved)


def test_a_rare_label_keeps_the_image_that_was_moved_to_test_whatever_comes_and_goes() -> None:
    images = [*take("train", 14), *take("eval", 2)]
    first = night(images)
    [tested] = [content for content, split in first.split_of.items() if split == "test"]
    assert by_hash(splits.digest(tested), SHARES) == "train"  # the hash puts none into test, so one was moved there
    [one_more] = take("test", 1)
    second = night([*images, one_more], first, first)
    assert second.split_of == first.split_of | {one_more.content: "test"}
    third = night(images, second, second)
    assert third.split_of == first.split_of
    assert (second.notes, third.notes) == ((), ())


def test_seventeen_more_digits_move_none_of_the_earlier_ones() -> None:
    digits = [Image(b"%d of %d" % (i, label), str(label)) for label in range(10) for i in range(25)]
    first = night(digits[17:])
    second = night(digits, first, first)
    assert second.split_of.items() >= first.split_of.items()
    assert second.notes == ()
    forgetful = night(digits)
    assert not forgetful.split_of.items() >= first.split_of.items()


def test_without_memory_the_moved_image_would_return_to_train() -> None:
    """What the test before would see if nothing were remembered."""
    images = [*take("train", 14), *take("eval", 2)]
    first, second = night(images), night([*images, *take("test", 1)])
    assert [c for c in first.split_of if first.split_of[c] != second.split_of[c]]


def test_the_served_model_alone_is_memory_enough() -> None:
    images = [*take("train", 14), *take("eval", 2)]
    first = night(images)
    assert night([*images, *take("test", 1)], None, first).split_of.items() >= first.split_of.items()


def test_a_rare_label_takes_a_new_image_for_test_and_none_that_was_in_train() -> None:
    first = night([*take("train", 1), *take("eval", 1)])
    assert sorted(first.split_of.values()) == ["eval", "train"]
    new = take("train", 3, start=1)
    second = night([*first.images, *new], first)
    nearest = max(new, key=lambda image: splits.digest(image.content))
    assert second.split_of == first.split_of | dict.fromkeys((i.content for i in new), "train") | {
        nearest.content: "test"
    }


def test_a_label_whose_images_were_all_in_train_gets_none_for_test_and_is_named() -> None:
    cats = take("train", 14)
    first = night([*cats, *take("eval", 1), *take("test", 1)])
    kittens = [dataclasses.replace(image, label="kitten") for image in cats[:4]]
    second = night([*kittens, *cats[4:], *take("eval", 1), *take("test", 1)], first)
    assert second.split_of == first.split_of
    [note] = second.notes
    assert note == (
        "label 'kitten' has no image in eval and test: its 4 images in train were there in an earlier run, and stay "
        "there; only new images of it can change that"
    )


def test_a_new_near_duplicate_follows_the_image_that_it_is_like() -> None:
    tested, [also] = take("test", 1), take("train", 1)
    others = [*take("train", 5, start=1), *take("eval", 1), *take("test", 1, start=1)]
    first = night([dataclasses.replace(tested[0], bits=0), *others])
    second = night([*first.images, dataclasses.replace(also, bits=1)], first)
    assert second.split_of == first.split_of | {also.content: "test"}
    assert second.notes == ()


def test_an_image_that_was_saved_again_follows_the_file_that_is_gone() -> None:
    before, after = take("test", 1)[0], take("train", 1)[0]
    others = [*take("train", 5, start=1), *take("eval", 1), *take("test", 1, start=1)]
    first = night([dataclasses.replace(before, bits=0), *others])
    second = night([dataclasses.replace(after, bits=3), *others], None, first)
    assert second.split_of[after.content] == "test"
    back = night([dataclasses.replace(take("test", 3)[2], bits=2), *others], second, second)
    assert back.split_of[take("test", 3)[2].content] == "test"


def test_an_image_like_one_of_train_and_one_of_test_moves_the_latter_to_train_by_name() -> None:
    others = [*take("train", 5, start=1), *take("eval", 1), *take("test", 1, start=1)]
    trained, tested = (
        dataclasses.replace(take("train", 1)[0], bits=0b0),
        dataclasses.replace(take("test", 1)[0], bits=0b1111),
    )
    first = night([trained, tested, *others])
    assert (first.split_of[trained.content], first.split_of[tested.content]) == ("train", "test")
    between = dataclasses.replace(take("test", 3)[2], bits=0b11)
    second = night([trained, tested, between, *others], first)
    assert second.split_of == first.split_of | {tested.content: "train", between.content: "train"}
    [note] = second.notes
    assert note == (
        "1 image was in test in an earlier run and moved to train, because images like them, or of the same group, "
        f"were there: {tested.content.decode()}.png"
    )


def test_a_group_column_that_is_added_or_renamed_moves_images_towards_train_only() -> None:
    images = [*take("train", 3), *take("eval", 3), *take("test", 3)]
    first = night(images)
    groups = ["a", "b", "c", "a", "d", "d", "b", "d", "e"]  # train, eval and test: three each
    grouped = [dataclasses.replace(i, group=g) for i, g in zip(images, groups, strict=True)]
    second = night(grouped, first, first)
    # a holds an image of train and one of eval, b of train and test, c of train; d of eval and test; e of test.
    of_group = {"a": "train", "b": "train", "c": "train", "d": "eval", "e": "test"}
    assert second.split_of == {i.content: of_group[g] for i, g in zip(images, groups, strict=True)}
    assert {re.sub(":.*", "", note) for note in second.notes} == {
        f"1 image was in {was} in an earlier run and moved to {now}, because images like them, or of the same group, "
        "were there"
        for was, now in (("eval", "train"), ("test", "train"), ("test", "eval"))
    }
    renamed = [dataclasses.replace(i, group=f"patient {i.group}") for i in grouped]
    assert night(renamed, second, second).split_of == second.split_of


def test_other_shares_are_followed_but_away_from_train_only_by_what_the_served_model_does_not_know() -> None:
    more = {"train": 0.4, "eval": 0.3, "test": 0.3}
    images = [*take("train", 20), *take("eval", 5), *take("test", 5)]
    first = night(images)
    free = night(images, first, None, more)
    assert free.split_of == night(images, None, None, more).split_of != first.split_of
    held = night(images, first, first, more)
    for image in images:
        was, asked, now = (n.split_of[image.content] for n in (first, free, held))
        assert SPLITS.index(now) == min(SPLITS.index(was), SPLITS.index(asked))
    # The intervals were [0, 0.8), [0.8, 0.9), [0.9, 1), and are [0, 0.4), [0.4, 0.7), [0.7, 1): all of eval stays.
    stay = sum(was == "train" != free.split_of[content] for content, was in first.split_of.items())
    assert held.notes == tuple(
        f"{n} images stay in {split}, although the shares in data.split have changed, because no image that the served "
        "model knows moves away from train"
        for n, split in ((5, "eval"), (stay, "train"))
    )
    assert night(images, held, first, more).split_of == held.split_of


def test_splits_that_the_data_set_names_win_and_what_the_model_was_trained_on_is_named() -> None:
    named = [dataclasses.replace(i, split="train") for i in take("train", 7)]
    named += [dataclasses.replace(i, split=s) for s in ("eval", "test") for i in take(s, 1)]
    first = night(named)
    now = [*(dataclasses.replace(i, split="test") for i in named[:6]), *named[6:]]
    second = night(now, first, first)
    assert [second.split_of[i.content] for i in now] == [i.split for i in now]
    names = sorted(f"{i.content.decode()}.png" for i in named[:6])
    [note] = second.notes
    assert note == (
        "6 images were in train in an earlier run and moved to test, as the data set says: "
        f"{', '.join(names[:5])}, and 1 more"
    )
    assert night(now, second, second).notes == ()


def test_an_image_that_was_gone_for_a_while_comes_back_to_its_split() -> None:
    images = [*take("train", 14), *take("eval", 2)]
    first = night(images)
    [tested] = [i for i in images if first.split_of[i.content] == "test"]
    second = night([i for i in images if i != tested], first)
    assert night(images, second).split_of == first.split_of


def test_what_was_gone_for_a_hundred_runs_is_forgotten() -> None:
    images = [*take("train", 3), *take("eval", 1)]
    last = night(images)
    for run in range(101):
        last = night(images[:3], last)
        assert len(last.record.rows) == (4 if run < 100 else 3)


def test_unchanged_data_have_the_key_of_their_first_run() -> None:
    images = [*take("train", 14), *take("eval", 2)]
    first = night(images)
    assert first.key == ""
    assert night(images, first).key == ""  # its own memory
    assert night(images, first, first).key == ""  # and pushed
    assert night(images, None, first).key == ""  # on Kubeflow, or after the folder `output` was removed
    more = [*images, *take("test", 1)]
    second = night(more, first, first)
    assert second.key == night(more, None, first).key != ""
    assert night(more, second, first).key == second.key  # refused
    assert night(more, second, second).key == second.key  # pushed
    assert night(more, None, second).key == second.key
    assert night(more, second, first).key == second.key  # rolled back
    other = night([*take("train", 14), *take("test", 4, start=3)])
    assert night(more, second, other).key != second.key  # another output has pushed its model


@pytest.mark.parametrize("content", [b"", b"{}\n", b'{"sha256": 1}\nabc', b"[]\nx", b"\xff\n"])
def test_a_damaged_file_is_named(tmp_path, content: bytes) -> None:
    path = tmp_path / "splits.npy"
    path.write_bytes(content)
    with pytest.raises(
        earlier.ImagegateError, match=r"splits\.npy, which holds the splits of earlier runs, was damaged"
    ):
        Seen.read(str(path))


def test_the_file_gives_back_what_was_written(tmp_path) -> None:
    path, seen = tmp_path / "splits.npy", night(take("train", 3)).record
    assert Seen.read(str(path)) is None
    seen.write(str(path))
    found = Seen.read(str(path))
    assert found.rows.tobytes() == seen.rows.tobytes()
    assert (found.assigned, found.served) == (seen.assigned, seen.served)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(earlier.ImagegateError, match="damaged"):
        Seen.read(str(path))


# Any sequence of nights.

KNOWN = [b"%d" % i for i in range(40)]


@st.composite
def sequences_of_nights(draw: st.DrawFn) -> list[tuple[Image, ...]]:
    """Images come, go, get another label or group, and resemble others; what a file looks like never changes."""
    near = st.one_of(st.none(), st.sampled_from([0, 1, 3, 7, 15, 31, 63, 127]))
    looks = dict(zip(KNOWN, draw(st.lists(near, min_size=len(KNOWN), max_size=len(KNOWN))), strict=True))
    image = st.builds(
        lambda content, label, group: Image(content, label, looks[content], group),
        st.sampled_from(KNOWN),
        st.sampled_from("ab"),
        st.sampled_from(["", "", "", "p", "q"]),
    )
    nights = st.lists(image, max_size=20, unique_by=lambda i: i.content).map(tuple)
    return draw(st.lists(nights, min_size=2, max_size=4))


def near_or_grouped(images: Iterable[Image], limits: NearLimits | None) -> Iterator[tuple[bytes, bytes]]:
    for one in images:
        for other in images:
            like = (
                limits and one.bits is not None and other.bits is not None and (one.bits ^ other.bits).bit_count() <= 2
            )
            if like or one.group == other.group != "":
                yield one.content, other.content


ANY_SHARES = st.sampled_from([SHARES, {"train": 0.4, "eval": 0.3, "test": 0.3}, {"train": 0.9, "eval": 0.1}])
ANY_LIMITS = st.sampled_from([LIMITS, NearLimits(distance=2, max_share=0.3), None])


@given(sequences_of_nights(), ANY_LIMITS, st.data())
def test_no_image_moves_away_from_train_and_none_moves_without_being_named(
    sequence: list[tuple[Image, ...]], limits: NearLimits | None, data: st.DataObject
) -> None:
    last, served = None, None
    known: dict[bytes, str] = {}
    for images in sequence:
        now = night(images, last, served, limits=limits)
        moved = [c for c in now.split_of if c in known and now.split_of[c] != known[c]]
        assert all(SPLITS.index(now.split_of[c]) < SPLITS.index(known[c]) for c in moved)
        counts = [re.match(r"(\d+) images? (?:was|were) in \w+ in an earlier run and moved", n) for n in now.notes]
        assert sum(int(found[1]) for found in counts if found) == len(moved)
        if not now.moved:  # too many would: the data gate refuses, and nothing is remembered
            continue
        assert all(now.split_of[one] == now.split_of[other] for one, other in near_or_grouped(images, limits))
        assert night(images, now, served).key == night(images, now, now).key == now.key
        again = night(images[::-1], now, served, limits=limits)
        assert again.split_of == now.split_of
        assert not [note for note in again.notes if "moved" in note]
        last, known = now, known | now.split_of
        served = data.draw(st.sampled_from([now, served]))


@given(sequences_of_nights(), ANY_LIMITS, st.data())
def test_whatever_else_changes_no_image_moves_away_from_where_the_served_model_knows_it(
    sequence: list[tuple[Image, ...]], limits: NearLimits | None, data: st.DataObject
) -> None:
    """The shares change, and some splits are named by the data set."""
    last, served = None, None
    for of_night in sequence:
        named = st.sampled_from([None, None, None, *SPLITS])
        images = [dataclasses.replace(image, split=data.draw(named)) for image in of_night]
        shares = data.draw(ANY_SHARES)
        now = night(images, last, served, shares, limits)
        for image in images:
            split, was = now.split_of[image.content], served and served.split_of.get(image.content)
            assert split == (image.split or split)
            assert image.split or not was or SPLITS.index(split) <= SPLITS.index(was)
            assert image.split or shares.get(split)
        if not now.moved:
            continue
        again = night(images, now, served, shares, limits)
        assert (again.split_of, again.key) == (now.split_of, now.key)
        last, served = now, data.draw(st.sampled_from([now, served]))


@given(st.lists(st.sets(st.sampled_from(KNOWN), min_size=1).map(sorted), min_size=2, max_size=4))
def test_a_label_is_in_every_split_unless_its_images_in_train_were_all_there_before(nights: list[list[bytes]]) -> None:
    last, known = None, set()
    for of_night in nights:
        now = night(map(Image, of_night), last)
        train = [c for c in of_night if now.split_of[c] == "train"]
        missing = {"eval", "test"} - set(now.split_of.values())
        assert not missing or len(train) < 2 or known.issuperset(train)
        named = [note for note in now.notes if note.startswith("label 'cat' has no image in ")]
        assert bool(named) == bool(missing and len(train) > 1)
        last, known = now, known | set(of_night)
