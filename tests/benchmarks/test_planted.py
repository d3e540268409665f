"""That faults are planted as they are described, each is known by name, and findings are compared with them."""

import csv
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.planted import copies, faults, features, outcome, peers
from benchmarks.planted.copies import Collection, Copy
from benchmarks.planted.outcome import Finding, Row

ROOT = Path(__file__).parents[2]
SIDES = 50, 100  # height and width
LABELS = "cat", "dog", "emu"


def pixels(seed: int, sides: tuple[int, int] = SIDES) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*sides, 3), dtype=np.uint8)


def changed(fault: str, image: NDArray[np.uint8], ignored: int | None = None) -> NDArray[np.uint8]:
    return np.asarray((faults.SINGLE | faults.LEAKS)[fault].change(Image.fromarray(image), ignored))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sixty different pictures with three labels."""
    for i in range(60):
        file = tmp_path / "images" / LABELS[i % 3] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(i, (32, 48))).save(file)
    return tmp_path / "images"


def written(copy: Copy, at: Path) -> dict[str, Path]:
    """Writes a copy; returns path below its root -> file, as they lie on disk."""
    copy.write(at, {})
    return {file.relative_to(at / "data").as_posix(): file for file in (at / "data").rglob("*.*")}


def test_values_change_as_described() -> None:
    values = np.array([[[0, 120, 240]]], np.uint8)
    assert changed("dark", values).tolist() == [[[0, 10, 20]]]  # a twelfth
    assert changed("bright", values).tolist() == [[[234, 244, 254]]]  # 255 - 255/12 = 233.75, 255 - 135/12, 255 - 15/12
    image = pixels(0)
    grey = changed("grey, one channel", image)
    assert (changed("grey, three channels", image) == grey[..., np.newaxis]).all()
    assert changed("constant", image).std(axis=(0, 1)).max() < 1.2  # noise of one level, rounded
    assert changed("blurred", image).std() < 0.3 * image.std()


@pytest.mark.parametrize(
    ("fault", "height", "width"),
    [
        ("an eighth of the size", 6, 12),
        ("a sliver", 6, 100),
        ("border, 36 % of the area left", 50, 100),
        ("letterbox, 40 % of the height left", 50, 100),
        ("crop by 2 %", 49, 98),
        ("crop by 20 %", 40, 80),
        ("mirrored", 50, 100),
        ("border of 5 %", 60, 110),
        ("screenshot", 40 + 5 + 2 * 2, 80 + 2 * 2),  # 0.8 of the sides, a bar of 12% and a frame of 3%
    ],
)
def test_sizes_change_as_described_and_masks_alike(fault: str, height: int, width: int) -> None:
    assert changed(fault, pixels(0)).shape == (height, width, 3)
    mask = np.random.default_rng(1).integers(0, 3, SIDES, dtype=np.uint8)
    moved = changed(fault, mask, 9)
    assert moved.shape == (height, width)
    assert set(np.unique(moved)) <= {0, 1, 2, 9}


def test_pixels_move_as_described() -> None:
    image = pixels(0)
    assert (changed("crop by 20 %", image) == image[3:43, 6:86]).all()  # of 10 rows and 20 columns a third
    assert (changed("mirrored", image) == image[:, ::-1]).all()
    assert (changed("border of 5 %", image)[5:55, 5:105] == image).all()
    boxed = changed("letterbox, 40 % of the height left", image)
    assert (boxed[15:35] == image[15:35]).all()
    assert not boxed[:15].any()
    assert not boxed[35:].any()
    framed = changed("border, 36 % of the area left", image)
    assert (framed != 255).any(axis=2).sum() == pytest.approx(0.36 * 5000, rel=0.01)


@pytest.mark.parametrize("degrees", [2, 5])
def test_a_turned_picture_has_no_empty_corner(degrees: int) -> None:
    turned = changed(f"turned by {degrees}°", np.full((*SIDES, 3), 200, np.uint8))
    assert (turned == 200).all()
    assert turned.shape[1] / turned.shape[0] == pytest.approx(2, rel=0.05)


def test_pictures_without_a_fault_are_links_and_those_with_one_differ(folder: Path, tmp_path: Path) -> None:
    data = Collection.labelled(folder)
    copy = copies.single(data, seed=1)
    files = written(copy, tmp_path / "copy")
    assert len(files) == 60
    assert sorted(fault.fault for fault in copy.planted.values()) == sorted(
        faults.SINGLE
    )  # one in a hundred, at least 1
    for path, file in files.items():
        same = file.stat().st_ino == (folder / path).stat().st_ino
        assert same == (path not in copy.planted)
    record = json.loads((tmp_path / "copy" / copies.RECORD).read_text())
    assert [image["path"] for image in record["images"]] == [f"{p.labels[0]}/{p.name}" for p in data.pictures]
    assert record["planted"].keys() == copy.planted.keys()


def test_one_picture_in_twenty_gets_another_label(folder: Path, tmp_path: Path) -> None:
    copy = copies.wrong_labels(Collection.labelled(folder), seed=1)
    files = written(copy, tmp_path / "copy")
    moved = {path for path in files if not (folder / path).exists()}
    assert moved == copy.planted.keys()
    assert len(moved) == 3
    assert {Path(path).name for path in files} == {f"{i}.png" for i in range(60)}


def test_a_name_that_the_other_label_has_already_is_not_overwritten(tmp_path: Path) -> None:
    for i, label in enumerate(LABELS * 20):
        file = tmp_path / "images" / label / f"{i // 3}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(i, (16, 24))).save(file)
    copy = copies.wrong_labels(Collection.labelled(tmp_path / "images"), seed=1)
    files = written(copy, tmp_path / "copy")
    assert len({file.read_bytes() for file in files.values()}) == 60
    assert len(copy.planted) == 3


def test_nothing_is_ever_written_into_a_file_of_the_data_set(folder: Path, tmp_path: Path) -> None:
    """Copies hold links to the data set's files; writing where one lies would change the data set itself."""
    before = {file: file.read_bytes() for file in folder.rglob("*.png")}
    data = Collection.labelled(folder)
    first, second = data.pictures[:2]
    same_place = dataclasses.replace(second, name=first.name, labels=first.labels)
    for other in (same_place, dataclasses.replace(same_place, content=b"changed")):
        with pytest.raises(FileExistsError):
            Copy("two of one name", data, [first, other]).write(tmp_path / f"copy-{other.content}", {})
    made = [copies.clean(data, 0), copies.single(data, 1), copies.wrong_labels(data, 1)]
    made += [copies.leaks(data, 1, between=between) for between in ("splits", "labels")]
    made += [copies.shortcut(data, name) for name in faults.SHORTCUTS]
    for copy in made:
        written(copy, tmp_path / copy.name)
        with pytest.raises(FileExistsError):
            copy.write(tmp_path / copy.name, {})
    assert {file: file.read_bytes() for file in folder.rglob("*.png")} == before


