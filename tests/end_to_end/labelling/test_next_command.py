"""`imagegate next`: which images to label next, from a pushed model."""

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from projects import TINY, Project, Trained
from sklearn.datasets import load_digits

from pipeline import cli, config
from pipeline.runs import data

pytestmark = pytest.mark.end_to_end


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], str]:
    """Exit code, lines of the output, and the error output."""
    code = cli.main(["next", *arguments])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def write_pool(pool: Path, labelled: Path) -> None:
    """Twelve further digits, a copy of a labelled one, a picture three times (nearly), and two broken files."""
    digits = load_digits()
    (pool / "more").mkdir(parents=True)
    for digit in range(3):
        for i, pixels in enumerate(digits.images[digits.target == digit][30:34]):
            Image.fromarray((pixels * 15).astype("uint8")).save(pool / "more" / f"{digit}-{i}.png")
    shutil.copy(labelled, pool / "labelled.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    large = Image.fromarray(noise).resize((300, 300))
    large.save(pool / "large.png")
    shutil.copy(pool / "large.png", pool / "same.png")
    large.resize((150, 150)).save(pool / "smaller.png")
    (pool / "broken.png").write_bytes((pool / "large.png").read_bytes()[:300])
    (pool / "empty.png").write_bytes(b"")


@pytest.fixture
def ready(tiny: Project) -> Project:
    write_pool(tiny.folder / "pool", tiny.folder / "data" / "0" / "0.png")
    text = Path(tiny.config).read_text().replace("data: {root: data}", "data: {root: data, unlabelled: pool}")
    Path(tiny.config).write_text(text)
    return tiny


def test_different_uncertain_images_to_label_in_a_table_and_on_a_page(
    ready: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, ready.config, "-n", "5")
    assert (code, err) == (0, "")
    table, page = ready.folder / "next.csv", ready.folder / "next.html"
    said = "\n".join(out)
    assert "left out, cannot be used: empty file: empty.png" in said
    assert ": broken.png" in said
    assert "left out, in the data set with their labels already: 1" in out
    assert "left out, equal or nearly equal to another one: 2" in out
    assert out[-2] == f"wrote {table} and {page}: 5 of 13 images"
    own = "data.root: pool, data.layout: manifest, data.manifest: next.csv"
    assert out[-1].startswith(
        f"next: fill in the column label, move next.csv to {ready.folder / 'pool'}, and write {own}"
    )
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert list(rows[0]) == ["file_name", "label", "guess", "uncertainty"]
    assert len({row["file_name"] for row in rows}) == 5
    unsure = [float(row["uncertainty"]) for row in rows]
    assert unsure == sorted(unsure, reverse=True)
    assert {row["guess"] for row in rows} <= {"0", "1", "2"}
    text = page.read_text()
    assert text.count('<img alt="" src="data:image/webp;base64,') == 5
    assert all(row["file_name"] in text for row in rows)

    again = ready.folder / "again.csv"
    assert call(capsys, ready.config, "-n", "5", "-o", str(again))[0] == 0
    assert again.read_text() == table.read_text()

    # Filled in, with one row left empty, it is a data set.
    filled = table.read_text().replace(",,", ",2,").replace(",2,", ",,", 1)
    (ready.folder / "pool" / "next.csv").write_text(filled)
    manifest = TINY.replace("data: {root: data}", "data: {root: pool, layout: manifest, manifest: next.csv}")
    (ready.folder / "own.yaml").write_text(manifest)
    dataset, _ = data.read_dataset(config.load(str(ready.folder / "own.yaml"), ()))
    assert {record.path: record.labels for record in dataset.records} == {
        row["file_name"]: (("2",) if number else ()) for number, row in enumerate(rows)
    }


@pytest.mark.parametrize("task", ["shapes", "regions"])
def test_it_chooses_for_several_labels_and_for_masks_too(
    task: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Six new pictures, images of the data set cut in four and put together in another order."""
    trained: Trained = request.getfixturevalue(task)
    pool = tmp_path / "pool"
    pool.mkdir()
    for path in sorted((trained.folder / "data" / task / "images").iterdir())[:6]:
        with Image.open(path) as image:
            half = image.width // 2
            Image.fromarray(np.roll(np.asarray(image), (half, half), (0, 1))).save(pool / f"{path.stem}.png")
    table = tmp_path / "next.csv"
    own = ("--set", f"data.unlabelled={pool}", "-n", "4", "-o", str(table))
    code, out, err = call(capsys, trained.config, *own)
    assert (code, err) == (0, "")
    assert out[-2] == f"wrote {table} and {tmp_path / 'next.html'}: 4 of 6 images"
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len({row["file_name"] for row in rows}) == 4
    unsure = [float(row["uncertainty"]) for row in rows]
    assert unsure == sorted(unsure, reverse=True)
    # "circle|square", or for masks the largest shares of the pixels: "ground 77%, circle 13%, square 10%".
    guessed = {word for row in rows for word in re.findall("[a-z]+", row["guess"])}
    assert guessed
    assert guessed <= set(trained.summary["per_label"])
    assert (tmp_path / "next.html").read_text().count('<img alt="" src="data:image/webp;base64,') == 4


def test_what_is_asked_for_is_there_or_one_sentence_says_why_not(
    ready: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    few = call(capsys, ready.config)
    assert few[0] == 0
    assert "takes all 13: there are fewer different images than -n 100" in few[1]

    def refusal(*arguments: str) -> tuple[int, str]:
        code, _, err = call(capsys, ready.config, *arguments)
        assert err.count("\n") == 1
        return code, err

    table = ready.folder / "next.csv"
    before = table.read_bytes()
    code, err = refusal()
    assert (code, f"-o: {table} is there already" in err) == (2, True)
    assert table.read_bytes() == before
    other = ("-o", str(ready.folder / "other.csv"))
    assert refusal(*other, "-n", "0") == (2, "imagegate: -n: expected how many images to label, 1 or more; got 0\n")
    assert refusal("-o", "other.txt")[0] == 2
    code, err = refusal(*other, "--set", "data.unlabelled=null")
    assert (code, err.startswith("imagegate: data.unlabelled: is not set; ")) == (2, True)
    code, err = refusal(*other, "--set", "push.destination=models/none")
    assert (code, err.startswith("imagegate: push.destination: nothing is pushed to ")) == (1, True)
    for path in (ready.folder / "pool").rglob("*.*"):
        if path.name not in ("labelled.png", "empty.png"):
            path.unlink()
    code, err = refusal(*other)
    assert (code, "1 are in the data set" in err) == (2, True)
    assert not (ready.folder / "other.csv").exists()
