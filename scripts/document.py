"""Generates docs/configuration.md from the settings classes. `make docs` runs it, and a test checks the result."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from components.data import features
from components.evaluation.settings import StandardMetric
from components.gates.settings import Threshold
from components.ingest.settings import Data
from components.labels import kinds
from pipeline.config import Config
from pipeline.config.kubeflow import Gpu, Secret, Toleration
from scripts import schemas

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"

_HEAD = """\
<!-- Made by `make docs` from the modules `settings` in components and pipeline/config; edit there. -->
# Configuration

One YAML file configures a run. Unknown and duplicate keys, wrong types and contradictory settings are errors: the
message names the key, and the command ends with exit code 2 before anything runs. `imagegate init DIR` writes a
commented example. `--set KEY=VALUE` overrides a key for one command (`--set training.epochs=3`).

The file is YAML 1.2: only `true` and `false` are booleans; `yes`, `no`, `on`, `off` and dates are text, `010` is ten
and `1e-3` a number.

Relative paths start at the configuration file's folder. Limits whose type includes `null` are turned off by `null`.
"""


def page() -> str:
    """Returns the whole page as Markdown."""
    parts = [_HEAD, _section("Top level", Config)]
    sections = ("data", "labels", "balance", "training", "decisions", "evaluation", "serving", "push", "kubeflow")
    parts += [_section(f"`{name}`", _model(Config.model_fields[name])) for name in sections]
    parts.insert(3, _section("`data.columns`", _model(Data.model_fields["columns"])))
    parts.append(_section("`kubeflow.gpu`", Gpu))
    parts.append(_section("An entry of `kubeflow.secrets`", Secret))
    parts.append(_section("An entry of `kubeflow.tolerations`", Toleration))
    parts.append(_section("An entry of `evaluation.thresholds`", Threshold))
    parts.append(_metrics())
    return "\n".join(parts)


def _section(title: str, model: type[BaseModel]) -> str:
    lines = [f"## {title}\n", f"{(model.__doc__ or '').strip().splitlines()[0]}\n"]
    lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if not field.exclude:
            meaning = field.description or f"see [`{name}`](#{name})"
            cells = (f"`{name}`", _type(field), _default(field), meaning)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _metrics() -> str:
    slices = ", ".join(f"`{name}`" for name in features.SLICES) + ", and those of `data.columns.slices`"

    def named(listed: Sequence[str]) -> str:
        return ", ".join(f"`{m}`" for m in listed)

    rows = [f"| `{t}` | {named(kind.overall)} | {named(kind.per_label)} |\n" for t, kind in kinds.KINDS.items()]
    return (
        "## Metrics\n\n"
        "| task | of the whole | per label (a threshold with `label`) |\n|---|---|---|\n"
        f"{''.join(rows)}\n"
        f"Columns for `slice` and `slices`: {slices}.\n\n"
        "A threshold on a metric that is not a number, or on a slice without examples, refuses the model.\n"
    )


def _model(field: FieldInfo) -> type[BaseModel]:
    assert isinstance(field.annotation, type)
    assert issubclass(field.annotation, BaseModel)
    return field.annotation


def _type(field: FieldInfo) -> str:
    return _name(field.annotation)


def _name(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{a}`" for a in arguments)
    if origin is typing.Annotated:
        return _name(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_name(a) for a in arguments)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            inner = _name(arguments[0])
            return f"list of ({inner})" if " or " in inner else f"list of {inner}"
        return f"[{', '.join(map(_name, arguments))}]"
    if annotation is StandardMetric:
        return "names or entries"
    if origin is dict:
        return f"{_name(arguments[0])}: {_name(arguments[1])}"
    if annotation is type(None):
        return "null"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        entries = (Threshold, Secret, Toleration)
        return "entry" if annotation in entries else "keys"
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}[annotation]


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "see below"
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, BaseModel):
        inner = ", ".join(f"{k}: {_yaml(v)}" for k, v in field.default)
        return f"`{{{inner}}}`" if any(v is not None for _, v in field.default) else "see below"
    return f"`{_yaml(field.default)}`"


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if value == {}:
        return "{}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    return str(value) if value != "" else '""'


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    schemas.write()
    sys.stdout.write(f"wrote {PAGE.relative_to(PAGE.parent.parent)} and docs/schemas\n")