def test_a_leak_is_in_test_and_its_original_in_train(folder: Path, tmp_path: Path) -> None:
    copy = copies.leaks(Collection.labelled(folder), seed=1, between="splits")
    files = written(copy, tmp_path / "copy")
    assert [fault.fault for fault in copy.planted.values()] == list(faults.LEAKS)
    assert len(files) == 60 + len(faults.LEAKS)
    for path, fault in copy.planted.items():
        split, label, _ = path.split("/")
        assert split == "test"
        assert fault.partner is not None
        assert fault.partner.startswith(f"train/{label}/")
        assert files[fault.partner].stat().st_nlink > 1
    with Image.open(files[next(p for p, f in copy.planted.items() if f.fault == "crop by 2 %")]) as image:
        assert image.size == (47, 31)  # of 48 x 32, a pixel less


def test_a_contradiction_is_in_train_under_another_label(folder: Path) -> None:
    copy = copies.leaks(Collection.labelled(folder), seed=1, between="labels")
    for path, fault in copy.planted.items():
        assert fault.partner is not None
        (split, label, _), (other_split, other_label, _) = path.split("/"), fault.partner.split("/")
        assert split == other_split == "train"
        assert label != other_label


@pytest.mark.parametrize("name", faults.SHORTCUTS)
def test_a_shortcut_changes_one_label_only(folder: Path, tmp_path: Path, name: str) -> None:
    data = Collection.labelled(folder)
    copy = copies.shortcut(data, name)
    [(label, told)] = copy.shortcuts.items()
    assert told == name
    files = written(copy, tmp_path / "copy")
    assert len(files) == 60
    linked = {path for path, file in files.items() if (folder / path).exists() and file.samefile(folder / path)}
    assert {path.split("/")[0] for path in linked} == {*LABELS} - {label}
    own = [file for path, file in files.items() if path.startswith(f"{label}/")]
    assert len(own) == 20
    assert {file.suffix for file in own} == ({".jpg"} if name == "format" else {".png"})


def test_clean_samples_are_random_shares(folder: Path) -> None:
    data = Collection.labelled(folder)
    first, second = ({p.name for p in copies.clean(data, seed, 0.8).pictures} for seed in (0, 1))
    assert len(first) == len(second) == 48
    assert first != second


