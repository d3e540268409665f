"""`imagegate check`: what is wrong with a data set, in one go, with the name of the thing and the exit code."""

import io
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml
from PIL import Image

from components.data.dataset import LayoutError
from pipeline import cli, config
from pipeline.runs import data

Png = Callable[..., bytes]
WriteFiles = Callable[..., Path]
Check = Callable[..., tuple[int, str]]
NO_LIMITS = {"min_examples": None, "min_eval_examples": None, "max_ratio": None}


@pytest.fixture
def check(tmp_path: Path, write_files: WriteFiles, capsys: pytest.CaptureFixture[str]) -> Check:
    """`check(files, **balance)` writes a project and returns the exit code and everything that was printed."""

    def run(files: Mapping[str, bytes], data: Mapping[str, object] | None = None, **balance: object) -> tuple[int, str]:
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
        code = cli.main(["check", str(tmp_path / "imagegate.yaml")])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out + err

    return run


def label(png: Png, name: str, count: int, start: int = 0) -> dict[str, bytes]:
    return {f"{name}/{i}.png": png(start + i) for i in range(count)}


def table(text: str) -> dict[str, list[str]]:
    """Label -> its row's numbers."""
    rows = [re.split(r" {2,}", line.strip()) for line in text.splitlines()]
    return {row[0]: row[1:] for row in rows if len(row) == 5 and row[0] != "label"}


def test_a_sound_data_set_passes_with_a_table_of_its_labels(check: Check, png: Png) -> None:
    files = {
        **{f"train/cat/{i}.png": png(i) for i in range(4)},
        **{f"train/dög/{i}.png": png(10 + i) for i in range(2)},
        **{f"{split}/{name}/1.png": png(20 + i) for i, (split, name) in enumerate([("val", "cat"), ("test", "dög")])},
    }
    code, out = check(files)
    assert code == 0
    # Of 4 and 2 images the median is 3: weights 3 / 4 and 3 / 2.
    assert table(out) == {"cat": ["4", "1", "0", "0.750"], "dög": ["2", "0", "1", "1.500"]}
    assert "8 images pass" in out


def test_a_label_that_train_lacks_is_reported_and_weighs_nothing(check: Check, png: Png) -> None:
    files = {
        f"{split}/cat/{i}.png": png(10 * i + n) for i in range(4) for n, split in enumerate(("train", "val", "test"))
    }
    code, out = check(files | {"test/dög/1.png": png(99)})
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
    assert "ignored, not used by this layout: LICENSE\n" in out


def test_images_that_will_be_re_encoded_are_counted(check: Check, png: Png) -> None:
    gif = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(gif, "GIF")
    code, out = check(label(png, "cat", 12) | label(png, "dog", 12, 100) | {"cat/a.gif": gif.getvalue()})
    assert code == 0
    assert "will be re-encoded: 1 (GIF)\n" in out


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
