"""A run as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

import base64
import copy
import datetime
import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from components.base.text import number, shown
from components.labels import kinds
from components.report import tables

LIMIT = 5_000_000  # bytes of a page
_QUARANTINED = 200  # files that are named
# What is left out, in this order, where a page grows too large: (what, words).
_LEAVES = (
    ("random", "pictures drawn at random"),
    ("hits", "uncertain hits"),
    ("unfamiliar", "unfamiliar images"),
    ("suspects", "suspected label errors"),
    ("mistakes", "mistakes"),
)
_WORDS = {
    "pushed": ("pushed", "good", "✔"),
    "up_to_date": ("up to date", "good", "✔"),
    "not_blessed": ("refused", "bad", "✘"),
    "data_rejected": ("refused", "bad", "✘"),
    "failed": ("failed", "bad", "✘"),
}
_REASONS = 8
_OPEN = 3
_NAMES = 4


def render(told: Mapping[str, Any], evidence: Mapping[str, Any], runs: str = "") -> str:
    """The page.

    Args:
        told: an object as in summary.json; what a component cannot know (when it ran, the stages) may be missing.
        evidence: see `evidence.collect`; {} where there is none.
        runs: SVG of the earlier runs, or "".

    Returns:
        HTML of less than `LIMIT` bytes: pictures are left out until it is, and the page says so.
    """
    left = copy.deepcopy(dict(evidence))
    html = _render(told, left, runs)
    left_out = []
    for kind, words in _LEAVES:
        if len(html.encode()) < LIMIT:
            break
        left_out.append(words)
        _drop(left, kind)
        left["examples"]["omitted"] = f"Left out to keep this page small: {', '.join(left_out)}."
        html = _render(told, left, runs)
    return html


def _drop(evidence: dict[str, Any], kind: str) -> None:
    found = evidence.setdefault("examples", {})
    found[kind] = []
    for label in found.get("labels", ()):
        label[kind] = []


def _render(told: Mapping[str, Any], evidence: Mapping[str, Any], runs: str) -> str:
    from markupsafe import Markup

    template, css, script = _parts()
    gates = tables.gates(told.get("gates") or [])
    data = told.get("data") or {}
    quarantined = data.get("quarantined") or []
    found = {
        "name": told["name"],
        "task": told["task"].replace("_", "-"),
        "started": told.get("started"),
        "verdict": _verdict(told, gates),
        "notes": told.get("notes") or [],
        "headline": tables.headline(told),
        "gates": gates,
        "gates_failed": [gate for gate in gates if not gate["passed"]],
        "gates_held": tables.held(gates),
        "gates_said": _counted(gates),
        "labels": tables.labels(told),
        "labels_said": _compared_with(told),
        "slices": tables.slices(told),
        "slices_said": "The worst first, by the main metric. Small slices say little: mind the number of examples.",
        "confusion": tables.matrix(evidence.get("confusion"), kinds.kind(told["task"])),
        "cases": tables.cases(evidence.get("cases") or []),
        "charts": evidence.get("charts") or [],
        "examples": evidence.get("examples") or {},
        "opened": _opened(evidence.get("examples") or {}),
        "duplicates": evidence.get("duplicates") or [],
        "images": evidence.get("images") or {},
        "quarantined": quarantined[:_QUARANTINED],
        "quarantined_more": max(0, len(quarantined) - _QUARANTINED),
        "runs": runs,
        "main": kinds.kind(told["task"]).main.replace("_", " "),
        "stages": tables.stages(told.get("stages") or []),
        "facts": _facts(told),
        "configuration": _yaml(told.get("configuration")),
        "css": Markup(css),  # noqa: S704  our own files
        "script": Markup(script),  # noqa: S704
        "policy": Markup(_policy(script)),  # noqa: S704
    }
    present = {
        "gates": True,
        "labels": found["labels"],
        "slices": found["slices"],
        "pictures": found["confusion"] or found["cases"] or found["charts"],
        "examples": found["examples"] or found["duplicates"] or quarantined,
        "ran": True,
    }
    names = {"ran": "What ran"}
    found["sections"] = [(id_, names.get(id_, id_.capitalize())) for id_, there in present.items() if there]
    html: str = template.render(found)
    return html


@functools.cache
def _parts() -> tuple[Any, str, str]:
    """(template, style sheet, script)."""
    import jinja2

    folder = os.path.dirname(os.path.abspath(__file__))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,  # names of files, labels and columns are other people's
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        # What a terminal would obey, or turns text round, is shown as an escape here, too.
        finalize=lambda value: shown(value) if type(value) is str else value,
    )
    environment.filters["number"] = number
    environment.filters["moment"] = _moment
    environment.filters["few"] = _few
    return environment.get_template("page.html"), _text(folder, "page.css"), _text(folder, "page.js")


def _text(folder: str, name: str) -> str:
    with open(os.path.join(folder, name), encoding="utf-8") as f:
        return f.read()


def _policy(script: str) -> str:
    """Nothing is loaded from anywhere, and no script runs but ours."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _moment(text: str) -> str:
    return f"{datetime.datetime.fromisoformat(text):%d %B %Y, %H:%M}"


