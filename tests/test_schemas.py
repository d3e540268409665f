"""The JSON Schemas in docs/schemas are current, and the files that a run writes follow them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from counting import Seen, merged

from components.gates import reference
from components.gates.judge import Rule, judge
from components.ingest import manifest
from components.push import versions
from components.push.manifest import PushedManifest
from components.report.run_summary import RunSummary
from scripts import schemas

SEEN = [Seen(str(i), split, ("cat",), unknown=("dog",)) for i, split in enumerate(("train", "eval", "test"))]


@pytest.mark.parametrize("name", schemas.SCHEMAS)
def test_a_schema_is_current(name: str) -> None:
    text = schemas.schema(schemas.SCHEMAS[name])
    assert (schemas.FOLDER / name).read_text(encoding="utf-8") == text, "run make docs"
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


def validate(path: Path, schema: str) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(json.loads((schemas.FOLDER / schema).read_text())).validate(content)
    return content


def test_a_manifest_of_a_data_set_follows_its_schema(tmp_path: Path) -> None:
    counted, _ = merged(SEEN)
    manifest.write(str(tmp_path), counted)
    content = validate(tmp_path / "manifest.json", "manifest.schema.json")
    assert content["label_sets"][0] == ["eval", ["cat"], ["dog"], 1]
    assert manifest.read(str(tmp_path)) == counted


def test_a_pushed_manifest_follows_its_schema(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"model")
    kept, _ = reference.remember(*merged(SEEN))
    verdict = judge(Rule(gate="model_gate", metric="accuracy", minimum=0.5), 0.75, interval=(0.7, 0.8))
    pushed = PushedManifest(name="x", labels=("cat",), data=kept, metrics={"ece": None}, thresholds=(verdict,))
    served = versions.push(str(tmp_path / "model"), str(tmp_path / "served"), pushed)
    content = validate(Path(served.path) / "imagegate.json", "imagegate.schema.json")
    assert content["metrics"] == {"ece": None}
    assert versions.current(str(tmp_path / "served")) == served


def test_a_summary_follows_its_schema(tmp_path: Path) -> None:
    verdict = judge(Rule(gate="data_gate", metric="labels", minimum=2), 1)
    summary = RunSummary(name="x", task="single_label", status="failed", gates=(verdict,), metrics={"ece": None})
    (tmp_path / "summary.json").write_text(summary.to_json())
    content = validate(tmp_path / "summary.json", "summary.schema.json")
    assert sorted(content) == ["gates", "metrics", "name", "status", "task"]
    assert RunSummary.from_json(summary.to_json()) == summary
