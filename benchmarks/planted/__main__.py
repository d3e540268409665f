"""Plants faults in copies of a data set and counts those that `imagegate check` names; checks clean samples of it, too.

python -m benchmarks.planted clothing_large --backbone backbone.keras
python -m benchmarks.planted miml/images --table miml/labels.csv --backbone backbone.keras
python -m benchmarks.planted camvid/train --masks camvid/trainannot --names sky building … --ignored 11

Prints tables in Markdown. With --keep, the copies and the lists stay; `benchmarks/planted/peers.py` reads them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.planted import copies, faults, outcome
from benchmarks.planted.copies import Collection, Copy
from benchmarks.planted.outcome import Outcome

_PARTS = ("single", "shortcuts", "labels", "leaks", "clean")
_CLEAN_SHARE = 0.8  # of the pictures are in a clean sample


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    options = _parser().parse_args(arguments)
    data = _collection(options)
    print(f"{len(data.pictures):,} images, {data.task}, {len(data.labels)} labels\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="imagegate-planted-") as temporary:
        folder = Path(options.keep or temporary).absolute()
        for part in options.only:
            if part == "clean":
                _clean(data, folder, options)
            else:
                _planted(part, data, folder, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.planted",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("images", nargs="+", type=Path, help="folder of the data set; several with --masks")
    parser.add_argument("--table", type=Path, help="CSV: file name, then 0 or 1 for each label")
    parser.add_argument("--masks", nargs="+", type=Path, help="folder of the masks, for each folder of images")
    parser.add_argument("--names", nargs="+", default=[], help="names of the labels of masks, from 0")
    parser.add_argument("--ignored", type=int, help="label of the pixels of masks that do not count")
    parser.add_argument("--backbone", type=Path, help="the .keras file whose features the data gate uses")
    parser.add_argument("--size", nargs=2, type=int, default=(224, 224), help="height and width (default: 224 224)")
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=_PARTS, help="default: all")
    parser.add_argument("--samples", type=int, default=10, help="number of clean samples (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--keep", help="where to keep the copies (default: a temporary folder)")
    return parser


def _collection(options: argparse.Namespace) -> Collection:
    if options.masks:
        return Collection.masked(zip(options.images, options.masks, strict=True), options.names, options.ignored)
    return Collection.labelled(options.images[0], options.table)


def _training(options: argparse.Namespace) -> Mapping[str, Any]:
    size = {"image_size": list(options.size)}
    return size | ({"backbone": str(options.backbone.absolute())} if options.backbone else {})


def _copies(part: str, data: Collection, seed: int) -> Iterator[Copy]:
    """The copies with planted faults; labels of pixels have neither wrong labels nor shortcuts."""
    if part == "single":
        yield copies.single(data, seed)
    if part == "leaks":
        yield copies.leaks(data, seed, between="splits")
    if data.task == "segmentation":
        return
    if part == "leaks":
        yield copies.leaks(data, seed, between="labels")
    if part == "labels":
        yield copies.wrong_labels(data, seed)
    if part == "shortcuts":
        yield from (copies.shortcut(data, name) for name in faults.SHORTCUTS)


def _planted(part: str, data: Collection, folder: Path, options: argparse.Namespace) -> None:
    for copy in _copies(part, data, options.seed):
        found = _check(copy, folder, options)
        if not copy.planted:
            [(label, name)] = copy.shortcuts.items()
            print(f"{label!r} can be told from its {name}; {_summary(found)}:\n")
            print("".join(f"    {line}\n" for line in found.lines if "can be told" in line) or "    nothing\n")
            continue
        print(f"{copy.name}; {_summary(found)}:\n")
        print("| fault | planted | caught | listed otherwise | other files | precision at the top |")
        print("|---|---|---|---|---|---|")
        for row in outcome.compare(copy.record(), found.findings):
            precision = "none" if row.precision is None else f"{row.precision:.2f}"
            cells = row.planted, row.caught, row.otherwise, row.others, precision
            print(f"| {row.fault} | {' | '.join(map(str, cells))} |")
        print(flush=True)


def _clean(data: Collection, folder: Path, options: argparse.Namespace) -> None:
    print("| clean sample | refused | files by kind of finding |\n|---|---|---|")
    total: Counter[str] = Counter()
    refusals: list[str] = []
    for seed in range(options.samples):
        found = _check(copies.clean(data, seed, _CLEAN_SHARE), folder, options)
        total += found.kinds()
        refusals += found.refusals
        print(f"| {seed} | {len(found.refusals)} | {_counts(found.kinds())} |", flush=True)
    print(f"| all | {len(refusals)} | {_counts(total)} |\n")
    print("".join(f"    {line}\n" for line in sorted(set(refusals))), flush=True)


def _check(copy: Copy, folder: Path, options: argparse.Namespace) -> Outcome:
    try:
        config = copy.write(folder / copy.name, _training(options))
    except FileExistsError as error:
        raise SystemExit(f"{error.filename}: exists already; remove it, or name another folder with --keep") from None
    found = outcome.check(config)
    told = {"lines": found.lines, "findings": [vars(finding) for finding in found.findings], "seconds": found.seconds}
    config.with_name("found.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    return found


def _summary(found: Outcome) -> str:
    return f"{len(found.findings)} findings, {len(found.refusals)} rules refuse, {found.seconds:.0f} s"


def _counts(kinds: Counter[str]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())) or "none"


if __name__ == "__main__":
    main()
