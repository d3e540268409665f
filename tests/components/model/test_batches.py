"""What training sees: every image once, with its target and weight, in an order of the seed."""

import dataclasses
import io
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from prepared import Prepared, prepare, prepare_pool

from components.data import features, images
from components.data.dataset import UNLABELLED, Dataset, Record
from components.data.mask_rules import rule
from components.model.features.feature_store import FeatureStore
from components.model.fitting import batches
from components.model.fitting.batches import HELD_OUT, Batches, Others
from components.model.networks import augmentation

NAMES = ("cat", "dog", "emu")
# Labels that apply, those of which nobody said, and the weight; image i of train is ROWS[i], and eval has them, too.
ROWS = [
    (("cat",), (), 1.0),
    (("dog",), (), 2.5),
    (("emu",), (), 0.25),
    ((), NAMES, 3.0),
    (("cat",), (), 1.0),
    (("dog",), (), 1.0),
    (("cat",), (), 7.0),
]
SINGLE = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1], [1, 0, 0], [0, 1, 0], [1, 0, 0]]
TAGS = [
    (("cat", "dog"), (), 1.0),
    (("dog",), ("cat",), 2.5),
    ((), (), 0.25),
    ((), NAMES, 3.0),
    (("emu",), ("cat", "dog"), 1.0),
    (("cat", "dog", "emu"), (), 1.0),
    (("cat",), (), 7.0),
]
MULTI = [[1, 1, 0], [-1, 1, 0], [0, 0, 0], [-1, -1, -1], [-1, -1, 1], [1, 1, 1], [1, 0, 0]]


def write_records(root: Path, rows: list, **told: object) -> tuple[Record, ...]:
    """Image i, whatever the split, has the colour (i, split, 0) throughout."""
    records = []
    for part, split in enumerate(("train", "eval", "test")):
        for i, (labels, unknown, weight) in enumerate(rows):
            path = root / split / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (i, part, 0)).save(path)
            records.append(Record(f"{split}/{i}.png", labels, split, 100, "", unknown=unknown, weight=weight))
    return tuple(records)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    base = tmp_path_factory.mktemp("single")
    return prepare(base, "single_label", Dataset(str(base / "data"), NAMES, write_records(base / "data", ROWS), {}))


