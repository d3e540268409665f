"""JSON Schemas of the files that people read with their own scripts, made from the classes that write them."""

from __future__ import annotations

import json
from pathlib import Path

from components.base.values import Value
from components.data.manifest import DatasetManifest
from components.push.manifest import PushedManifest
from components.report.run_summary import RunSummary

FOLDER = Path(__file__).parent.parent / "docs" / "schemas"
SCHEMAS: dict[str, type[Value]] = {
    "summary.schema.json": RunSummary,
    "imagegate.schema.json": PushedManifest,
    "manifest.schema.json": DatasetManifest,
}


def schema(record: type[Value]) -> str:
    """The JSON Schema (draft 2020-12) of a record, as text."""
    described = {"$schema": "https://json-schema.org/draft/2020-12/schema", **record.model_json_schema()}
    return json.dumps(described, indent=2) + "\n"


def write() -> None:
    """Writes every schema to docs/schemas."""
    FOLDER.mkdir(exist_ok=True)
    for name, record in SCHEMAS.items():
        (FOLDER / name).write_text(schema(record), encoding="utf-8")
