"""Compares two runs to the digit: `python -m scripts.compare_runs OUTPUT OTHER_OUTPUT`.

A change of the code that must not change results is checked with it: run one configuration with the old code and with
the new, then compare the two output folders. Times, paths and fingerprints of code differ, and are left out.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

# Old name -> new name, in keys and text of summaries that older code wrote.
RENAMED = {
    '"gate": "balance"': '"gate": "data_gate"',
    '"gate": "evaluation"': '"gate": "model_gate"',
    "unknown_auroc": "out_of_distribution_auroc",
    "unknown_abstained": "out_of_distribution_abstained",
}
_COMPARED = (
    *("task", "status", "exit_code", "data", "imbalance", "label_weights", "metrics", "per_label", "slices"),
    "decisions",
)


def results(output: str) -> dict[str, Any]:
    """The results of the newest run below an output folder.

    Args:
        output: the folder that holds `latest` and `pipeline`.

    Returns:
        The compared keys of summary.json; `verdicts`, a list of [gate, label, slice, value, passed]; and `shards`, the
        SHA-256 digest of every shard file by its name.
    """
    with open(os.path.join(output, "latest", "summary.json"), encoding="utf-8") as f:
        text = f.read()
    for old, new in RENAMED.items():
        text = text.replace(old, new)
    summary = json.loads(text)
    keys = ("gate", "label", "slice", "value", "passed")  # in order; their wording may change
    return {
        **{key: summary.get(key) for key in _COMPARED},
        "verdicts": [[verdict[key] for key in keys] for verdict in summary["gates"] if verdict["gate"] != "serving"],
        "shards": _shards(os.path.join(output, summary["artifacts"]["examples"])),
    }


def _shards(folder: str) -> dict[str, str]:
    [path] = glob.glob(os.path.join(glob.escape(folder), "manifest.json"))
    with open(path, encoding="utf-8") as f:
        return {file["name"]: file["sha256"] for file in json.load(f)["files"]}


def differences(one: Any, other: Any, where: str = "") -> Iterator[str]:
    """Yields a line for every place in which two JSON values differ.

    >>> list(differences({"a": [1, 2]}, {"a": [1, 3], "b": 0}))
    ['.a[1]: 2 != 3', '.b: only in the second']
    """
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            if key in one and key in other:
                yield from differences(one[key], other[key], f"{where}.{key}")
            else:
                yield f"{where}.{key}: only in the {'first' if key in one else 'second'}"
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for i, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{where}[{i}]")
    elif one != other:
        yield f"{where}: {one!r} != {other!r}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints every difference; returns 1 if there is any."""
    parser = argparse.ArgumentParser(prog="python -m scripts.compare_runs", description=__doc__)
    parser.add_argument("first", metavar="OUTPUT")
    parser.add_argument("second", metavar="OTHER_OUTPUT")
    options = parser.parse_args(arguments)
    first, second = results(options.first), results(options.second)
    found = list(differences(first, second))
    for line in found:
        print(line)
    counted = f"{len(first['shards'])} shards, {len(first['label_weights'])} weights, {len(first['verdicts'])} verdicts"
    print(f"{len(found)} differences in {counted}, {len(first['metrics'] or ())} metrics and those of each label")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