@pytest.fixture(scope="module")
def multi(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    base = tmp_path_factory.mktemp("multi")
    return prepare(base, "multi_label", Dataset(str(base / "data"), NAMES, write_records(base / "data", TAGS), {}))


def quarters(ids: list[int]) -> np.ndarray:
    """16 x 16 of four values, one a quarter."""
    return np.kron(np.array(ids, np.uint8).reshape(2, 2), np.ones((8, 8), np.uint8))


# Labels of the quarters of each mask; 9 is ignored. The image is 50 times as bright.
MASKS = [[0, 1, 2, 2], [1, 1, 0, 2], [2, 0, 0, 0], [0, 2, 1, 0], [1, 0, 2, 1], [2, 2, 1, 0]]


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    base = tmp_path_factory.mktemp("masks")
    records = []
    for split in ("train", "eval", "test"):
        for i, ids in enumerate(MASKS):
            (base / "data" / split).mkdir(parents=True, exist_ok=True)
            Image.fromarray(quarters(ids) * 50).convert("RGB").save(base / "data" / split / f"{i}.png")
            with_ignored = quarters(ids)
            with_ignored[0, :] = 9
            Image.fromarray(with_ignored).save(base / "data" / split / f"{i}-mask.png")
            path = f"{split}/{i}.png"
            records.append(Record(path, (), split, 100, "", weight=i + 0.5, mask=path.replace(".png", "-mask.png")))
    meaning = rule(["sky", "road", "car"], ignore=9)
    return prepare(base, "segmentation", Dataset(str(base / "data"), meaning.labels, tuple(records), {}), meaning)


def joined(data: tf.data.Dataset) -> tuple[np.ndarray, ...]:
    """(images, targets, weights) of all batches."""
    return tuple(np.concatenate(column) for column in zip(*data, strict=True))


def test_no_input_is_tuned_for_which_its_iterators_would_wait(single: Prepared, masks: Prepared) -> None:
    batches, of_masks = single.batches(epochs=2), masks.batches(epochs=2)
    changing = of_masks.train(lambda images, masks, seed: (images, masks))
    for data in (batches.train(), batches.eval(), batches.once("eval"), changing):
        assert data.options().autotune.enabled is False


@pytest.mark.parametrize("epochs", [1, 3], ids=["decoded once", "kept"])
@pytest.mark.parametrize(("task", "rows", "expected"), [("single", ROWS, SINGLE), ("multi", TAGS, MULTI)])
def test_an_epoch_has_every_image_once_with_its_target_and_weight(
    request: pytest.FixtureRequest, task: str, rows: list, expected: list[list[int]], epochs: int
) -> None:
    batches = request.getfixturevalue(task).batches(epochs=epochs)
    for part, data in ((0, batches.train()), (1, batches.eval())):
        assert [len(weight) for _, _, weight in data] == [5, 2]
        assert len(data) == 2
        for _ in range(2):
            pixels, target, weight = joined(data)
            assert (pixels.dtype, pixels.shape, target.dtype) == (np.uint8, (7, 8, 8, 3), np.float32)
            which = pixels[:, 0, 0, 0]
            assert sorted(which) == list(range(7))
            assert (pixels[..., 1] == part).all()
            np.testing.assert_array_equal(target, np.array(expected)[which])
            np.testing.assert_array_equal(weight, np.array([row[2] for row in rows], np.float32)[which])


def test_train_is_shuffled_anew_each_epoch_and_the_same_for_the_same_seed(single: Prepared) -> None:
    def epochs(seed: int, count: int) -> list[list[int]]:
        train = single.batches(seed=seed, epochs=count).train()
        return [joined(train)[0][:, 0, 0, 0].tolist() for _ in range(4)]

    for count in (1, 3):
        first = epochs(1, count)
        assert first == epochs(1, count) != epochs(2, count)
        assert len(set(map(tuple, first))) > 1


def test_an_epoch_of_few_images_goes_through_them_until_it_has_its_steps(single: Prepared) -> None:
    """7 images and batches of 2: 5 steps need 10 images, which are two passes; 3 steps need one."""
    for least, steps, times in ((5, 7, 2), (3, 4, 1)):
        data = single.batches(batch_size=2, epochs=2, least_steps=least)
        for kept in (data, single.batches(batch_size=2, epochs=1, least_steps=least)):
            batches = list(kept.train())
            assert len(batches) == int(kept.train().cardinality()) == steps
            reds = [int(p) for pixels, *_ in batches for p in pixels[:, 0, 0, 0]]
            assert sorted(reds) == sorted(times * [*dict.fromkeys(reds)])
            assert len(set(reds)) == 7


def test_label_weights_are_those_of_the_train_split(single: Prepared, multi: Prepared, masks: Prepared) -> None:
    # 3, 2 and 1 of 6 labelled images: the median is 2.
    assert single.batches().label_weights() == pytest.approx([2 / 3, 1, 2])
    # cat 3 of 4, dog 3 of 5, emu 2 of 6: frequencies 0.75, 0.6 and 1/3.
    assert multi.batches().label_weights() == pytest.approx([0.6 / 0.75, 1, 0.6 * 3])
    # Of 64 pixels a quarter, the upper two have 8 of them ignored; 240 are known of each image.
    # sky is in all 6, with the quarters of MASKS: 9 of them, 3 upper; road in 5 (8, 4 upper), car in 6 (8, 5 upper).
    upper = {k: sum(ids[:2].count(k) for ids in MASKS) for k in range(3)}
    own = [64 * sum(ids.count(k) for ids in MASKS) - 8 * upper[k] for k in range(3)]
    of_images = [240 * sum(k in ids for ids in MASKS) for k in range(3)]
    frequency = np.array(own) / np.array(of_images)
    assert masks.batches().label_weights() == pytest.approx(np.median(frequency) / frequency)


@pytest.mark.parametrize("epochs", [1, 3], ids=["decoded once", "kept"])
def test_masks_are_resized_as_their_images(masks: Prepared, epochs: int) -> None:
    pixels, target, weight = joined(masks.batches(epochs=epochs).eval())
    assert (target.dtype, target.shape) == (np.uint8, (6, 8, 8))
    # From 16 to 8 pixels a side: of each two, the nearest to the middle is the second, so the ignored row is gone.
    # The image's pixels are a mean of several, the mask's are not.
    np.testing.assert_array_equal(target, np.round(pixels[..., 0] / 50))
    number = [MASKS.index([int(m[0, 0]), int(m[0, 7]), int(m[7, 0]), int(m[7, 7])]) for m in target]
    assert sorted(number) == list(range(6))
    np.testing.assert_array_equal(weight, np.array(number) + 0.5)


def test_ignored_pixels_stay_ignored(masks: Prepared) -> None:
    _, target, _ = joined(masks.batches(image_size=(16, 16)).eval())
    assert (target[:, 0] == features.IGNORED_ID).all()
    assert (target[:, 1:] != features.IGNORED_ID).all()


def test_images_are_those_that_serving_decodes(tmp_path: Path) -> None:
    """A photo larger than the model's, in another format than the others."""
    pixels = np.random.default_rng(0).integers(0, 256, (21, 33, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    records = write_records(tmp_path / "data", ROWS)
    (tmp_path / "data" / "eval" / "0.png").write_bytes(out.getvalue())
    ready = prepare(tmp_path, "single_label", Dataset(str(tmp_path / "data"), NAMES, records, {}))
    expected = images.decode(tf.constant(out.getvalue()), (8, 8)).numpy()
    found = joined(ready.batches().eval())[0]
    assert [i for i in range(7) if np.array_equal(found[i], expected)]


def test_augmentation_changes_image_and_mask_anew_each_epoch_as_the_seed_says(masks: Prepared) -> None:
    keras.utils.set_random_seed(1)  # the Trainer does; tf.data's random numbers depend on it, too

    def epochs(seed: int) -> list[tuple[np.ndarray, ...]]:
        train = masks.batches(seed=seed).train(augmentation.pairs)
        return [joined(train) for _ in range(2)]

    first, again, other = epochs(1), epochs(1), epochs(2)
    for one, same in zip(first, again, strict=True):
        for a, b in zip(one, same, strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0][1], first[1][1])
    assert not np.array_equal(first[0][1], other[0][1])
    for _, target, weight in first:
        assert set(np.unique(target)) == {0, 1, 2, features.IGNORED_ID}  # the last: outside of the picture
        assert sorted(weight) == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]


def test_every_batch_is_augmented_with_a_seed_of_its_own(masks: Prepared) -> None:
    seeds: list[tuple[int, ...]] = []

    def augment(pixels: tf.Tensor, ids: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return pixels, tf.zeros_like(ids, tf.int32) + seed[0]

    train = masks.batches(batch_size=2).train(augment)
    for _ in range(2):
        seeds += [tuple(np.unique(ids)) for _, ids, _ in train]
    assert all(len(seed) == 1 for seed in seeds)
    assert len(set(seeds)) == len(seeds) == 6


def red_of() -> tuple[keras.Model, list[int]]:
    """An extractor of mean colours, and how many images it has seen in each call."""
    seen: list[int] = []

    class Mean(keras.layers.Layer):
        def call(self, x: tf.Tensor) -> tf.Tensor:
            tf.py_function(lambda n: seen.append(int(n)), [tf.shape(x)[0]], [])
            return tf.reduce_mean(x, axis=(1, 2))

    return keras.Sequential([keras.Input((8, 8, 3)), Mean()]), seen


@pytest.mark.parametrize("task", ["single", "multi"])
def test_pooled_features_are_those_of_the_images(request: pytest.FixtureRequest, task: str) -> None:
    data = request.getfixturevalue(task).batches()
    extractor, _ = red_of()
    found = data.pooled("eval", extractor, FeatureStore("", ""))
    pixels, target, weight = joined(data.eval())
    np.testing.assert_allclose(found.features, pixels.mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(found.target, target)
    np.testing.assert_array_equal(found.weight, weight)
    shuffled, _, weight = joined(data.of_features(data.pooled("train", extractor, FeatureStore("", "")), shuffle=True))
    assert sorted(shuffled[:, 0]) == list(range(7))
    rows = ROWS if task == "single" else TAGS
    np.testing.assert_array_equal(weight, [rows[int(i)][2] for i in shuffled[:, 0]])


def test_only_features_that_the_store_lacks_are_computed(single: Prepared, tmp_path: Path) -> None:
    """Train has 7 images. One part, of any images, is lost; only these are computed again."""
    data, store = single.batches(), FeatureStore(str(tmp_path), "key")
    extractor, seen = red_of()
    first = data.pooled("train", extractor, store)
    assert sum(seen) == 7
    seen.clear()
    np.testing.assert_array_equal(data.pooled("train", extractor, store).features, first.features)
    assert seen == []
    [part] = (tmp_path / "key").iterdir()
    part.unlink()
    known = dict(zip(data._told("train")[0], first.features, strict=True))
    store.add(dict(list(known.items())[:5]))
    np.testing.assert_array_equal(data.pooled("train", extractor, store).features, first.features)
    assert sum(seen) == 2


def test_names_in_a_changed_order_are_targets_in_that_order(tmp_path: Path) -> None:
    records = write_records(tmp_path / "data", ROWS)
    order = ("emu", "cat", "dog")
    ready = prepare(tmp_path, "single_label", Dataset(str(tmp_path / "data"), order, records, {}))
    pixels, target, _ = joined(ready.batches().eval())
    names: list[str | None] = [order[int(row.argmax())] if row.max() > 0 else None for row in target]
    assert names == [ROWS[i][0][0] if ROWS[i][0] else None for i in pixels[:, 0, 0, 0]]
    assert ready.batches().label_weights() == pytest.approx([2, 2 / 3, 1])


# Once.


def test_a_single_pass_keeps_the_order_of_the_shards_and_thins_too_many_evenly(single: Prepared) -> None:
    """Image i's red is i."""
    in_shards = [
        tf.io.decode_png(tf.train.Example.FromString(r).features.feature[features.IMAGE].bytes_list.value[0])[0, 0, 0]
        for r in single.records("train")
    ]
    data = single.batches(batch_size=2)
    assert (data.count("train"), data.count("eval")) == (7, 7)
    # Of 7 at most 6 or 4 are every second; at most 3 every third; at most 2 every fourth.
    for most, every in ((None, 1), (7, 1), (6, 2), (4, 2), (3, 3), (2, 4), (1, 7)):
        batches = list(data.once("train", most))
        assert len(batches) == int(data.once("train", most).cardinality())
        assert [int(p) for pixels, *_ in batches for p in pixels[:, 0, 0, 0]] == in_shards[::every]
        assert len(in_shards[::every]) <= (most or 7)


@pytest.mark.parametrize("epochs", [1, 2])  # decoded anew in each epoch, or kept
def test_balanced_epochs_draw_each_label_as_often(single: Prepared, epochs: int) -> None:
    """Three cats, two dogs, an emu, and an image without a label, which is not drawn: each label a third of seven."""
    train = single.batches(balanced=True, epochs=epochs).train()
    assert int(train.cardinality()) == 2  # batches of five: as many images as without drawing
    orders = [np.concatenate([targets for _, targets, _ in train.as_numpy_iterator()]) for _ in range(60)]
    assert {len(targets) for targets in orders} == {7}
    drawn = np.concatenate(orders)
    assert (drawn >= 0).all()
    np.testing.assert_allclose(drawn.mean(axis=0), 1 / 3, atol=0.04)
    # A resumed training draws the orders of its first epochs without reading them.
    again = single.batches(balanced=True, epochs=epochs).train()
    iter(again)
    iter(again)
    np.testing.assert_array_equal(np.concatenate([targets for _, targets, _ in again.as_numpy_iterator()]), orders[2])


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Five images without labels; image i has the colour (100 + i, 9, 0) throughout."""
    base = tmp_path_factory.mktemp("pool")
    (base / "data").mkdir()
    for i in range(5):
        Image.new("RGB", (8, 8), (100 + i, 9, 0)).save(base / "data" / f"{i}.png")
    return prepare_pool(base / "data", base / "shards")


@pytest.mark.parametrize("guessed", [False, True])
def test_every_batch_has_images_without_labels_beside_the_labelled_ones(
    single: Prepared, pool: str, guessed: bool
) -> None:
    """7 images of train in batches of 4, and 3 of 6 others in each batch: 2 batches, as 6 / 3 = 2, too.

    The others are the five of the folder, and image 3 of train, of which no label is known.
    """
    data = single.batches(batch_size=4, unlabelled=pool)
    assert data.count(UNLABELLED) == 6
    order = joined(data.once(UNLABELLED))[0][:, 0, 0, 0].tolist()
    assert sorted(order) == [3, 100, 101, 102, 103, 104]
    target = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]] * np.float32(0.5)
    weight = np.arange(6, dtype=np.float32)
    others = Others(3, 50, target, weight) if guessed else Others(3, 50)
    train = data.beside(others).train()
    assert len(train) == 2
    seen = set()
    for _ in range(3):
        batches = list(train)  # each has the labelled images first
        own = np.concatenate([pixels[:-3, 0, 0, 0] for pixels, _, _ in batches])
        assert sorted(own) == list(range(7))
        for pixels, found, weights in batches:
            colours = pixels[-3:, 0, 0, 0].numpy().tolist()
            seen |= set(colours)
            rows = [order.index(colour) for colour in colours]
            np.testing.assert_array_equal(found[-3:], target[rows] if guessed else np.full((3, 3), -1))
            np.testing.assert_array_equal(weights[-3:], weight[rows] if guessed else np.ones(3))
    assert seen == set(order)


def test_beside_images_without_labels_an_epoch_has_no_fewer_steps(single: Prepared, pool: str) -> None:
    """Batches of 2 of 7 images: 5 steps take two passes, which make 7. One batch would do for the 6 others."""
    data = single.batches(batch_size=2, least_steps=5, unlabelled=pool).beside(Others(6, 50))
    assert [len(weight) for _, _, weight in data.train()] == 7 * [2 + 6]


def test_of_many_images_without_labels_those_at_the_end_are_seen_too(
    single: Prepared, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epochs of one batch with one of six others, of which the shuffle buffer holds one at a time."""
    monkeypatch.setattr(batches, "_SHUFFLE", 1)
    train = single.batches(batch_size=7, unlabelled=pool).beside(Others(1, 1)).train()
    seen = [int(pixels[-1, 0, 0, 0]) for _ in range(60) for pixels, *_ in train]
    assert len(seen) == 60
    assert set(seen) == {3, 100, 101, 102, 103, 104}


def test_a_mask_of_an_image_without_labels_is_unknown_everywhere(masks: Prepared, pool: str) -> None:
    """Six labelled images in batches of 6, and 2 others in each."""
    data = masks.batches(batch_size=6, image_size=(16, 16), unlabelled=pool).beside(Others(2, 50))
    pixels, found, _ = joined(data.train())
    mine = pixels[:, 0, 0, 1] == 9
    assert mine.sum() == 6  # ceil(5 / 2) = 3 batches
    assert (found[mine] == features.IGNORED_ID).all()
    assert (found[~mine] != features.IGNORED_ID).any()


def test_every_image_is_held_out_in_one_fold_and_learnt_from_in_the_others(single: Prepared) -> None:
    data = single.batches(epochs=2)
    held: list[int] = []
    for index in range(3):
        part = data.fold(index, 3)
        rest, own = (sorted(_colours(part, split)) for split in ("train", HELD_OUT))
        assert (len(rest), len(own)) == (part.count("train"), part.count(HELD_OUT))
        assert sorted(rest + own) == list(range(7))
        assert sorted(joined(part.train())[0][:, 0, 0, 0]) == rest
        assert sorted(_colours(part, "eval")) == list(range(7))
        held += own
    assert sorted(held) == list(range(7))


def test_copies_of_an_image_are_in_the_same_fold(tmp_path: Path) -> None:
    """Eight pictures, each twice: a picture that is held out must not be learnt from under another name."""
    records = write_records(tmp_path / "data", [(("cat",), (), 1.0), (("dog",), (), 1.0)] * 4)
    train = [record for record in records if record.split == "train"]
    copies = [dataclasses.replace(record, path=f"copy/{Path(record.path).name}") for record in train]
    (tmp_path / "data" / "copy").mkdir()
    for record, twin in zip(train, copies, strict=True):
        shutil.copyfile(tmp_path / "data" / record.path, tmp_path / "data" / twin.path)
    dataset = Dataset(str(tmp_path / "data"), ("cat", "dog"), (*records, *copies), {})
    data = prepare(tmp_path, "single_label", dataset).batches()
    held = [_colours(data.fold(index, 3), HELD_OUT) for index in range(3)]
    assert sorted(colour for own in held for colour in own) == sorted([*range(8), *range(8)])
    assert all(own.count(colour) == 2 for own in held for colour in own)


def _colours(data: Batches, split: str) -> list[int]:
    batches = list(data.once(split)) if data.count(split) else []
    return joined(batches)[0][:, 0, 0, 0].tolist() if batches else []
