"""`imagegate check`: what is wrong with a data set, in one go, with the name of the thing and the exit code."""

import csv
import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from components.data.dataset import LayoutError
from components.ingest.splits import by_hash, digest
from pipeline import cli, config
from pipeline.runs import data

Png = Callable[..., bytes]
WriteFiles = Callable[..., Path]
Check = Callable[..., tuple[int, str]]
SHARES = {"train": 0.8, "eval": 0.1, "test": 0.1}
NO_LIMITS = {"min_examples": None, "min_eval_examples": None, "max_ratio": None}


@pytest.fixture
def check(tmp_path: Path, write_files: WriteFiles, capsys: pytest.CaptureFixture[str]) -> Check:
    """`check(files, **balance)` writes a project and returns the exit code and everything that was printed."""

    def run(
        files: Mapping[str, bytes],
        data: Mapping[str, object] | None = None,
        more: Sequence[str] = (),
        **balance: object,
    ) -> tuple[int, str]:
        root = write_files(tmp_path / "images", files)
        root.mkdir(exist_ok=True)
        settings = {
            "name": "pets",
            "task": "single_label",
            "data": {"root": "images", **(data or {})},
            "balance": NO_LIMITS | balance,
            "push": {"destination": "served"},
        }
        (tmp_path / "imagegate.yaml").write_text(yaml.safe_dump(settings))
        code = cli.main(["check", str(tmp_path / "imagegate.yaml"), *more])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out + err

    return run


def label(png: Png, name: str, count: int, start: int = 0) -> dict[str, bytes]:
    return {f"{name}/{i}.png": png(start + i) for i in range(count)}


def table(text: str) -> dict[str, list[str]]:
    """Label -> its row's numbers."""
    rows = [re.split(r" {2,}", line.strip()) for line in text.splitlines()]
    return {row[0]: row[1:] for row in rows if len(row) in (4, 5) and row[0] != "label" and row[1].isdigit()}


def test_a_sound_data_set_passes_with_a_table_of_its_labels(check: Check, png: Png) -> None:
    files = {
        **{f"train/cat/{i}.png": png(i) for i in range(4)},
        **{f"train/dög/{i}.png": png(10 + i) for i in range(2)},
        **{f"{split}/{name}/1.png": png(20 + i) for i, (split, name) in enumerate([("val", "cat"), ("test", "dög")])},
    }
    code, out = check(files)
    assert code == 0
    assert table(out) == {"cat": ["4", "1", "0"], "dög": ["2", "0", "1"]}
    assert "rare labels: training.imbalance is logit_adjustment\n" in out
    code, out = check(files, more=["--set", "training.imbalance=weights"])
    assert code == 0
    assert "training.imbalance" not in out
    # Of 4 and 2 images the median is 3: weights 3 / 4 and 3 / 2.
    assert table(out) == {"cat": ["4", "1", "0", "0.750"], "dög": ["2", "0", "1", "1.500"]}
    assert "8 images pass" in out


def test_a_label_that_train_lacks_is_reported_and_weighs_nothing(check: Check, png: Png) -> None:
    files = {
        f"{split}/cat/{i}.png": png(10 * i + n) for i in range(4) for n, split in enumerate(("train", "val", "test"))
    }
    weighted = ["--set", "training.label_weights=median_frequency"]
    code, out = check(files | {"test/dög/1.png": png(99)}, more=weighted)
    assert code == 0
    assert table(out) == {"cat": ["4", "4", "4", "1.000"], "dög": ["0", "0", "1", "0.000"]}
    assert "warning: labels without any example in train, not learnt: 'dög'\n" in out


def test_check_and_run_read_the_same_data(check: Check, png: Png, tmp_path: Path) -> None:
    check(label(png, "cat", 12) | label(png, "dog", 12, 100))
    dataset, rule = data.read_dataset(config.load(str(tmp_path / "imagegate.yaml")))
    assert rule is None
    assert (len(dataset.records), dataset.labels) == (24, ("cat", "dog"))


def test_check_writes_nothing(check: Check, png: Png, tmp_path: Path) -> None:
    check(label(png, "cat", 3))
    assert sorted(os.listdir(tmp_path)) == ["imagegate.yaml", "images"]


