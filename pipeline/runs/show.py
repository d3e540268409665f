"""The summary of a run as tables in the terminal."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from components import metrics
from components.base.artifact_files import SUMMARY
from components.base.text import shown, truncated_list
from components.ingest.layouts.listing import PHOTOS
from components.labels import kinds
from components.report.cells import head

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from components.data.manifest import LeftOut
    from components.model.comparing.record import Difference, MethodComparison
    from components.model.tuning.journal import Trials
    from components.report.run_summary import DataSummary, Numbers, RunSummary

_LABEL_METRICS = ("iou", "precision", "recall", "f1")
_UNKNOWN = {"images": "images have no label", "labels": "labels of images are unknown", "pixels": "pixels are ignored"}
_IGNORED = 5  # ignored files that are named
_REASONS = 20  # reasons of quarantined files that are named


def show(run: RunSummary, console: Console) -> None:
    """Prints labels, metrics and notes, as far as there are any, and the verdict."""
    from rich.markup import escape

    if run.data.labels:
        console.print(label_table(run.data.labels, run.label_weights, run.per_label))
        for line in imbalance_lines(run.imbalance):
            console.print(line, highlight=False)
        for line in _data_lines(run.data):
            console.print(escape(shown(line)), highlight=False)
    if run.tuning:
        console.print(trial_table(run.tuning))
    if run.comparison:
        _show_comparison(run.comparison, console)
    if run.metrics:
        console.print(_metric_table(run))
    serving = run.serving
    if serving.latency_ms and serving.images_per_second and serving.megabytes:
        console.print(
            f"serving: {serving.latency_ms.median:.1f} ms for one image, "
            f"{serving.images_per_second:.0f} images a second in batches, {serving.megabytes:.1f} MB",
            highlight=False,
        )
    for export in run.exports:
        if export.passed:
            console.print(f"export {escape(export.sentence())}", highlight=False)
    for note in run.notes if run.metrics else ():
        console.print(escape(note), highlight=False)
    if run.report is not None:
        console.print(f"report: {escape(shown(run.report))}", highlight=False, soft_wrap=True)
    _show_verdict(run, console)


def _show_verdict(run: RunSummary, console: Console) -> None:
    from rich.markup import escape

    of_model = [verdict for verdict in run.gates if verdict.gate == "model_gate"]
    held, left = sum(v.judged and v.passed for v in of_model), sum(not v.judged for v in of_model)
    if held:
        judged = f"{held} threshold{'s' if held != 1 else ''} held" + (f", {left} not judged" if left else "")
    else:
        unjudged = f" ({left} threshold{'s' if left != 1 else ''} not judged)" if left else ""
        judged = f"[bold red]nothing has judged it[/]{unjudged}"
    version, path = (run.pushed.version, run.pushed.path) if run.pushed else ("", "")
    role = "challenger, " if run.pushed and run.pushed.challenger else ""
    untouched = "the served model is untouched"
    unchanged = (
        f"version {version} is this model already" if run.stages else f"nothing new since version {version} was pushed"
    )
    text = {
        "pushed": f"[bold green]pushed[/] {role}version {version}: {judged} -> {escape(path)}",
        "up_to_date": f"[bold green]up to date[/]: {unchanged}",
        "tuned": "[bold green]tuned[/]; nothing was pushed",
        "compared": "[bold green]compared[/]; nothing was pushed",
        "not_blessed": f"[bold red]refused by the model gate[/]; {untouched}:",
        "data_rejected": f"[bold red]refused by the data gate[/]; nothing was trained, {untouched}:",
        "failed": f"[bold red]failed[/]; {untouched}:",
        "stopped": "[bold red]stopped[/]:",
        "killed": "[bold red]killed[/]:",
    }[run.status]
    console.print(text, highlight=False, soft_wrap=True)
    for line in (run.error or "").splitlines():
        console.print(f"  {escape(shown(line))}", highlight=False, soft_wrap=True)


def _metric_table(run: RunSummary) -> Table:
    from rich.table import Table

    part = run.baseline.compared if run.baseline else None
    heads = [*(["compared part"] if part else []), *(["served model"] if run.baseline else [])]
    table = Table("metric", "test", *heads, box=None, pad_edge=False)
    optional = (m for m in metrics.OUT_OF_DISTRIBUTION if m in run.metrics)
    for name in (*kinds.kind(run.task).overall, *optional):
        served = [_number(run.baseline.metrics.get(name))] if run.baseline else []
        same = [_number(part.metrics.get(name))] if part else []
        table.add_row(name, _number(run.metrics.get(name)), *same, *served)
    return table


def trial_table(found: Trials) -> Table:
    """A table with one row per trial of a search, the best first."""
    from rich.markup import escape
    from rich.table import Table

    shown_metrics = list(found.of(found.best).metrics)
    table = Table(box=None, pad_edge=False)
    table.add_column("trial", justify="right")
    table.add_column("settings", overflow="fold")
    for name in (found.measure, *(name.replace("_", " ") for name in shown_metrics), "seconds"):
        table.add_column(name, justify="right")
    table.add_column("")
    for trial in found.ranked():
        cells = [_number(trial.measure), *(_number(trial.metrics.get(name)) for name in shown_metrics)]
        state = "best" if trial.number == found.best else trial.told()
        table.add_row(
            str(trial.number), escape(shown(trial.settings())), *cells, f"{trial.seconds:.0f}", escape(shown(state))
        )
    return table


def _show_comparison(found: MethodComparison, console: Console) -> None:
    from rich.markup import escape

    for table in method_tables(found):
        console.print(table)
    for line in found.remarks():
        console.print(escape(shown(line)), highlight=False)


def method_tables(found: MethodComparison) -> Iterator[Table]:
    """The figures of each method and, below, by how much they differ from those of the first."""
    from rich.table import Table

    figures = list(map(head, found.figures))
    table = Table("method", box=None, pad_edge=False)
    for name in (*figures, "seconds"):
        table.add_column(name, justify="right")
    for method in found.methods:
        cells = [method.figures[name].text() if name in method.figures else "–" for name in found.figures]
        table.add_row(method.name, *cells, "–" if method.seconds is None else f"{method.seconds:.1f}")
    yield table
    if any(method.differences for method in found.methods):
        table = Table(f"minus {found.methods[0].name}", box=None, pad_edge=False)
        for name in figures:
            table.add_column(name, justify="right")
        for method in found.methods:
            if method.differences:
                table.add_row(method.name, *(_difference(method.differences[name]) for name in found.figures))
        yield table


def _difference(one: Difference) -> str:
    return f"{one.text()} {'*' if one.beyond_chance else ' '}"


def label_table(
    counts: Mapping[str, Mapping[str, int]],
    weights: Mapping[str, float],
    per_label: Mapping[str, Numbers] | None = None,
) -> Table:
    """A table with one row per label: examples by split, weight unless all are 1, and metrics if there are any."""
    from rich.markup import escape
    from rich.table import Table

    numbers = per_label or {}
    weighted = any(weight != 1 for weight in weights.values())
    measured = [m for m in _LABEL_METRICS if any(m in of_label for of_label in numbers.values())]
    table = Table(box=None, pad_edge=False)
    table.add_column("label")
    for name in ("train", "eval", "test", *(["weight"] if weighted else []), *measured):
        table.add_column(name, justify="right")
    for label, by_split in counts.items():
        cells = [f"{by_split[split]:,}" for split in ("train", "eval", "test")]
        cells += [f"{weights[label]:.3f}"] if weighted else []
        cells += [_number(numbers.get(label, {}).get(m)) for m in measured]
        table.add_row(escape(label), *cells)
    return table


def imbalance_lines(method: str) -> list[str]:
    """Says what makes up for rare labels; weights stand in the table."""
    return [] if method in ("", "none", "weights") else [f"rare labels: training.imbalance is {method}"]


def _data_lines(data: DataSummary) -> Iterator[str]:
    yield from unknown_lines(data.unknown)
    yield from excluded_lines(data.excluded)
    if data.quarantined:
        yield f"quarantined: {_files(data.quarantined)}; see {SUMMARY}"
    if ignored := untold(data.ignored, data.notes):
        yield f"ignored: {_files(ignored)} without a meaning in this layout: {', '.join(ignored[:_IGNORED])}"
    yield from (f"note: {text}" for text in data.notes)


def unknown_lines(shares: Mapping[str, float]) -> list[str]:
    """Sentences on the shares that `data_gate.unknown` computes; none where everything is known.

    >>> unknown_lines({"images": 0.0625, "labels": 0.0})
    ['6.2% of all images have no label; they are not used']
    """
    return [f"{share:.1%} of all {_UNKNOWN[name]}; they are not used" for name, share in shares.items() if share]


def untold(ignored: Sequence[str], notes: Sequence[str]) -> list[str]:
    """The ignored files of which no note speaks; a note on all of them, or all images or other files, ends with a list.

    >>> untold(["1.jpg", "a.txt"], ["1 image outside the label folders left out: 1.jpg"])
    ['a.txt']
    """
    images = [path for path in ignored if posixpath.splitext(path)[1].lower() in PHOTOS - {""}]
    known = set(images)
    others = [path for path in ignored if path not in known]
    told = {
        path
        for group in (images, others, ignored)
        if any(note.endswith(f": {truncated_list(group)}") for note in notes)
        for path in group
    }
    return [path for path in ignored if path not in told]


def excluded_lines(files: Sequence[LeftOut]) -> list[str]:
    """A sentence on the files that `data.exclude` leaves out, with the first reasons; none if there is no such file."""
    named = truncated_list(f"{file.path} ({file.reason})" for file in files)
    return [f"excluded by data.exclude: {_files(files)}: {named}"] if files else []


def quarantined_lines(files: Sequence[LeftOut]) -> list[str]:
    """One line for each reason, with examples; after twenty reasons, the number of the other files.

    >>> from components.data.manifest import LeftOut
    >>> quarantined_lines([LeftOut(path=path, reason="empty file") for path in ("a.png", "b.png")])
    ['quarantined: 2 files: empty file: a.png, b.png']
    >>> quarantined_lines([LeftOut(path="a.png", reason="empty file")])
    ['quarantined: a.png: empty file']
    """
    paths: dict[str, list[str]] = {}
    for file in files:
        paths.setdefault(file.reason, []).append(file.path)
    lines = []
    for reason, names in itertools.islice(paths.items(), _REASONS):
        several = len(names) > 1
        which = _files(names) if several else truncated_list(names)
        lines.append(f"quarantined: {which}: {reason}" + (f": {truncated_list(names)}" if several else ""))
    more = sum(map(len, itertools.islice(paths.values(), _REASONS, None)))
    if more:
        lines.append(f"quarantined: and {more:,} more; `imagegate check -o issues.csv` writes all of them")
    return lines


def _files(files: Sequence[object]) -> str:
    return f"{len(files):,} file{'' if len(files) == 1 else 's'}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
