"""Pictures for the page from real shards, real predictions and a real model."""

import base64
import io
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import keras
import numpy as np
import pytest
import tensorflow as tf
from answered import ingested
from PIL import Image
from prepared import RUNNER, ingest
from trees import encoded, grey, tree

from components.data.arrays.spec import Bands
from components.data.dataset import Dataset, Record
from components.data.features import IGNORED_ID
from components.data.mask_rules import rule
from components.drawing import overlay
from components.evaluation import predictions
from components.gates.compared import Regression
from components.gates.found import WeakGroup
from components.gates.records import Found
from components.labels import kinds
from components.model import signatures
from components.model.networks import network
from components.report import budget, examples

SINGLE, MULTI, MASKS = kinds.KINDS.values()

FRACTIONS = {"train": 0.8, "eval": 0.1, "test": 0.1}
EVERY = {
    "path": str,
    "truth": list,
    "predicted": list,
    "probability": float,
    "familiarity": float,
    "split": str,
    "note": str,
    "width": int,
    "height": int,
    "thumbnail": str,
}


def picture(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """An image of a single colour that depends on the seed."""
    return Image.new("RGB", size, tuple(np.random.default_rng(seed).integers(0, 256, 3).tolist()))


def colour(uri: str) -> np.ndarray:
    return pixels(uri).reshape(-1, 3).mean(axis=0)


def pixels(uri: str) -> np.ndarray:
    kind, data = uri.split(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data)), formats=["WEBP"]).convert("RGB"), np.float64)


def records(folder: Path) -> list[bytes]:
    return list(tf.data.TFRecordDataset(sorted(map(str, folder.glob("Split-test/*")))).as_numpy_iterator())


def predicted(folder: Path, task: str, answers: Mapping[str, Mapping[str, Any]], shards: Path) -> str:
    """Predictions of what lies in the shards; `answers` by path."""
    rows = []
    for record in records(shards):
        path, _ = predictions.identity(record)
        answer = {signatures.FAMILIARITY: 0.5, signatures.ABSTAIN: False} | dict(answers[path])
        rows.append(predictions.row(np.array([record], object), answer, kinds.kind(task)))
    with beam.Pipeline(RUNNER) as pipeline:
        _ = pipeline | beam.Create(rows) | predictions.write(str(folder), "candidate", kinds.kind(task))
    return str(folder)


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def probable(p: Sequence[float], **more: Any) -> dict[str, Any]:
    own = np.array(p, np.float32)
    return {signatures.PROBABILITIES: own, signatures.UNCALIBRATED: own, signatures.DECISIONS: own >= 0.5} | more


def paths(shown: Sequence[Mapping[str, Any]]) -> list[str]:
    return [one["path"] for one in shown]


def collect(*arguments: Any) -> dict[str, Any]:
    found, images = examples.collect(*arguments)
    return {**found, "images": images}


def check(found: Mapping[str, Any]) -> None:
    """Checks that the result is JSON, that each picture exists and is used, and that each image is complete."""
    json.dumps(found, allow_nan=False)
    every = [found["masks"], found["suspects"], found["unfamiliar"]]
    every += [label[kind] for label in found["labels"] for kind in ("mistakes", "hits", "random")]
    used = set()
    for one in itertools.chain(*every):
        for key, kind in EVERY.items():
            assert isinstance(one[key], kind) or (key in ("probability", "familiarity") and one[key] is None)
        used |= {one[key] for key in ("thumbnail", "truth_overlay", "predicted_overlay") if key in one}
    assert used == set(found["images"])