REFUSED: dict[str, tuple[Callable[[Png], dict[str, bytes]], dict[str, object], str]] = {
    "no file": (lambda png: {"cat/.keep": b"", "dog/.keep": b""}, {}, "refused: .*images is 0, below the minimum 1"),
    "one class": (lambda png: label(png, "cat", 12), {}, "refused: .*labels is 1, below the minimum 2: 'cat'"),
    "one image in a class": (
        lambda png: label(png, "cat", 30) | label(png, "dog", 1, 100),
        {"min_examples": 5},
        r"refused: .*examples in train of label 'dog' is [01], below the minimum 5",
    ),
    "a class without eval": (
        lambda png: label(png, "cat", 30) | label(png, "dog", 1, 100),
        {"min_eval_examples": 1},
        "refused: .*examples in (eval|test) of label 'dog' is 0, below the minimum 1",
    ),
    "unbalanced": (
        lambda png: label(png, "cat", 60) | label(png, "dog", 6, 100),
        {"max_ratio": 5},
        "refused: .*ratio .* above the maximum 5.*'cat' has .*'dog' has ",
    ),
    "equal files under different labels": (
        lambda png: label(png, "cat", 12) | label(png, "dog", 12, 100) | {"dog/same.png": png(3)},
        {},
        "refused: .*different labels is 1.*cat/3.png = dog/same.png",
    ),
    "equal files in different splits": (
        lambda png: (
            {f"{s}/{n}/{i}.png": png(len(s + n) * 10 + i) for s in ("train", "test") for n in "ab" for i in range(9)}
            | {"train/a/same.png": png(999), "test/a/same.png": png(999)}
        ),
        {},
        "refused: .*different splits is 1.*test/a/same.png = train/a/same.png",
    ),
    "too many bad files": (
        lambda png: label(png, "cat", 12) | label(png, "dog", 12, 100) | {"dog/x.png": b"no image"},
        {},
        r"refused: share of quarantined files is 0.04, above the maximum 0.01: 1 of 25 files, dog/x.png \(no image",
    ),
}


@pytest.mark.parametrize(("make", "balance", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_data_are_named_and_exit_with_3(
    check: Check, png: Png, make: Callable[[Png], dict[str, bytes]], balance: dict[str, object], message: str
) -> None:
    code, out = check(make(png), **balance)
    assert code == 3
    assert re.search(message, out), out


def test_many_files_with_one_reason_take_one_line(check: Check, png: Png) -> None:
    good = label(png, "cat", 12) | label(png, "dog", 12, 100)
    _, out = check(good | {f"dog/x{i}.png": b"" for i in range(7)} | {"cat/y.png": b"%PDF"})
    lines = [line for line in out.splitlines() if line.startswith("quarantined")]
    some = ", ".join(f"dog/x{i}.png" for i in range(5))
    assert lines[1] == f"quarantined: 7 files: empty file: {some}, and 2 more"
    assert re.fullmatch(r"quarantined: cat/y.png: no image of a known format .*, but a PDF document", lines[0])


def test_a_split_that_stays_empty_is_refused_as_the_run_does(check: Check, png: Png) -> None:
    code, out = check(label(png, "cat", 1) | label(png, "dog", 1, 100))
    assert code == 3
    assert re.search(r"refused: .*images in (eval|test) is 0, below the minimum 1", out)


def test_every_bad_file_is_listed_with_its_reason(check: Check, png: Png, tmp_path: Path) -> None:
    files = label(png, "cat", 12) | label(png, "dog", 12, 100)
    (tmp_path / "images" / "cat").mkdir(parents=True)
    (tmp_path / "images" / "cat" / "link.png").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "images" / "cat" / "pipe.png")
    code, out = check(files | {"cat/empty.png": b"", "LICENSE": b""}, data={"max_bad_fraction": 0.2})
    assert code == 0
    assert "quarantined: cat/empty.png: empty file\n" in out
    assert "quarantined: cat/link.png: a link that leads out of data.root; copy the file instead\n" in out
    assert "quarantined: cat/pipe.png: not a regular file\n" in out
    assert "note: 1 file ignored, no images by their names (1 without ending): LICENSE\n" in out
    assert out.count("LICENSE") == 1


def test_what_a_note_says_of_ignored_files_is_not_said_again(check: Check, png: Png) -> None:
    files = label(png, "cat", 12) | label(png, "dog", 12, 100)
    _, out = check(files | {f"{i}.png": png(i) for i in range(7)} | {"README": b"pets", "notes.txt": b"of pets"})
    outside = "0.png, 1.png, 2.png, 3.png, 4.png, and 2 more"
    assert f"note: 7 images outside the label folders left out: {outside}\n" in out
    assert "note: 2 files ignored, no images by their names (1 without ending, 1 .txt): README, notes.txt\n" in out
    assert "not used by this layout" not in out


def test_of_many_reasons_twenty_are_listed_and_the_other_files_counted(check: Check, png: Png) -> None:
    def large(width: int) -> bytes:
        out = io.BytesIO()
        Image.new("RGB", (width, 100)).save(out, "PNG")
        return out.getvalue()

    files = label(png, "cat", 12) | label(png, "dog", 12, 100) | {f"cat/x{i:02}.png": large(99 + i) for i in range(25)}
    _, out = check(files, data={"max_pixels": 9000})
    assert out.count("quarantined: cat/x") == 20
    assert "quarantined: and 5 more; `imagegate check -o issues.csv` writes all of them\n" in out


def test_images_that_will_be_re_encoded_are_counted(check: Check, png: Png) -> None:
    gif = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(gif, "GIF")
    code, out = check(label(png, "cat", 12) | label(png, "dog", 12, 100) | {"cat/a.gif": gif.getvalue()})
    assert code == 0
    assert "1 image will be stored as PNG: GIF\n" in out


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "images holds no label folder"),
        ({"cat/notes.txt": b"x"}, r"holds no label folder with images \(but 1 other files: 1 \.txt\)"),
        ({"1.png": b""}, r"holds no label folder \(but 1 files directly in it\)"),
        ({"train/cat/1.png": b"", "dog/1.png": b""}, "split folder train beside the label folder 'dog'"),
        ({"c\x1bt/1.png": b"", "dog/1.png": b""}, r"'c\\x1bt' cannot be a label name"),
    ],
)
def test_a_layout_that_does_not_fit_the_data_exits_with_3(check: Check, files: dict[str, bytes], message: str) -> None:
    code, out = check(files)
    assert code == LayoutError.exit_code == 3
    assert out.startswith("imagegate: data.root: ")
    assert re.search(message, out)


