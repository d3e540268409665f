"""`imagegate check`: the data gate without TFX. Reads and decodes every image once, applies the run's own rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components import balance, shards
from components.gates import failed
from pipeline import graph, local
from pipeline.summary import label_table

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.show import Terminal


def run(config: Config, terminal: Terminal) -> int:
    """Prints the labels with their weights, what is in quarantine and what the gate says. Returns the exit code."""
    dataset = local.read_dataset(config)
    report = shards.Report()
    job = shards.job(dataset, config.data.max_pixels)
    with terminal:
        for number, item in enumerate(shards.examine(dataset.records, job), 1):
            report.add(item)
            terminal.progress("images", number, len(dataset.records))
    manifest = shards.merge(dataset, [report])
    verdicts = balance.check(manifest, graph.limits(config))
    console = terminal.console
    console.print(label_table(manifest["label_counts"], balance.weights(manifest)))
    for item in manifest["quarantined"]:
        console.print(f"quarantined: {item['path']}: {item['reason']}", markup=False, highlight=False, soft_wrap=True)
    for reason, count in manifest["changed"].items():
        console.print(f"will be re-encoded: {count} ({reason})", markup=False, highlight=False)
    for path in manifest["ignored"]:
        console.print(f"ignored: {path}: in no label's folder", markup=False, highlight=False, soft_wrap=True)
    problems = failed(verdicts)
    for verdict in problems:
        console.print(f"refused: {verdict.reason}", markup=False, highlight=False, soft_wrap=True)
    total = sum(manifest["counts"].values())
    if problems:
        return 3
    console.print(f"the data gate lets {total:,} images pass: {len(verdicts)} rules hold", highlight=False)
    return 0
