"""CleanVision and Datalab on the copies that `python -m benchmarks.planted --keep FOLDER` leaves.

They need an environment of their own, with none of our packages:

    python -m venv peers
    peers/bin/pip install cleanvision==0.3.7 "cleanlab[datalab]==2.9.0"
    .venv/bin/python -m benchmarks.planted.features backbone.keras FOLDER/*/planted.json
    peers/bin/python benchmarks/planted/peers.py FOLDER/*/planted.json

Datalab gets the features of the same backbone, and out-of-fold probabilities of a logistic regression on them. Prints,
for each copy and tool, the processor time without that of the features, what was caught of what was planted, and how
many other files were named; `peers.json` beside the record has every finding.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

# Fault -> what the tools call it; other faults are leaks, or borders, for which neither tool looks.
_KINDS = {
    "dark": "dark",
    "bright": "light",
    "blurred": "blurry",
    "constant": "low_information",
    "grey, three channels": "grayscale",
    "grey, one channel": "grayscale",
    "an eighth of the size": "odd_size",
    "a sliver": "odd_aspect_ratio",
    "border, 36 % of the area left": "border",
    "letterbox, 40 % of the height left": "border",
    "wrong label": "label",
}
_NEAR = ("near_duplicates", "exact_duplicates", "near_duplicate")
_FOLDS = 5

# Kind of finding -> what it names, most certain first: paths, or for pairs sets of paths.
Findings = dict[str, list[Any]]


def cleanvision(root: Path, record: Mapping[str, Any]) -> Findings:
    """Every check of CleanVision with its defaults."""
    from cleanvision import Imagelab

    files = {str(root / image["path"]): image["path"] for image in record["images"]}
    lab = Imagelab(filepaths=list(files))
    lab.find_issues(n_jobs=1, verbose=False)
    found: Findings = {}
    for column in lab.issues.columns:
        if column.startswith("is_") and "duplicates" not in column:
            kind = column.removeprefix("is_").removesuffix("_issue")
            named = lab.issues[lab.issues[column]].sort_values(f"{kind}_score")
            found[kind] = [files[file] for file in named.index]
    for kind in ("near_duplicates", "exact_duplicates"):
        found[kind] = [[files[file] for file in alike] for alike in lab.info[kind]["sets"]]
    return found


def datalab(root: Path, record: Mapping[str, Any]) -> Findings:
    """Every check of Datalab with its defaults, from features and out-of-fold probabilities."""
    from cleanlab import Datalab

    features = np.load(root.parent / "features.npy")
    paths = [image["path"] for image in record["images"]]
    labels = list(record["labels"])
    numbers = [[labels.index(label) for label in image["labels"]] for image in record["images"]]
    if record["task"] == "segmentation":
        lab = Datalab(data={"path": paths}, verbosity=0)
        lab.find_issues(features=features)
    else:
        single = record["task"] == "single_label"
        given = [own[0] for own in numbers] if single else numbers
        task = "classification" if single else "multilabel"
        lab = Datalab(data={"path": paths, "label": given}, label_name="label", task=task, verbosity=0)
        lab.find_issues(features=features, pred_probs=_out_of_fold(features, numbers, len(labels), single=single))
    found: Findings = {}
    for kind in lab.issue_summary["issue_type"]:
        issues = lab.get_issues(kind)
        named = issues[issues[f"is_{kind}_issue"]].sort_values(f"{kind}_score")
        if kind == "near_duplicate":
            sets = zip(named.index, named["near_duplicate_sets"], strict=True)
            found[kind] = [[paths[i], *(paths[j] for j in others)] for i, others in sets]
        else:
            found[kind] = [paths[i] for i in named.index]
    return found


def _out_of_fold(features: Any, numbers: list[list[int]], labels: int, *, single: bool) -> Any:
    """Probabilities [images, labels] of a logistic regression that has not seen the image."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def predicted(targets: Any, folds: Any) -> Any:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        return cross_val_predict(model, features, targets, cv=folds, method="predict_proba")

    if single:
        return predicted([own[0] for own in numbers], StratifiedKFold(_FOLDS, shuffle=True, random_state=0))
    targets = np.array([[label in own for label in range(labels)] for own in numbers])
    folds = KFold(_FOLDS, shuffle=True, random_state=0)
    return np.stack([predicted(own, folds)[:, 1] for own in targets.T], axis=1)


def compare(record: Mapping[str, Any], found: Findings) -> list[str]:
    """Rows of a table: the fault, how many were planted and caught, and how many other files are named for it."""
    faults: Mapping[str, Mapping[str, Any]] = record["planted"]
    rows = []
    for name in dict.fromkeys(fault["fault"] for fault in faults.values()):
        planted = {path: fault for path, fault in faults.items() if fault["fault"] == name}
        kind = _KINDS.get(name)
        if any(fault["partner"] for fault in planted.values()):
            alike = [set(names) for near in _NEAR for names in found.get(near, ())]
            caught = sum(any({path, fault["partner"]} <= names for names in alike) for path, fault in planted.items())
            meant = {path for one, fault in faults.items() for path in (one, fault["partner"])}
            others = len(set().union(*alike) - meant)
        elif kind in found:
            caught = len(planted.keys() & set(found[kind]))
            others = len(set(found[kind]) - faults.keys())
        else:
            continue
        rows.append(f"| {name} | {len(planted)} | {caught} | {others} |")
    return rows


_TOOLS: Mapping[str, Callable[[Path, Mapping[str, Any]], Findings]] = {"CleanVision": cleanvision, "Datalab": datalab}


def looks_for(tool: str, record: Mapping[str, Any]) -> bool:
    """Whether the tool looks for anything that was planted, or nothing was: Datalab judges no single picture here."""
    kinds = {_KINDS.get(fault["fault"], "near_duplicate") for fault in record["planted"].values()}
    return not kinds or bool(kinds - ({"label"} if tool == "CleanVision" else {*_KINDS.values()} - {"label"}))


def main(records: list[str]) -> None:
    """Runs the command."""
    for file in map(Path, records):
        record = json.loads(file.read_text(encoding="utf-8"))
        told: dict[str, Any] = {}
        for tool, find in _TOOLS.items():
            if not looks_for(tool, record):
                continue
            started = time.process_time()
            found = find(file.parent / "data", record)
            told[tool] = {"seconds": time.process_time() - started, "findings": found}
            counts = ", ".join(f"{kind} {len(names)}" for kind, names in found.items() if names) or "nothing"
            print(
                f"{file.parent.name}, {tool}, {told[tool]['seconds']:.0f} s of processor time: {counts}\n", flush=True
            )
            if rows := compare(record, found):
                print("| fault | planted | caught | other files |\n|---|---|---|---|")
                print("\n".join(rows) + "\n", flush=True)
        file.with_name("peers.json").write_text(json.dumps(told, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