HOSTILE = b"test/cat/\xff<img src=x onerror=alert(1)>\x1b[31m.png".decode("utf-8", "surrogateescape")
WRITTEN = "test/cat/\\xff<img src=x onerror=alert(1)>\x1b[31m.png"


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    base = tmp_path_factory.mktemp("single")
    names = ["test/cat/1.png", "test/cat/2.png", "test/dog/3.png", HOSTILE]
    ingested(base, {name: encoded(picture(seed)) for seed, name in enumerate(names)})
    answers = {
        "test/cat/1.png": probable([0.1, 0.9], familiarity=0.25),
        "test/cat/2.png": probable([0.75, 0.25]),
        "test/dog/3.png": probable([0.25, 0.75], familiarity=float("nan")),
        WRITTEN: probable([0.5, 0.5], familiarity=0.125),
    }
    evaluated = predicted(base / "evaluation", "single_label", answers, base / "examples")
    found = collect(str(base / "examples"), evaluated, "", SINGLE, ["cat", "dog"], 1)
    return base, found


def test_single_labels_have_pictures_of_mistakes_and_hits(single: tuple[Path, dict[str, Any]]) -> None:
    base, found = single
    check(found)
    cat, dog = found["labels"]
    assert (cat["label"], dog["label"]) == ("cat", "dog")
    assert paths(cat["mistakes"]) == paths(dog["mistakes"]) == ["test/cat/1.png"]
    assert paths(cat["hits"]) == [WRITTEN, "test/cat/2.png"]
    assert sorted(paths(cat["random"])) == sorted(["test/cat/1.png", "test/cat/2.png", WRITTEN])
    assert paths(found["unfamiliar"]) == [WRITTEN, "test/cat/1.png", "test/cat/2.png"]
    [wrong] = dog["mistakes"]
    assert {key: wrong[key] for key in ("truth", "predicted", "split", "width", "height")} == {
        "truth": ["cat"],
        "predicted": ["dog"],
        "split": "test",
        "width": 40,
        "height": 30,
    }
    assert wrong["probability"] == pytest.approx(0.9)
    assert wrong["familiarity"] == 0.25
    assert (found["masks"], found["legend"], found["omitted"]) == ([], [], "")
    # Each picture is that of its file, and is kept once.
    assert len(found["images"]) == 4
    for one in (wrong, *cat["hits"], *cat["random"], *dog["hits"]):
        path = one["path"].encode().replace(b"\\xff", b"\xff")
        with Image.open(os.fsencode(base / "data") + b"/" + path) as file:
            expected = np.asarray(file)
        np.testing.assert_allclose(colour(found["images"][one["thumbnail"]]), expected[0, 0], atol=6)


def test_the_same_run_gives_the_same_page(single: tuple[Path, dict[str, Any]]) -> None:
    base, found = single
    arguments = (str(base / "examples"), str(base / "evaluation"), "", SINGLE, ["cat", "dog"])
    assert collect(*arguments, 1) == found


