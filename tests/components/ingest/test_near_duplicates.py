"""Nearly equal images that the hash put into different splits go to train together, as if they had been there."""

import dataclasses
import io
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from prepared import ingest

from components.base.errors import ImagegateError
from components.data.dataset import SPLITS, Dataset, Record
from components.data.manifest import Assigned
from components.data.mask_rules import rule
from components.ingest import earlier, near_duplicates, settling, shards
from components.ingest.counts import census
from components.ingest.counts.census import ROW, Images
from components.ingest.layouts import folders, masks
from components.ingest.settings import NearLimits
from components.ingest.splits import by_hash, digest

WriteFiles = Callable[..., Path]
SHARES = {"train": 0.8, "eval": 0.1, "test": 0.1}
LIMITS = NearLimits(distance=32, max_share=0.5)


def photo(seed: int, spot: int = 0) -> bytes:
    """Noise of 40 x 40 pixels as PNG; another `spot` changes one pixel, so the file but hardly the perceptual hash."""
    pixels = np.random.default_rng(seed).integers(0, 256, (10, 10, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    pixels[spot // 40, spot % 40] ^= 1 if spot else 0
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def in_split(split: str, seed: int, taken: frozenset[bytes] = frozenset()) -> bytes:
    """A version of the photo `seed` that the hash puts into `split`."""
    versions = (photo(seed, spot) for spot in range(1, 1600))
    return next(v for v in versions if by_hash(digest(v), SHARES) == split and v not in taken)


def data_set() -> tuple[dict[str, bytes], set[str]]:
    """Eight different photos in each split, and three that lie in two splits each; and the names of those to move."""
    files = {
        f"{'cat' if i % 2 else 'dog'}/{s}{i}.png": in_split(s, 100 * k + i)
        for k, s in enumerate(SPLITS)
        for i in range(8)
    }
    files |= {"cat/a.png": in_split("train", 900), "cat/b.png": in_split("eval", 900)}
    files |= {"dog/c.png": in_split("train", 901), "dog/d.png": in_split("test", 901)}
    files |= {"cat/e.png": in_split("eval", 902), "cat/f.png": in_split("test", 902)}
    return files, {"cat/b.png", "dog/d.png", "cat/e.png", "cat/f.png"}


def content_of(folder: Path) -> dict[str, bytes]:
    """The files below a folder but the manifest."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.name != "manifest.json" and p.is_file()
    }


def splits_of(folder: Path) -> dict[str, str]:
    images = Images.read(str(folder))
    paths = images.paths(range(len(images.rows)))
    return {path: SPLITS[i] for path, i in zip(paths, images.rows["split"].tolist(), strict=True)}


def test_the_shards_and_counts_are_those_of_images_that_were_in_train_from_the_start(
    tmp_path: Path, write_files: WriteFiles
) -> None:
    files, move = data_set()
    dataset = folders.read(str(write_files(tmp_path / "data", files)), SHARES)
    found = ingest(dataset, tmp_path / "moved", near=LIMITS)
    known = ingest(dataset, tmp_path / "known", moved={digest(files[path]): "train" for path in move})
    assert content_of(tmp_path / "moved") == content_of(tmp_path / "known")
    assert found == known.model_copy(update={"near_duplicates": found.near_duplicates, "notes": found.notes})
    assert {p for p, s in splits_of(tmp_path / "moved").items() if s == "train"} >= move
    assert found.counts == {"train": 8 + 2 + 4, "eval": 8, "test": 8}
    # 10 were in eval and in test: 8, and 2 of the three pairs.
    assert found.near_duplicates is not None
    assert found.near_duplicates.assigned == {"eval": 10, "test": 10}
    assert found.near_duplicates.found == {"eval": 2, "test": 2}
    [note] = found.notes
    assert note.startswith("4 nearly equal images were moved to train (2 from eval and 2 from test)")


def test_masks_and_slices_are_counted_again_too(tmp_path: Path, write_files: WriteFiles) -> None:
    files, move = data_set()
    files = {path.replace("/", "_"): data for path, data in files.items()}
    pixels = {name: np.full((40, 40), i % 3 == 0, np.uint8) for i, name in enumerate(sorted(files))}
    every = {f"images/{name}": data for name, data in files.items()}
    for name, mask in pixels.items():
        out = io.BytesIO()
        Image.fromarray(mask).save(out, "PNG")
        every[f"masks/{name}"] = out.getvalue()
    meaning = rule(["wall", "sky"])
    dataset = masks.read(
        str(write_files(tmp_path / "data", every)),
        SHARES,
        ("wall", "sky"),
        images="images",
        masks="masks",
        image_suffix="",
        mask_suffix="",
        lists=None,
    )
    records = tuple(dataclasses.replace(r, slices=(("camera", r.path[-5]),)) for r in dataset.records)
    dataset = dataclasses.replace(dataset, records=records)
    found = ingest(dataset, tmp_path / "moved", near=LIMITS, rule=meaning)
    moved = {digest(files[path.replace("/", "_")]): "train" for path in move}
    known = ingest(dataset, tmp_path / "known", moved=moved, rule=meaning)
    assert content_of(tmp_path / "moved") == content_of(tmp_path / "known")
    assert found == known.model_copy(update={"near_duplicates": found.near_duplicates, "notes": found.notes})
    assert found.counts["train"] == 14


@pytest.mark.parametrize("threads", [1, 3])
def test_order_and_threads_change_nothing(tmp_path: Path, write_files: WriteFiles, threads: int) -> None:
    dataset = folders.read(str(write_files(tmp_path / "data", data_set()[0])), SHARES)
    one = ingest(dataset, tmp_path / "one", near=LIMITS)
    other = ingest(dataset, tmp_path / "other", threads, random.Random(7), near=LIMITS)
    assert one == other
    assert content_of(tmp_path / "one") == content_of(tmp_path / "other")


@pytest.mark.parametrize("threads", [1, 3])
def test_the_next_night_has_the_same_bytes_in_any_order_and_again_with_its_own_memory(
    tmp_path: Path, write_files: WriteFiles, threads: int
) -> None:
    files, _ = data_set()
    root = str(write_files(tmp_path / "data", files))
    first = ingest(folders.read(root, SHARES), tmp_path / "first", near=LIMITS)
    before = remembered(tmp_path / "first")
    assert ingest(folders.read(root, SHARES), tmp_path / "again", near=LIMITS, earlier=before).content == first.content
    shards_of = {name: data for name, data in content_of(tmp_path / "first").items() if name.startswith("Split-")}
    assert content_of(tmp_path / "again").items() >= shards_of.items()
    new = {  # one like an image of test, one like an image that was moved to train, and two like none
        "cat/g.png": in_split("train", 200),
        "dog/h.png": in_split("test", 902, frozenset({files["cat/f.png"]})),
        "cat/i.png": in_split("eval", 903),
        "dog/j.png": in_split("test", 904),
    }
    dataset = folders.read(str(write_files(tmp_path / "data", new)), SHARES)
    second = ingest(dataset, tmp_path / "second", near=LIMITS, earlier=before)
    assert ingest(dataset, tmp_path / "other", threads, random.Random(7), near=LIMITS, earlier=before) == second
    assert content_of(tmp_path / "other") == content_of(tmp_path / "second")
    after = {"cat/g.png": "test", "dog/h.png": "train", "cat/i.png": "eval", "dog/j.png": "test"}
    assert splits_of(tmp_path / "second") == splits_of(tmp_path / "first") | after
    assert second.notes == ()
    ingest(dataset, tmp_path / "third", near=LIMITS, earlier=remembered(tmp_path / "second", before))
    assert content_of(tmp_path / "third") == content_of(tmp_path / "second")


def remembered(folder: Path, before: earlier.Earlier | None = None) -> earlier.Earlier:
    """What a run that wrote to the folder leaves for the next one."""
    assigned = Assigned(fractions=SHARES, origin="", earlier="")
    rows = Images.read(str(folder)).rows
    return earlier.joined(None, (before or earlier.Earlier()).after(rows, assigned, ""), SHARES)


def test_too_many_are_left_where_they_are(tmp_path: Path, write_files: WriteFiles) -> None:
    files, move = data_set()
    dataset = folders.read(str(write_files(tmp_path / "data", files)), SHARES)
    found = ingest(dataset, tmp_path / "out", near=NearLimits(distance=32, max_share=0.19))  # 2 of 10 are more
    assert found.near_duplicates is not None
    assert not found.near_duplicates.moved
    assert found.near_duplicates.found == {"eval": 2, "test": 2}
    assert found.counts == {"train": 10, "eval": 10, "test": 10}
    assert found.notes == ()
    assert all(split != "train" for path, split in splits_of(tmp_path / "out").items() if path in move)


def test_nothing_is_looked_for_without_limits(tmp_path: Path, write_files: WriteFiles) -> None:
    dataset = folders.read(str(write_files(tmp_path / "data", data_set()[0])), SHARES)
    found = ingest(dataset, tmp_path / "out")
    assert found.near_duplicates is None
    assert found.counts == {"train": 10, "eval": 10, "test": 10}


def test_a_file_that_changes_in_between_ends_the_run(tmp_path: Path, write_files: WriteFiles) -> None:
    root = write_files(tmp_path / "data", data_set()[0])
    dataset = folders.read(str(root), SHARES)
    job, report = shards.job(dataset, 10_000), census.Report()
    for item in shards.examine(dataset.records, job):
        shards.enter(item, report)
    (root / "cat/b.png").write_bytes(photo(1))
    with pytest.raises(ImagegateError, match=r"cat/b\.png: the file changed while the data set was read; run again"):
        settling.merge(dataset, [report], job, LIMITS)


def test_a_label_that_loses_its_only_image_of_eval_gets_another(tmp_path: Path, write_files: WriteFiles) -> None:
    files = {f"dog/{s}{i}.png": in_split(s, 100 * k + i) for k, s in enumerate(SPLITS) for i in range(8)}
    rare = {f"cat/{i}.png": in_split("train", 800 + i) for i in range(3)}
    rare |= {
        "cat/near.png": in_split("train", 850),
        "cat/eval.png": in_split("eval", 850),
        "cat/test.png": in_split("test", 860),
    }
    dataset = folders.read(str(write_files(tmp_path / "data", files | rare)), SHARES)
    found = ingest(dataset, tmp_path / "out", near=LIMITS)
    # Five of cat in train; of the three without a partner, that with the largest hash is nearest to eval's interval.
    nearest = max((f"cat/{i}.png" for i in range(3)), key=lambda path: digest(rare[path]))
    after = splits_of(tmp_path / "out")
    assert {path for path in rare if after[path] == "eval"} == {nearest}
    assert found.label_counts["cat"] == {"train": 4, "eval": 1, "test": 1}
    assert found.notes == (
        "1 nearly equal image was moved to train (1 from eval), because images like them were in another split",
        "1 image was moved from train in their place, so that every label stays in eval and test",
    )
    known = ingest(
        dataset, tmp_path / "known", moved={digest(rare["cat/eval.png"]): "train", digest(rare[nearest]): "eval"}
    )
    assert content_of(tmp_path / "out") == content_of(tmp_path / "known")
    assert found == known.model_copy(update={"near_duplicates": found.near_duplicates, "notes": found.notes})


def test_a_label_keeps_its_last_image_of_train(tmp_path: Path, write_files: WriteFiles) -> None:
    files = {f"dog/{s}{i}.png": in_split(s, 100 * k + i) for k, s in enumerate(SPLITS) for i in range(8)}
    files |= {"cat/near.png": in_split("train", 850), "cat/eval.png": in_split("eval", 850)}
    dataset = folders.read(str(write_files(tmp_path / "data", files)), SHARES)
    found = ingest(dataset, tmp_path / "out", near=LIMITS)
    assert found.label_counts["cat"] == {"train": 2, "eval": 0, "test": 0}


# Images as pure numbers: perceptual hash, group and split are free, so that chains and groups of every kind come up.

One = tuple[int, str, str]  # bits of the perceptual hash; group; split of its own, if it has no group


@st.composite
def collections_of_images(draw: st.DrawFn) -> dict[str, One]:
    # Hashes of a few bits in one word, so that neighbours, 2 bits apart at most, are common.
    one = st.tuples(
        st.sampled_from([0, 1, 3, 7, 15, 31, 63, 127, 255, 0xF000, 0xFF00]), st.sampled_from(["", "", "", "p", "q"])
    )
    images = draw(st.lists(one, max_size=14))
    split = draw(st.lists(st.sampled_from(SPLITS), min_size=len(images), max_size=len(images)))
    of_group = {g: draw(st.sampled_from(SPLITS)) for g in "pq"}
    return {
        f"{i}.png": (bits, g, of_group.get(g, s)) for i, ((bits, g), s) in enumerate(zip(images, split, strict=True))
    }


def settled(images: Mapping[str, One]) -> dict[str, str]:
    """Path -> split after the moves."""
    records = [Record(path, ("cat",), None, 1, "", group=group) for path, (_, group, _) in images.items()]
    rows = np.zeros(len(images), ROW)
    for row, (path, (bits, _, split)) in zip(rows, images.items(), strict=True):
        row["sha256"] = np.frombuffer(bytes.fromhex(digest(path.encode())), "<u8")
        row["perceptual"][0], row["split"], row["comparable"] = bits, SPLITS.index(split), True
    sets = near_duplicates.connected_sets(records, rows, 2)
    target = near_duplicates.to_train(rows, sets)
    return {path: SPLITS[i] for path, i in zip(images, target.tolist(), strict=True)}


def near(images: Mapping[str, One]) -> Iterator[tuple[str, str]]:
    """All pairs, by comparing every two."""
    for one, (bits, _, _) in images.items():
        for other, (others, _, _) in images.items():
            if one < other and (bits ^ others).bit_count() <= 2:
                yield one, other


@given(collections_of_images())
def test_no_pair_is_left_in_two_splits_and_what_has_no_partner_stays(images: dict[str, One]) -> None:
    after = settled(images)
    assert all(after[one] == after[other] for one, other in near(images))
    assert all(after[path] in (split, "train") for path, (_, _, split) in images.items())
    for group in "pq":
        assert len({after[path] for path, (_, g, _) in images.items() if g == group}) <= 1
    # What moves is connected, by steps of near pairs and groups, with an image of another split.
    steps = [*near(images), *((a, b) for a in images for b in images if images[a][1] == images[b][1] != "")]
    for path, (_, _, split) in images.items():
        reached = {path}
        while more := {q for a, b in steps for q in (a, b) if {a, b} & reached} - reached:
            reached |= more
        assert (after[path] == "train") == (split == "train" or len({images[q][2] for q in reached}) > 1)


@given(collections_of_images(), st.randoms())
def test_the_order_changes_nothing(images: dict[str, One], order: random.Random) -> None:
    shuffled = list(images)
    order.shuffle(shuffled)
    assert settled({path: images[path] for path in shuffled}) == settled(images)


@given(collections_of_images(), st.sampled_from(SPLITS))
def test_an_image_without_a_partner_changes_nothing(images: dict[str, One], split: str) -> None:
    unrelated = {"new.png": ((1 << 60) - (1 << 40), "", split)}
    assert settled(images | unrelated) == settled(images) | {"new.png": split}


def test_an_image_whose_split_the_data_set_names_stays() -> None:
    records = [Record("a.png", ("cat",), "eval", 1, ""), Record("b.png", ("cat",), None, 1, "")]
    rows = np.zeros(2, ROW)
    rows["split"], rows["named"], rows["comparable"] = [1, 0], [True, False], True
    sets = near_duplicates.connected_sets(records, rows, 2)
    assert near_duplicates.to_train(rows, sets).tolist() == [1, 0]


def test_equal_files_move_together_even_if_they_cannot_be_compared() -> None:
    """Images below 32 pixels have no perceptual hash; `b` and its copy are of two groups' files."""
    records = [Record(p, ("cat",), None, 1, "", group=g) for p, g in (("a", "p"), ("b", "p"), ("c", ""))]
    rows = np.zeros(3, ROW)
    rows["sha256"][:, 0] = [1, 2, 2]
    rows["split"] = [1, 1, 0]
    sets = near_duplicates.connected_sets(records, rows, 2)
    assert sets[0] == sets[1] != sets[2]  # a group, and a file outside of it: the gate refuses these equal files


def test_an_empty_data_set_has_nothing_to_move() -> None:
    dataset = Dataset("", ("cat",), (), SHARES)
    found, images = settling.merge(dataset, [], shards.job(dataset, 10), LIMITS)
    assert found.near_duplicates is not None
    assert found.near_duplicates.found == {"eval": 0, "test": 0}
    assert len(images.rows) == 0