def test_a_root_that_does_not_exist_exits_with_2(check: Check, tmp_path: Path) -> None:
    code, out = check({}, data={"root": "pictures"})
    assert (code, out) == (2, f"imagegate: data.root: {tmp_path}/pictures does not exist\n")


def test_a_configured_label_that_is_not_in_the_data_exits_with_2(
    check: Check, png: Png, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(label(png, "cat", 2) | label(png, "dog", 2))
    path = str(tmp_path / "imagegate.yaml")
    assert cli.main(["check", path, "--set", "training.label_weights={emu: 2}"]) == 2
    assert "training.label_weights: unknown label 'emu'; expected one of 'cat', 'dog'" in capsys.readouterr().err


def test_odd_names_are_shown_as_they_are_or_escaped(check: Check, png: Png) -> None:
    names = ["polar bear", "-rf", "日本", "[red]x", ":smile:"]
    files = {f"{name}/{i}.png": png(100 * n + i) for n, name in enumerate(names) for i in range(12)}
    code, out = check(files | {"-rf/\x1b[2J.png": b"x"}, data={"max_bad_fraction": 0.5})
    assert code == 0
    assert set(table(out)) == set(names)
    assert "quarantined: -rf/\\x1b[2J.png: no image" in out


@pytest.mark.real_images
def test_a_real_folder_of_photographs_passes(
    real_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {
        "name": "c",
        "task": "single_label",
        "data": {"root": str(real_images / "cifar10")},
        "push": {"destination": "x"},
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings))
    assert cli.main(["check", str(tmp_path / "c.yaml")]) == 0
    counts = table(capsys.readouterr().out)
    assert len(counts) == 10
    assert sum(int(n) for row in counts.values() for n in row[:3]) == 2000


def photo(seed: int, spot: int = 0, bar: int = 0) -> bytes:
    """Noise that is large enough for a perceptual hash; another `spot` changes a pixel, a `bar` bits of the hash."""
    pixels = np.random.default_rng(seed).integers(0, 256, (10, 10, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    pixels[0, spot] ^= 1 if spot else 0
    pixels[:bar] = 128
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def split(name: str, start: int) -> dict[str, bytes]:
    return {
        f"{name}/{label}/{i}.png": photo(start + i + 3 * (label == "dog")) for label in ("cat", "dog") for i in range(3)
    }


FINDINGS = {
    **split("train", 0), **split("val", 100), **split("test", 200),
    "train/cat/=1.png": b"no image",
    "train/cat/near.png": photo(900, 1), "train/dog/near.png": photo(900, 2),  # two answers for one photo
    "train/cat/leak.png": photo(901, 1), "test/cat/leak.png": photo(901, 2),
    "train/cat/same.png": photo(902), "train/dog/same.png": photo(902),
}  # fmt: skip


def test_what_check_finds_can_be_excluded_and_then_it_passes(check: Check, tmp_path: Path) -> None:
    issues = tmp_path / "issues.csv"
    code, out = check(FINDINGS, data={"max_bad_fraction": 0}, more=["-o", str(issues)])
    assert code == 3
    assert "list the other in data.exclude; `imagegate check CONFIG -o issues.csv` writes the list" in out
    assert f"wrote {issues}: 7 lines, most certain first; write exclude or keep into the column decision" in out
    rows = list(csv.reader(issues.read_text().splitlines()))
    assert rows[0] == ["path", "reason", "kind", "certainty", "other", "decision"]
    assert rows[1][0] == "train/cat/=1.png"
    assert rows[1][1].startswith("quarantined: ")
    assert rows[1][2:] == ["quarantined", "1.00", "", ""]
    assert [row[:2] for row in rows[2:]] == [
        ["train/cat/same.png", "the same file as train/dog/same.png, which has other labels"],
        ["train/dog/same.png", "the same file as train/cat/same.png, which has other labels"],
        ["train/cat/near.png", "nearly equal to train/dog/near.png, which has other labels"],
        ["train/dog/near.png", "nearly equal to train/cat/near.png, which has other labels"],
        ["test/cat/leak.png", "nearly equal to train/cat/leak.png, which is in another split"],
        ["train/cat/leak.png", "nearly equal to test/cat/leak.png, which is in another split"],
    ]
    assert rows[2][2:] == ["equal files with other labels", "1.00", "train/dog/same.png", ""]
    # Nobody has decided yet, so nothing is left out, and nothing is forgotten.
    code, out = check({}, data={"max_bad_fraction": 0, "exclude": "issues.csv"})
    assert code == 3
    assert "note: data.exclude: 7 lines have no decision; write exclude or keep into the column decision" in out
    # Of each pair, one is left out. The line of the other is left as it is.
    decide(issues, {row[0]: "exclude" for row in rows[1:] if not row[0].startswith(("train/dog", "test/"))})
    code, out = check({}, data={"max_bad_fraction": 0, "exclude": "issues.csv"})
    assert code == 0, out
    assert "excluded by data.exclude: 4 files: train/cat/=1.png (quarantined: " in out
    assert "lets 21 images pass" in out  # 18, and near, leak and same once each
    again = tmp_path / "again.csv"
    code, out = check({}, data={"exclude": "issues.csv"}, more=["-o", str(again)])
    assert "again.csv: nothing new was found, and 4 earlier decisions" in out
    code, out = check({}, data={"max_bad_fraction": 0, "exclude": "again.csv"})
    assert code == 0, out
    assert "have no decision" not in out


def decide(issues: Path, decision_of: dict[str, str]) -> None:
    """Fills in the last column, as somebody would in a spreadsheet."""
    header, *rows = csv.reader(issues.read_text().splitlines())
    with open(issues, "w", newline="") as f:
        csv.writer(f).writerows([header, *([*row[:-1], decision_of.get(row[0], "")] for row in rows)])


def test_what_somebody_decided_to_keep_stays_and_is_not_reported_again(check: Check, tmp_path: Path) -> None:
    issues, again = tmp_path / "issues.csv", tmp_path / "again.csv"
    files = {path: data for path, data in FINDINGS.items() if path not in ("train/cat/=1.png", "train/cat/leak.png")}
    code, _ = check(files, more=["-o", str(issues)])
    assert code == 3
    decide(issues, {"train/cat/near.png": "keep", "train/dog/same.png": "keep"})  # one line of each pair
    code, out = check({}, data={"exclude": "issues.csv"}, more=["-o", str(again)])
    assert code == 0, out
    assert "lets 23 images pass" in out  # 18; near and same twice each; leak once
    assert "nothing new was found, and 2 earlier decisions" in out
    # The decision is on this pair: another image like them is a finding.
    code, out = check(
        {"train/dog/third.png": photo(900, bar=1)}, data={"exclude": "again.csv"}, more=["-o", str(issues)]
    )
    assert code == 3, out
    found = [row for row in csv.reader(issues.read_text().splitlines()) if not row[-1]]
    assert [(row[0], row[4]) for row in found] == [
        ("train/cat/near.png", "train/dog/third.png"), ("train/dog/third.png", "train/cat/near.png"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("place", "message"),
    {
        "none/issues.csv": "there is no folder .*/none; make it first",
        ".": "is a folder",
        "skip.csv": "would be lost",
    }.items(),
)
def test_a_place_for_the_findings_that_cannot_be_is_refused_at_once(
    check: Check, tmp_path: Path, place: str, message: str
) -> None:
    (tmp_path / "skip.csv").write_text("path\n")
    code, out = check({"cat/1.png": photo(1)}, data={"exclude": "skip.csv"}, more=["-o", str(tmp_path / place)])
    assert code == 2
    assert re.search(f"-o .*: .*{message}", out)
    assert (tmp_path / "skip.csv").read_text() == "path\n"


def test_moved_images_are_said(check: Check) -> None:
    """Of one photo, as many versions as it takes to have one in each split."""
    files = {f"cat/{i}.png": photo(i) for i in range(30)} | {f"dog/{i}.png": photo(100 + i) for i in range(30)}
    versions = {by_hash(digest(photo(50, spot)), SHARES): photo(50, spot) for spot in range(1, 40)}
    files |= {"cat/x.png": versions["train"], "cat/y.png": versions["eval"]}
    code, out = check(files)
    assert code == 0, out
    assert (
        "note: 1 nearly equal image was moved to train (1 from eval), because images like them were in another" in out
    )