def test_predictions_of_other_images_are_refused(single: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    base, _ = single
    ingested(tmp_path, {"test/cat/1.png": encoded(picture(9))})
    with pytest.raises(examples.ImagegateError, match=r"holds no image .*which was evaluated"):
        collect(str(tmp_path / "examples"), str(base / "evaluation"), "", SINGLE, ["cat", "dog"], 1)


def test_several_labels_have_pictures_of_each_label(tmp_path: Path) -> None:
    tree(tmp_path / "data", {f"{i}.png": encoded(picture(i)) for i in range(1, 5)})
    said = [("1.png", ("sea",), ()), ("2.png", (), ("sky",)), ("3.png", ("sky",), ()), ("4.png", (), ("sea", "sky"))]
    stored = tuple(Record(path, labels, "test", 1, "", unknown) for path, labels, unknown in said)
    ingest(Dataset(str(tmp_path / "data"), ("sea", "sky"), stored, {}), tmp_path / "examples")
    answers = {
        "1.png": probable([0.25, 0.75]),
        "2.png": probable([0.9, 0.9]),
        "3.png": probable([0.1, 0.6]),
        "4.png": probable([0.9, 0.9]),
    }
    evaluated = predicted(tmp_path / "evaluation", "multi_label", answers, tmp_path / "examples")
    found = collect(str(tmp_path / "examples"), evaluated, "", MULTI, ["sea", "sky"], 1)
    check(found)
    sea, sky = found["labels"]
    assert [(one["path"], one["note"]) for one in sea["mistakes"]] == [
        ("2.png", "false alarm"),
        ("1.png", "missed"),
    ]
    assert [(one["path"], one["note"]) for one in sky["mistakes"]] == [("1.png", "false alarm")]
    assert (sea["hits"], paths(sky["hits"])) == ([], ["3.png"])
    assert sea["mistakes"][0]["predicted"] == ["sea", "sky"]
    assert sea["mistakes"][0]["truth"] == []


def test_sequences_have_strips_of_their_moments(tmp_path: Path) -> None:
    dark, bright = np.zeros((2, 3, 4, 4, 3), np.uint8)
    dark[:], bright[:, 1:] = np.array([1, 2, 3])[:, None, None, None], 200  # the first row of the bright one is invalid
    bands = Bands(names=("a", "b", "c"), frames=3, invalid="zero")
    files = {f"{name}.npy": npy(pixels) for name, pixels in (("dark", dark), ("bright", bright))}
    tree(tmp_path / "data", files)
    stored = tuple(Record(path, (label,), "test", 1, "") for path, label in zip(files, ("cat", "dog"), strict=True))
    ingest(Dataset(str(tmp_path / "data"), ("cat", "dog"), stored, {}), tmp_path / "examples", bands=bands)
    answers = {path: probable([0.75, 0.25]) for path in files}
    evaluated = predicted(tmp_path / "evaluation", "single_label", answers, tmp_path / "examples")
    found = collect(str(tmp_path / "examples"), evaluated, "", SINGLE, ["cat", "dog"], 1)
    assert found["strips"].startswith("Below each sequence are up to 8 of its moments, with a as red")
    [cat], [dog] = found["labels"][0]["hits"], found["labels"][1]["mistakes"]
    for one in (cat, dog):
        assert (one["days"], one["moments"]) == (["1", "2", "3"], 3)
        assert pixels(found["images"][one["strip"]]).shape == (72, 3 * 74, 3)
    frames = np.split(pixels(found["images"][cat["strip"]]), 3, axis=1)
    assert np.diff([frame.mean() for frame in frames]).min() > 50  # from black to white
    assert found["images"].keys() == {one[key] for one in (cat, dog) for key in ("thumbnail", "strip")}


SIZE = (8, 12)
LABELS = ["ground", "thing"]


def test_masks_lie_over_their_images(tmp_path: Path, undecided: Any) -> None:
    ids = np.zeros((16, 24), np.uint8)
    ids[4:12, 4:12], ids[:, 20:] = 1, IGNORED_ID
    files = {f"images/{i}.png": encoded(picture(i, (24, 16))) for i in range(3)}
    files |= {f"masks/{i}.png": encoded(grey(np.roll(ids, i, axis=0))) for i in range(3)}
    tree(tmp_path / "data", files)
    stored = tuple(Record(f"images/{i}.png", (), "test", 1, "", mask=f"masks/{i}.png") for i in range(3))
    dataset = Dataset(str(tmp_path / "data"), tuple(LABELS), stored, {})
    ingest(dataset, tmp_path / "examples", rule=rule(LABELS, ignore=IGNORED_ID))
    keras.utils.set_random_seed(5)
    parts = network.build("small", weights=None, image_size=SIZE, classes=2, augment=False, seed=1, kind=MASKS)
    signatures.export(parts, LABELS, SIZE, MASKS, undecided(parts), str(tmp_path / "model" / "Format-Serving"))
    loaded = tf.saved_model.load(str(tmp_path / "model" / "Format-Serving"))
    answers = {}
    for record in records(tmp_path / "examples"):
        answer = loaded.signatures[signatures.EVALUATE](examples=tf.constant([record]))
        answers[predictions.identity(record)[0]] = {name: value.numpy()[0] for name, value in answer.items()}
    evaluated = predicted(tmp_path / "evaluation", "segmentation", answers, tmp_path / "examples")
    found = collect(str(tmp_path / "examples"), evaluated, str(tmp_path / "model"), MASKS, LABELS, 1)
    check(found)
    colours = overlay.palette(2)
    assert found["legend"] == [
        {"label": name, "colour": "#{:02x}{:02x}{:02x}".format(*c)} for name, c in zip(LABELS, colours, strict=True)
    ]
    assert len(found["masks"]) == 3
    assert found["labels"] == []
    for one in found["masks"]:
        number = int(Path(one["path"]).stem)
        assert (one["width"], one["height"]) == (24, 16)
        image = picture(number, (24, 16))
        truth = np.roll(ids, number, axis=0)
        said = loaded.signatures["serving_default"](image_bytes=tf.constant([encoded(image)]))["mask"].numpy()[0]
        large = image.resize((192, 128))
        expected = {"thumbnail": large}
        expected |= {
            f"{k}_overlay": overlay.draw(large, m, colours) for k, m in (("truth", truth), ("predicted", said))
        }
        for key, drawn in expected.items():
            shown = pixels(found["images"][one[key]])
            assert shown.shape == (128, 192, 3)
            assert np.abs(shown - np.asarray(drawn, np.float64)).mean() < 8, key
        assert one["truth"] == LABELS
    assert all("truth_overlay" not in one for one in found["unfamiliar"])


@pytest.mark.parametrize("task", ["single_label", "multi_label", "segmentation"])
def test_a_test_split_without_images_has_no_pictures(tmp_path: Path, task: str) -> None:
    (tmp_path / "examples").mkdir()
    evaluated = predicted(tmp_path / "evaluation", task, {}, tmp_path / "examples")
    found = collect(str(tmp_path / "examples"), evaluated, "", kinds.kind(task), LABELS, 1)
    check(found)
    assert [found[key] for key in ("masks", "suspects", "unfamiliar", "images", "omitted")] == [[], [], [], {}, ""]
    empty = {"mistakes": [], "hits": [], "random": []}
    assert found["labels"] == ([] if task == "segmentation" else [{"label": name} | empty for name in LABELS])


def test_pages_with_many_labels_or_incompressible_images_have_fewer_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = [f"{i:02d}" for i in range(12)]
    random = np.random.default_rng(0)
    files = {
        f"test/{label}/{i}.png": encoded(Image.fromarray(random.integers(0, 256, (96, 96, 3), np.uint8)))
        for label in labels
        for i in range(5)
    }
    ingested(tmp_path, files)
    sure = np.full(12, 0.02)
    # Of each label two are hits, three are answered as the next one.
    answers = {
        path: probable(np.where(np.arange(12) == (int(path[5:7]) + (int(path[8]) > 1)) % 12, 0.78, sure))
        for path in files
    }
    evaluated = predicted(tmp_path / "evaluation", "single_label", answers, tmp_path / "examples")

    def checked() -> dict[str, Any]:
        found = collect(str(tmp_path / "examples"), evaluated, "", SINGLE, labels, 1)
        check(found)
        return found

    def counts(found: Mapping[str, Any]) -> set[tuple[int, int, int]]:
        return {tuple(len(label[kind]) for kind in ("mistakes", "hits", "random")) for label in found["labels"]}

    whole = checked()
    assert counts(whole) == {(6, 2, 4)}
    assert whole["omitted"] == ""
    size = sum(len(whole["images"][s["thumbnail"]]) for label in whole["labels"] for s in label["mistakes"])
    others = sum(len(whole["images"][s["thumbnail"]]) for s in whole["unfamiliar"] + whole["suspects"])
    monkeypatch.setattr(budget, "BUDGET", others + size)  # room for as much as all mistakes take: 72 pictures
    less = checked()
    # 12 x (3 + 2 + 2) = 84 are too many, 12 x (2 + 1 + 1) = 48 are not.
    assert counts(less) == {(2, 1, 1)}
    assert less["omitted"] == (
        "To keep this page small, it shows at most 2 mistakes, 1 correct prediction, 1 random image per label."
    )
    monkeypatch.setattr(budget, "BUDGET", 0)
    nothing = checked()
    assert counts(nothing) == {(0, 0, 0)}
    assert (nothing["unfamiliar"], nothing["suspects"], nothing["images"]) == ([], [], {})
    cut = len(whole["unfamiliar"]) + len(whole["suspects"])
    assert nothing["omitted"] == (
        f"To keep this page small, it shows no images of single labels and leaves out {cut} other images."
    )
    monkeypatch.setattr(budget, "BUDGET", 10**9)
    monkeypatch.setattr(budget, "_PICTURES", 5)  # one each for five labels
    few = checked()
    assert [len(label["mistakes"]) for label in few["labels"]] == [1] * 5 + [0] * 7
    assert few["omitted"] == (
        "To keep this page small, it shows at most 1 mistake per label, none for the 7 labels with the fewest mistakes."
    )


@pytest.mark.parametrize(
    ("labels", "expected"), [(1, (6, 4, 4)), (12, (6, 4, 4)), (56, (3, 2, 2)), (60, (3, 2, 2)), (1000, (1, 0, 0))]
)
def test_the_number_of_pictures_of_a_label_depends_on_the_number_of_labels(
    labels: int, expected: tuple[int, int, int]
) -> None:
    level = budget.level(labels)
    assert budget.LEVELS[level] == expected
    assert sum(expected) * min(labels, budget.labels(level)) <= 450


def photo(seed: int, spot: int = 0) -> bytes:
    """Noise, whose perceptual hash says something; another `spot` makes another file of nearly the same."""
    levels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)
    levels[0, 0] = spot
    return encoded(Image.fromarray(levels))


