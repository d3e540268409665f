"""The report of a run: a single HTML file that needs no network and no other file."""

from __future__ import annotations

import base64
import copy
import datetime
import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

import yaml

from components.base.text import number, shown
from components.labels import kinds
from components.report import cells, tables, trials, verdict
from components.report.records import Evidence, ModelExamples, ShownImage
from components.report.run_summary import RunSummary

LIMIT = 5_000_000  # bytes of a page
_QUARANTINED = 200  # files that are listed
# Groups of pictures to leave out of a page that is too large, in this order: (key, name).
_OPTIONAL = (
    ("random", "random examples"),
    ("hits", "least confident correct predictions"),
    ("unfamiliar", "least familiar images"),
    ("findings", "pictures of findings"),
    ("suspects", "suspected label errors"),
    ("groups", "images of weak groups"),
    ("regressions", "images that the served model had right"),
    ("mistakes", "mistakes"),
)
_OPEN = 3  # labels whose pictures are visible without a click
_NAMES = 4  # label names in a caption
_SLICES_INTRO = (
    "Sorted by the main metric, worst first. Metrics of small slices are uncertain, so check the number of examples."
)


def render(summary: RunSummary, evidence: Evidence, runs: str = "") -> str:
    """The page as HTML of less than `LIMIT` bytes.

    A page that would be larger leaves out pictures and says so.

    Args:
        summary: what a component cannot know (start, stages) may be missing.
        evidence: see `evidence.collect`; may be empty.
        runs: SVG of the main metric over earlier runs, or "".
    """
    kept = copy.deepcopy(evidence)
    html = _render(summary, kept, runs)
    left_out = []
    for key, name in _OPTIONAL:
        if len(html.encode()) < LIMIT:
            break
        left_out.append(name)
        _drop(kept, key)
        kept["examples"]["omitted"] = f"Left out to keep this page small: {', '.join(left_out)}."
        html = _render(summary, kept, runs)
    return html


def _drop(evidence: Evidence, key: str) -> None:
    examples = evidence.setdefault("examples", {})
    for group in (evidence, examples, *examples.get("labels", ())):
        if key in group:
            cast("dict[str, list[ShownImage]]", group)[key] = []


def _render(summary: RunSummary, evidence: Evidence, runs: str) -> str:
    from markupsafe import Markup

    template, css, script = _parts()
    kind = kinds.kind(summary.task)
    rules = verdict.rules(summary.gates)
    quarantined = summary.data.quarantined
    examples = evidence.get("examples", ModelExamples())
    content: dict[str, object] = {
        "name": summary.name,
        "task": summary.task.replace("_", "-"),
        "started": summary.started,
        "verdict": verdict.headline(summary, rules),
        "notes": (*summary.data.notes, *summary.notes),
        "tiles": verdict.tiles(summary),
        "gates": rules,
        "gates_failed": [rule for rule in rules if not rule["passed"]],
        "gates_passed": verdict.passed(rules),
        "gates_intro": verdict.counted(rules),
        "trials": trials.table(summary.tuning),
        "trials_intro": trials.introduction(summary.tuning),
        "trials_chart": trials.picture(summary.tuning),
        "methods": trials.methods(summary.comparison),
        "differences": trials.differences(summary.comparison),
        "methods_intro": trials.about_methods(summary.comparison),
        "methods_chart": trials.methods_picture(summary.comparison),
        "tried": trials.tried(summary.unlabelled, summary.synthetic),
        "synthetic": tables.synthetic(summary.synthetic),
        "synthetic_notes": summary.synthetic.sentences() if summary.synthetic else [],
        "synthetic_picture": evidence.get("synthetic", ""),
        "tuned": _yaml(summary.tuning.values if summary.tuning else {}),
        "labels": tables.labels(summary),
        "labels_intro": _labels_intro(summary),
        "regressions": tables.regressions(summary),
        "regressions_intro": _regressions_intro(summary),
        "slices": tables.slices(summary),
        "slices_intro": _SLICES_INTRO,
        "weak": tables.weak_groups(summary),
        "weak_intro": summary.weak_groups.sentence() if summary.weak_groups and summary.weak_groups.tried else "",
        "trivial": tables.trivial(summary),
        "exports": tables.exports(summary),
        "main_of_label": cells.head(kind.main_of_label),
        "confusion": tables.matrix(evidence.get("confusion"), kind),
        "cases": tables.cases(evidence.get("cases", ())),
        "charts": evidence.get("charts", []),
        "bands": evidence.get("bands"),
        "checkpoint": summary.checkpoint.sentence() if summary.checkpoint else "",
        "examples": examples,
        "opened": _opened(examples),
        "duplicates": evidence.get("duplicates", []),
        "pictured": evidence.get("findings", []),
        "found": summary.data.findings[:_QUARANTINED],
        "found_more": max(0, sum(n for kind, n in summary.data.found.items() if kind != "quarantined") - _QUARANTINED),
        "images": evidence.get("images", {}),
        "quarantined": quarantined[:_QUARANTINED],
        "quarantined_more": max(0, len(quarantined) - _QUARANTINED),
        "excluded": summary.data.excluded[:_QUARANTINED],
        "excluded_more": max(0, len(summary.data.excluded) - _QUARANTINED),
        "runs": runs,
        "main": kind.main.replace("_", " "),
        "stages": tables.stages(summary.stages),
        "facts": _facts(summary),
        "configuration": _yaml(summary.configuration),
        "css": Markup(css),  # noqa: S704  our own files
        "script": Markup(script),  # noqa: S704  likewise
        "policy": Markup(_policy(script)),  # noqa: S704  made of digests
    }
    present = {
        "gates": True,
        "search": content["trials"],
        "comparison": content["methods"],
        "methods": content["tried"],
        "synthetic": content["synthetic"],
        "labels": content["labels"],
        "regressions": content["regressions_intro"],
        "slices": content["slices"],
        "weak-groups": content["weak_intro"],
        "trivial-methods": content["trivial"],
        "exports": content["exports"],
        "charts": content["confusion"] or content["cases"] or content["charts"],
        "bands": content["bands"],
        "examples": examples or content["duplicates"] or quarantined or content["excluded"] or content["found"],
        "run": True,
    }
    content["sections"] = [(key, key.capitalize().replace("-", " ")) for key, there in present.items() if there]
    html: str = template.render(content)
    return html


