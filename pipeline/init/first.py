"""The first configuration of a data set: looks at it, decides how to read it, and writes what it found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from components.base.errors import ConfigError
from components.base.text import shown
from components.base.verdict import Verdict
from components.data.dataset import Dataset, LayoutError
from components.data.mask_rules import Rule
from components.gates import data_gate
from components.gates.data_rules.base import GateInput
from components.ingest.counts import census, observed
from pipeline import config as configuration
from pipeline.config import yaml
from pipeline.init import compose, limits
from pipeline.init.arrays.readings import readings_of_arrays
from pipeline.init.found import Found, find
from pipeline.init.places import Place, shown_path
from pipeline.init.readings import Reading, readings, see
from pipeline.runs import check, data
from pipeline.runs.show import label_table

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.terminal import Terminal

_MOST_OTHERS = 5  # readings that are named besides the one that is taken


@dataclass(frozen=True)
class First:
    """A configuration that was written.

    Attributes:
        config: the configuration, as it was loaded from the file.
        found: what it holds.
    """

    config: Config
    found: Found

    def show(self, terminal: Terminal) -> int | None:
        """Prints what `imagegate check` prints. Returns its exit code, or None if not all images were opened."""
        found, console = self.found, terminal.console
        if found.images is not None:
            judged = data.gate_input(self.config, found.manifest, found.images, "")
            verdicts = data.judge_data(self.config, judged)
            suspected = data_gate.notes(judged, self.config.data_gate_limits)
            return check.show(self.config, found.manifest, verdicts, terminal, suspected)
        count_ignored = self.config.labels.count_ignored
        weights = data_gate.weights(found.manifest, self.config.label_weights, count_ignored=count_ignored)
        console.print(label_table(found.manifest.label_counts, weights))
        for path, reason in found.broken:
            terminal.line(shown(f"cannot be used: {path}: {reason}"))
        for note in found.manifest.notes:
            terminal.line(shown(f"note: {note}"))
        terminal.line(
            f"the numbers are estimates: of {len(found.dataset.records):,} images, {found.opened:,} were opened; "
            "`imagegate check` opens all"
        )
        return None


def write(place: Place, task: str | None, terminal: Terminal, before: str = "") -> First:
    """Looks at a data set and writes its configuration.

    Args:
        place: the data set, and where the configuration goes.
        task: the task to read it for, or None: the most likely one.
        terminal: where progress is shown, and how the data set is read.
        before: why it is written, in the terminal.

    Raises:
        ConfigError: a configuration is there already or cannot be written, or no layout fits the data set.
    """
    if os.path.isdir(place.config):
        such = shown_path(os.path.join(place.config, f"{place.name}.yaml"))
        raise ConfigError(f"-o: {shown_path(place.config)} is a folder; name a file in it, such as {such}")
    if os.path.lexists(place.config):
        raise ConfigError(f"{shown_path(place.config)} exists already; remove it, or name another file with -o")
    if not os.path.isdir(place.folder):
        raise ConfigError(f"-o: there is no folder {shown_path(place.folder)}; make it, or name another file")
    sight = see(place)
    possible = readings_of_arrays(sight, task) or readings(sight, task)
    reading, config, dataset, rule, refused = _first_that_reads(place, possible)
    if compose.few(dataset):
        config = compose.with_larger_splits(config)
        dataset, rule = data.read_dataset(config)
    others = [other for other in possible if other is not reading and other not in refused and other.is_named]
    notes = [f"not {refusal}: {error}" for refusal, error in refused.items()]
    notes += [f"also possible: {compose.describe(other)}" for other in others[:_MOST_OTHERS]]
    notes += [f"note: {note}" for note in reading.proposal.notes]
    found = _with_bits(find(config, dataset, rule, terminal), rule, terminal)
    empty = not all(found.manifest.counts.values())
    lowered = limits.loosened(_verdicts(config, found), empty=empty)
    lowered += limits.of_sample(len(found.broken), found.opened)
    text = compose.text(place, reading, [*notes, *(f"note: {note}" for note in found.manifest.notes)], found, lowered)
    written = configuration.validated(
        yaml.parse(text, place.config)[0] | {"folder": place.folder, "file": place.config}, place.config
    )
    try:
        with open(place.config, "x", encoding="utf-8") as f:
            f.write(text)
    except OSError as error:
        raise ConfigError(f"{place.config}: {error.strerror}; name another file with -o") from None
    terminal.line(shown(f"{before}wrote {shown_path(place.config)}: {compose.summary(reading, found)}"))
    for note in notes:
        terminal.line(shown(note))
    return First(written, found)


def _with_bits(found: Found, rule: Rule | None, terminal: Terminal) -> Found:
    """Looks once more, with `data.bits`, where images of 16 bits use only the lower ones and would be black."""
    bits = observed.bits_in_use(found.highest) if found.deep else None
    if bits is None:
        return found
    section = found.config.data.model_copy(update={"bits": bits})
    again = find(found.config.model_copy(update={"data": section}), found.dataset, rule, terminal)
    return replace(again, deep=found.deep, highest=found.highest)


def _first_that_reads(
    place: Place, possible: Sequence[Reading]
) -> tuple[Reading, Config, Dataset, Rule | None, dict[Reading, str]]:
    """Returns the first reading that succeeds, with the data set; and why those before it did not.

    Only readings of the preferred layout are tried: nearly any data set can be read in some other way, such as by the
    names of its folders `images` and `masks`, and would then be misread.
    """
    refused: dict[Reading, str] = {}
    for reading in possible:
        if reading.proposal.layout != possible[0].proposal.layout:
            continue
        try:
            raw = compose.sections(place, reading) | {"folder": place.folder, "file": place.config}
            config = configuration.validated(raw, shown_path(place.root))
            dataset, rule = data.read_dataset(config)
        except (ConfigError, LayoutError) as error:
            refused[reading] = str(error)
        else:
            return reading, config, dataset, rule, refused
    lines = [f"{shown_path(place.root)} looks like {reading}; but:\n  {error}" for reading, error in refused.items()]
    others = (other for other in possible if other not in refused and other.is_named)
    lines += [f"also possible: {compose.describe(other)}" for other in others]
    raise ConfigError("\n".join(lines))


def _verdicts(config: Config, found: Found) -> list[Verdict]:
    """Judges the data set by the default limits; of a sample, only the labels."""
    images = found.images or census.Images(np.zeros(0, census.ROW))
    return data_gate.check(GateInput(found.manifest, images), config.data_gate_limits)