def test_near_duplicates_need_no_model(tmp_path: Path) -> None:
    same = photo(1)
    files = {
        "train/cat/1.png": same,
        "test/cat/1.png": same,  # equal, in another split
        "train/cat/2.png": photo(2),
        "eval/cat/2.png": photo(2, 9),  # nearly equal, in another split
        "train/cat/3.png": photo(3),
        "train/dog/3.png": photo(3, 9),  # nearly equal, another label
        "train/dog/4.png": photo(4),
    }
    ingested(tmp_path, files)
    found, images = examples.duplicates(str(tmp_path / "examples"), 10, True)
    json.dumps(found, allow_nan=False)
    told = {(p["what"], *sorted((p["first"]["path"], p["second"]["path"]))): p for p in found}
    assert set(told) == {
        ("different labels", "train/cat/3.png", "train/dog/3.png"),
        ("different splits", "test/cat/1.png", "train/cat/1.png"),
        ("different splits", "eval/cat/2.png", "train/cat/2.png"),
    }
    bits = [pair["bits"] for pair in found if pair["what"] == "different splits"]
    assert bits[0] is None  # equal files come first
    assert 0 <= bits[1] <= 10
    first = told["different labels", "train/cat/3.png", "train/dog/3.png"]
    sides = {side["path"]: side for side in (first["first"], first["second"])}
    assert sides["train/dog/3.png"]["truth"] == ["dog"]
    assert sides["train/cat/3.png"]["split"] == "train"
    for side in sides.values():
        assert set(EVERY) <= set(side)
        assert (side["predicted"], side["probability"], side["width"]) == ([], None, 64)
        with Image.open(tmp_path / "data" / side["path"]) as file:
            expected = np.asarray(file, np.float64)
        assert np.abs(pixels(images[side["thumbnail"]]) - expected).mean() < 60  # of other noise 85
    assert {side["thumbnail"] for pair in found for side in (pair["first"], pair["second"])} == set(images)

    without = [p["what"] for p in examples.duplicates(str(tmp_path / "examples"), 10, False)[0]]
    assert without == ["different splits"] * 2
    assert [p["bits"] for p in examples.duplicates(str(tmp_path / "examples"), None, True)[0]] == [None]