def _few(names: Sequence[str]) -> str:
    """As many as fit below a picture."""
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" +{more}" if more > 0 else "")


def _verdict(told: Mapping[str, Any], gates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    word, mood, sign = _WORDS[told["status"]]
    by_reason = {gate["reason"]: gate["id"] for gate in gates}
    lines = (told.get("error") or "").splitlines()
    reasons = [{"text": line, "id": by_reason.get(line)} for line in lines[:_REASONS]]
    if len(lines) > _REASONS:
        reasons.append({"text": f"and {len(lines) - _REASONS} more", "id": "gates"})
    return {
        "word": word,
        "mood": mood,
        "sign": sign,
        "sentence": _sentence(told, len(lines)),
        "compared": tables.compared(told),
        "reasons": reasons,
    }


def _sentence(told: Mapping[str, Any], reasons: int) -> str:
    version = (told.get("pushed") or {}).get("version")
    many = f"{reasons} reason{'' if reasons == 1 else 's'}"
    return {
        "pushed": f"Pushed as version {version}.",
        "up_to_date": f"Nothing is new: version {version} is served and stays.",
        "not_blessed": f"Refused by the model gate, for {many}. The served model is untouched.",
        "data_rejected": f"Refused by the data gate, for {many}. Nothing was trained; the served model is untouched.",
        "failed": "Failed. The served model is untouched.",
    }[told["status"]]


def _counted(gates: Sequence[Mapping[str, Any]]) -> str:
    failed = sum(not gate["passed"] for gate in gates)
    return f"{failed} of {len(gates)} rules failed." if failed else f"All {len(gates)} rules held."


def _opened(examples: Mapping[str, Any]) -> list[str]:
    """The labels whose pictures are shown without a click: the first few that have mistakes."""
    return [label["label"] for label in examples.get("labels", ()) if label["mistakes"]][:_OPEN]


def _compared_with(told: Mapping[str, Any]) -> str:
    served = told.get("baseline")
    said = f"Changes are against version {served['version']}, which was served, on the same images." if served else ""
    return f"Numbers of the test split. {said}".strip()


def _facts(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Tables of what ran, and what with."""
    run: dict[str, Any] = {"run": told.get("run_id"), "exit code": told.get("exit_code")}
    if told.get("seconds") is not None:
        run["seconds"] = number(told["seconds"])
    seed = (told.get("configuration") or {}).get("training", {}).get("seed")
    run["seed"] = told.get("seed", seed)
    for split, n in (told.get("data", {}).get("counts") or {}).items():
        run[f"images in {split}"] = f"{n:,}"
    serving = told.get("serving") or {}
    if "latency_ms" in serving:
        run["latency of one image"] = f"{serving['latency_ms']['median']:.1f} ms"
        run["images a second"] = f"{serving['images_per_second']:.0f}"
        run["size of the model"] = f"{serving['megabytes']:.1f} MB"
    of = (
        ("Run", run),
        ("Fingerprints", {"data": told.get("data", {}).get("fingerprint")} | (told.get("fingerprints") or {})),
        ("Versions", told.get("versions") or {}),
    )
    made = [
        {"title": title, "entries": [(k, str(v)) for k, v in entries.items() if v is not None]} for title, entries in of
    ]
    return [table for table in made if table["entries"]]


def _yaml(configuration: Mapping[str, Any] | None) -> str:
    return yaml.safe_dump(dict(configuration), sort_keys=False, allow_unicode=True) if configuration else ""
