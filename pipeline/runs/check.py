"""`imagegate check`: the data gate without TFX.

Reads and decodes every image once and applies the same rules as a run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from components.base.errors import ConfigError
from components.base.files import write_atomically
from components.base.text import shown, truncated_list
from components.base.verdict import Verdict
from components.data.dataset import Dataset
from components.data.manifest import DatasetManifest
from components.data.mask_rules import Rule
from components.gates import data_gate
from components.gates.judge import failed
from components.ingest import exclusion, settling, shards
from components.ingest.counts import census
from components.ingest.workers import crash_mark, processes
from components.model.features.described import Files
from pipeline.disk import room
from pipeline.runs import data, preflight
from pipeline.runs.show import excluded_lines, imbalance_lines, label_table, quarantined_lines, unknown_lines, untold
from pipeline.terminal import output_to

_PART = 1 << 14  # images that are counted together

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.terminal import Terminal


def run(config: Config, terminal: Terminal, issues: str | None = None) -> int:
    """Prints the labels with their weights, the quarantined files and the verdict. Returns the exit code.

    Args:
        config: the settings.
        terminal: where to print.
        issues: the file to write every finding to, in the form that `data.exclude` reads, or None.

    Raises:
        ConfigError: the configuration does not fit the data or this machine, or `issues` cannot be written.
        LayoutError: the data set is not laid out as the configuration says.
    """
    if issues is not None:
        _check_place(config, issues)
    frozen = data.frozen_schema(config)
    dataset, rule = data.read_dataset(config)
    preflight.files(config, dataset)
    settings, files = config.feature_settings(), Files(config.data_root, config.data.max_pixels, config.data.bits)
    manifest, images = examine(config, dataset, rule, terminal, files.note if settings else lambda _: None)
    features = None
    if settings is not None:
        with output_to(os.devnull):
            features = files.features(images, settings)
    gate = data.gate_input(config, manifest, images, frozen, features)
    verdicts = data.judge_data(config, gate)
    suspected = data_gate.notes(gate, config.data_gate_limits)
    terminal.close()
    code = show(config, manifest, verdicts, terminal, suspected)
    if issues is not None:
        found = data_gate.findings(gate, config.data_gate_limits)
        try:
            decided = [row for row in config.exclusions if row.decision != "undecided"]
            write_atomically(issues, exclusion.write(found, decided).encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise ConfigError(f"-o {issues}: {error.strerror}") from None
        terminal.line(shown(_next(issues, len(found), len(decided))))
    return code


def _check_place(config: Config, path: str) -> None:
    """Raises ConfigError at once, not after minutes, if the file cannot be written."""
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise ConfigError(f"-o {path}: is a folder; name a file in it, such as issues.csv")
    if not os.path.isdir(folder):
        raise ConfigError(f"-o {path}: there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"-o {path}: {folder} cannot be written: {room.unwritable(folder)}")
    if config.exclude_path is not None and os.path.realpath(config.exclude_path) == os.path.realpath(path):
        raise ConfigError(f"-o {path}: is data.exclude of this configuration and would be lost; name another file")


def _next(path: str, count: int, decided: int) -> str:
    earlier = f", and {decided:,} earlier decision{'' if decided == 1 else 's'}" if decided else ""
    if not count:
        return f"wrote {path}: nothing new was found{earlier}" if decided else f"wrote {path}: nothing was found"
    lines = f"{count:,} line{'' if count == 1 else 's'}"
    return (
        f"wrote {path}: {lines}, most certain first{earlier}; write exclude or keep into the column decision, and set "
        "data.exclude to this file"
    )


def examine(
    config: Config,
    dataset: Dataset,
    rule: Rule | None,
    terminal: Terminal,
    each: Callable[[shards.Examined], object] = lambda _: None,
) -> tuple[DatasetManifest, census.Images]:
    """Decodes every image of a data set and counts what a run would store; calls `each` with every image."""
    report, reports = census.Report(), census.Kept()
    with (
        output_to(os.devnull),  # decoders print warnings; real problems are in the report
        crash_mark.reading(config.output_folder) as found,
    ):
        told = config.data
        before = data.earlier_splits(config, dataset)
        job = shards.job(dataset, told.max_pixels, rule, told.bits, before, told.arrays, careful=found.careful)
        try:
            for number, item in enumerate(shards.examine(dataset.records, job), 1):
                shards.enter(item, report)
                if number % _PART == 0:
                    report.digests.clear()  # which only a later run would ask for
                    reports.append(report)
                each(item)
                terminal.progress("images", number, len(dataset.records))
            report.digests.clear()
            reports.append(report)
            manifest, images = settling.merge(dataset, reports, job, config.source.near)
            found.crashed = shards.crashed(manifest)
        finally:
            processes.release()
    return manifest, images


def show(
    config: Config,
    manifest: DatasetManifest,
    verdicts: Sequence[Verdict],
    terminal: Terminal,
    suspected: Sequence[str] = (),
) -> int:
    """Prints what was counted, what is `suspected`, and the verdict on it. Returns the exit code."""
    console = terminal.console
    weights = data_gate.weights(manifest, config.label_weights, count_ignored=config.labels.count_ignored)
    console.print(label_table(manifest.label_counts, weights))
    detects = config.kind.is_detector(len(manifest.labels))
    lines = [] if detects else imbalance_lines(config.training.method(config.kind))
    lines += unknown_lines(data_gate.unknown(manifest))
    lines += excluded_lines(manifest.excluded)
    lines += quarantined_lines(manifest.quarantined)
    lines += [f"note: {text}" for text in (*manifest.notes, *suspected)]
    lines += [
        f"{count:,} image{'' if count == 1 else 's'} will be stored as PNG: {reason}"
        for reason, count in manifest.changed.items()
    ]
    if ignored := untold(manifest.ignored, manifest.notes):  # often hundreds of harmless files, so one shortened line
        lines.append(f"ignored, not used by this layout: {truncated_list(ignored)}")
    lines += [f"warning: labels {text}" for text in data_gate.warnings(manifest.label_counts)]
    problems = failed(verdicts)
    lines += [f"refused: {verdict.reason}" for verdict in problems]
    for line in lines:
        console.print(shown(line), markup=False, highlight=False, soft_wrap=True)
    total = sum(manifest.counts.values())
    if problems:
        return 3
    console.print(
        f"the data gate lets {total:,} image{'' if total == 1 else 's'} pass: {len(verdicts)} rules hold",
        highlight=False,
    )
    return 0