def test_findings_are_shown_by_kind_with_their_reasons(tmp_path: Path) -> None:
    ingested(tmp_path, {"train/cat/1.png": photo(1), "eval/dog/2.png": photo(2), "test/cat/3.png": photo(3)})
    found = [
        Found(path="gone.png", reason="quarantined: empty file", kind="quarantined", certainty=1),
        Found(
            path="train/cat/1.png", reason="r0", kind="equal files across splits", certainty=1, other="eval/dog/2.png"
        ),
        Found(path="eval/dog/2.png", reason="too dark", kind="dark", certainty=0.7),
        Found(path="test/cat/3.png", reason="too dark, too", kind="dark", certainty=0.7),
        Found(path="eval/dog/2.png", reason="blurred", kind="blurred", certainty=0.5),
    ]
    groups, images = examples.findings(str(tmp_path / "examples"), found)
    told = [(group["kind"], [(one["path"], one["note"], one["truth"]) for one in group["images"]]) for group in groups]
    assert told == [
        ("dark", [("eval/dog/2.png", "too dark", ["dog"]), ("test/cat/3.png", "too dark, too", ["cat"])]),
        ("blurred", [("eval/dog/2.png", "blurred", ["dog"])]),
    ]
    assert len(images) == 2  # each picture once
    assert {one["thumbnail"] for group in groups for one in group["images"]} == set(images)