@functools.cache
def _parts() -> tuple[Any, str, str]:
    """The template, the style sheet and the script."""
    import jinja2

    folder = os.path.dirname(os.path.abspath(__file__))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,  # names of files, labels and columns come from the data
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        # Shows control characters and marks that change the direction of text as escapes.
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
    """A content security policy: nothing is loaded, and only our script runs."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _moment(text: str) -> str:
    return f"{datetime.datetime.fromisoformat(text):%d %B %Y, %H:%M}"


def _few(names: Sequence[str]) -> str:
    """The first names, as many as fit below a picture, and the number of the others."""
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" +{more}" if more > 0 else "")


def _opened(examples: ModelExamples) -> list[str]:
    """The first labels with mistakes, whose pictures are visible without a click."""
    return [label["label"] for label in examples.get("labels", ()) if label["mistakes"]][:_OPEN]


def _labels_intro(summary: RunSummary) -> str:
    if not summary.baseline:
        return "Metrics on the test split."
    version, part = summary.baseline.version, summary.baseline.compared
    where = "evaluated on the same images"
    if part:
        where = f"evaluated on the {part.images:,} test images that are compared; what is not compared has none"
    return f"Metrics on the test split. Changes are relative to the served version {version}, {where}."


def _regressions_intro(summary: RunSummary) -> str:
    served = summary.baseline
    return served.regressions.sentence(served.version) if served and served.regressions else ""


def _facts(summary: RunSummary) -> list[dict[str, str | list[tuple[str, str]]]]:
    """Tables of the run, its fingerprints and its versions, without empty values."""
    run: dict[str, object] = {"run": summary.run_id, "exit code": summary.exit_code}
    if summary.seconds is not None:
        run["seconds"] = number(summary.seconds)
    run["seed"] = summary.configuration.get("training", {}).get("seed")
    run |= {f"images in {split}": f"{n:,}" for split, n in summary.data.counts.items()}
    serving = summary.serving
    if serving.latency_ms and serving.images_per_second and serving.megabytes:
        run["latency of one image"] = f"{serving.latency_ms.median:.1f} ms"
        run["images per second"] = f"{serving.images_per_second:.0f}"
        run["size of the model"] = f"{serving.megabytes:.1f} MB"
    fingerprints = {"data": summary.data.fingerprint, **summary.fingerprints}
    titled: Sequence[tuple[str, Mapping[str, object]]] = (
        ("Overview", run),
        ("Fingerprints", fingerprints),
        ("Versions", summary.versions),
    )
    return [
        {"title": title, "entries": entries}
        for title, values in titled
        if (entries := [(key, str(value)) for key, value in values.items() if value not in (None, "")])
    ]


def _yaml(configuration: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(configuration), sort_keys=False, allow_unicode=True) if configuration else ""