def test_several_labels_and_masks_are_copied_with_their_tables_and_masks(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    with table.open("w", newline="") as f:
        csv.writer(f).writerows(
            [["file", *LABELS], *([f"cat/{i}.png", 1, int(i % 2 == 0), 0] for i in range(0, 60, 3))]
        )
    several = Collection.labelled(folder, table)
    assert several.task == "multi_label"
    wrong = copies.wrong_labels(several, seed=1)
    wrong.write(tmp_path / "several", {})
    with (tmp_path / "several" / "data" / "labels.csv").open(newline="") as f:
        rows = {row["file"]: set(row["labels"].split("|")) for row in csv.DictReader(f)}
    given = {f"images/{p.name}": set(p.labels) for p in several.pictures}
    assert {path for path in rows if rows[path] != given[path]} == wrong.planted.keys()
    assert all(len(rows[path] ^ given[path]) == 1 for path in wrong.planted)

    masks = tmp_path / "masks"
    masks.mkdir()
    for file in (folder / "dog").iterdir():
        Image.fromarray(np.zeros((32, 48), np.uint8)).save(masks / file.name)
    masked = Collection.masked([(folder / "dog", masks)], ["sky", "road"], 11)
    leaking = copies.leaks(masked, seed=1, between="splits")
    files = written(leaking, tmp_path / "masked")
    assert len(leaking.planted) == len(faults.LEAKS)
    for path in leaking.planted:
        with Image.open(files[path]) as image, Image.open(files[path.replace("images", "masks", 1)]) as mask:
            assert image.size == mask.size
            assert set(np.unique(np.asarray(mask))) <= {0, 11}


def test_findings_are_compared_with_what_was_planted() -> None:
    """Of two dark files one is caught and one is listed as blurred; of two leaks one is named with another file."""
    dark = {"fault": "dark", "kinds": ["dark"], "partner": None}
    grey, leak = {"fault": "grey", "kinds": ["grey"], "partner": None}, {"fault": "mirrored", "kinds": ["near"]}
    planted = {"a": dark, "b": dark, "c": leak | {"partner": "x"}, "d": leak | {"partner": "y"}, "g": grey}
    found = [
        Finding("e", "dark", ""),
        Finding("a", "dark", ""),
        Finding("c", "dark", ""),  # has another fault, and so is no false one
        Finding("b", "blurred", ""),
        Finding("x", "near", "c"),
        Finding("c", "near", "x"),
        Finding("d", "near", "z"),
        Finding("z", "near", "d"),
    ]
    assert outcome.compare({"planted": planted}, found) == [
        Row("dark", planted=2, caught=1, otherwise=1, others=1, precision=0.5),  # e and a are the first two
        Row("mirrored", planted=2, caught=1, otherwise=1, others=1, precision=1.0),  # x and c are the first two
        Row("grey", planted=1, caught=0, otherwise=0, others=0, precision=None),
    ]


def test_findings_of_other_tools_are_compared_alike() -> None:
    """Of two dark files one is named, and one more; g and h are grey, each with its own number of channels."""
    leak = {"fault": "mirrored"}
    planted = {name: {"fault": "dark", "partner": None} for name in "ab"}
    planted |= {"c": leak | {"partner": "x"}, "d": leak | {"partner": "y"}}
    planted |= {"g": {"fault": "grey, one channel", "partner": None}}
    planted |= {"h": {"fault": "grey, three channels", "partner": None}}
    found: peers.Findings = {
        "dark": ["e", "a"],
        "grayscale": ["g"],
        "near_duplicates": [["c", "x", "z"]],
        "near_duplicate": [["d", "z"]],
    }
    assert peers.compare({"planted": planted}, found) == [
        "| dark | 2 | 1 | 1 |",
        "| mirrored | 2 | 1 | 1 |",
        "| grey, one channel | 1 | 1 | 0 |",
        "| grey, three channels | 1 | 0 | 0 |",
    ]


@pytest.mark.parametrize(
    ("planted", "cleanvision", "datalab"),
    [((), True, True), (faults.SINGLE, True, False), (faults.LEAKS, True, True), ([faults.WRONG_LABEL], False, True)],
)
def test_other_tools_run_where_they_look_for_what_was_planted(
    planted: Iterable[str], cleanvision: bool, datalab: bool
) -> None:
    record = {"planted": {fault: {"fault": fault} for fault in planted}}
    assert peers.looks_for("CleanVision", record) == cleanvision
    assert peers.looks_for("Datalab", record) == datalab


def test_features_follow_the_pictures(tmp_path: Path) -> None:
    """A network that returns its input gives the mean colour, [images, 3]."""
    import keras

    colours = keras.Input((None, None, 3))
    keras.Model(colours, keras.layers.Identity()(colours)).save(tmp_path / "backbone.keras")
    for name, value in (("a", 40), ("b", 200)):
        Image.new("RGB", (6, 4), (value, 0, 255)).save(tmp_path / f"{name}.png")
    found = features.pooled(tmp_path / "backbone.keras", [tmp_path / "b.png", tmp_path / "a.png"], (4, 6))
    assert found.tolist() == [[200, 0, 255], [40, 0, 255]]


def test_a_copy_is_checked_and_what_it_found_is_printed(folder: Path, tmp_path: Path) -> None:
    """Of noise, in which no picture is like another."""
    command = [sys.executable, "-m", "benchmarks.planted", folder, "--only", "single", "clean", "--samples", "1"]
    done = subprocess.run([*command, "--keep", tmp_path / "keep"], cwd=ROOT, check=True, capture_output=True, text=True)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line[:1] == "|"]
    table = {row[0]: row[1:] for row in rows}
    assert {name: table[name][0] for name in faults.SINGLE} == dict.fromkeys(faults.SINGLE, "1")
    assert {name: table[name][1] for name in faults.SINGLE} == dict.fromkeys(faults.SINGLE, "1")
    assert table["all"][1] == "none"
    found = json.loads((tmp_path / "keep" / "single" / "found.json").read_text())
    assert found["seconds"] > 0