def test_both_kinds_of_many_pairs_are_shown(tmp_path: Path) -> None:
    names = []
    for i in range(14):  # the same file in two splits and, another one, under two labels
        tree(tmp_path, {f"{i}a.png": encoded(picture(i)), f"{i}b.png": encoded(picture(i + 50))})
        tree(tmp_path, {f"{i}c.png": encoded(picture(i)), f"{i}d.png": encoded(picture(i + 50))})
        names += [(f"{i}a.png", "cat", "train"), (f"{i}c.png", "cat", "test")]
        names += [(f"{i}b.png", "cat", "train"), (f"{i}d.png", "dog", "train")]
    stored = tuple(sorted((Record(p, (label,), split, 1, "") for p, label, split in names), key=lambda r: r.path))
    ingest(Dataset(str(tmp_path), ("cat", "dog"), stored, {}), tmp_path / "examples")
    found, _ = examples.duplicates(str(tmp_path / "examples"), None, True)
    assert [pair["what"] for pair in found] == ["different labels", "different splits"] * 6


def test_without_duplicates_no_pairs_are_shown(tmp_path: Path) -> None:
    ingested(tmp_path, {"train/cat/1.png": photo(1)})
    assert examples.duplicates(str(tmp_path / "examples"), 10, True) == ([], {})


def test_regressions_show_what_both_models_said(single: tuple[Path, dict[str, Any]]) -> None:
    base, _ = single
    identities = map(predictions.identity, records(base / "examples"))
    [(path, sha256)] = [identity for identity in identities if identity[0] == "test/dog/3.png"]
    lost = Regression(path=path, sha256=sha256, labels=("dog",), served="'dog' (0.90)", candidate="'cat' (0.75)")
    arguments = (str(base / "examples"), str(base / "evaluation"), "", SINGLE, ["cat", "dog"], 1, (), (lost,))
    [shown] = collect(*arguments)["regressions"]
    assert (shown["path"], shown["truth"]) == ("test/dog/3.png", ["dog"])
    assert shown["note"] == "served: 'dog' (0.90), now: 'cat' (0.75)"


def test_weak_groups_show_their_images_in_the_order_given(single: tuple[Path, dict[str, Any]]) -> None:
    base, _ = single
    identities = {identity[0]: identity for identity in map(predictions.identity, records(base / "examples"))}
    images = (identities["test/dog/3.png"], identities["test/cat/1.png"])
    told = {"measure": "accuracy", "value": 0.0, "rest": 1.0, "chance": 0.0, "count": 2}
    group = WeakGroup(name="dark images", images=images, **told)
    arguments = (str(base / "examples"), str(base / "evaluation"), "", SINGLE, ["cat", "dog"], 1, (group,))
    [shown] = collect(*arguments)["groups"]
    assert shown["name"] == "dark images"
    assert paths(shown["images"]) == ["test/dog/3.png", "test/cat/1.png"]
    assert [one["probability"] for one in shown["images"]] == pytest.approx([0.75, 0.9])
