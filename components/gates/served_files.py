"""Compares the served answers to files as clients send them with those that `imagegate predict` gives. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.labels import outputs
from components.labels.kind import LabelKind

# Largest difference of two probabilities that counts as none, and share of pixels whose labels may differ because two
# are nearly as likely. Chosen by hand; not measured.
_SAME, _PIXELS = 1e-4, 0.01

Row = Mapping[str, NDArray[Any]]  # output -> answer to one image


@dataclass(frozen=True)
class Compared:
    """Names of files, each list in the order in which they were asked for.

    Attributes:
        answered: that predict cannot read, but the model answers.
        differ: that the model answers otherwise than predict, or refuses without a row of zeros that abstains.
        disturbed: the images of the test split whose answers differ if asked for beside refused files.
    """

    answered: Sequence[str]
    differ: Sequence[str]
    disturbed: Sequence[str]


def compare(arrays: Mapping[str, NDArray[Any]], files: Sequence[str], read: Sequence[str], kind: LabelKind) -> Compared:
    """Compares answers.

    Args:
        arrays: "batch/output" -> array [n, ...]. The batches are "mixed": an image, the files, the image again; "read":
            those that predict can read, as it sends them; "serving_default": images, the first of which is that image.
        files, read: names of the files.
        kind: label kind of the task.
    """
    names = [name for name in expected(kind) if name not in (outputs.ERROR, outputs.LABELS)]
    errors = arrays.get(f"mixed/{outputs.ERROR}", np.zeros(len(files) + 2, "S1"))

    def row(batch: str, number: int) -> Row:
        return {name: arrays[f"{batch}/{name}"][number] for name in names if f"{batch}/{name}" in arrays}

    answered, differ = [], []
    for number, file in enumerate(files, 1):
        found = row("mixed", number)
        if errors[number]:
            if not _is_refusal(found):
                differ.append(file)
        elif file not in read:
            answered.append(file)
        elif not _is_same(found, row("read", read.index(file))):
            differ.append(file)
    alone = row("serving_default", 0)
    ends = {"the first image": 0, "the last image": len(files) + 1}
    disturbed = [name for name, number in ends.items() if errors[number] or not _is_same(row("mixed", number), alone)]
    return Compared(answered, differ, disturbed)


def replayed(arrays: Mapping[str, NDArray[Any]], requests: Sequence[Sequence[int]], kind: LabelKind) -> list[str]:
    """Names the warm-up requests that are answered otherwise than the same images are later, or refused.

    Args:
        arrays: "batch/output" -> array [n, ...]. The batches are "replayed 0", "replayed 1", …, and "serving_default".
        requests: for each of the former, the rows of the latter that it asks for.
        kind: label kind of the task.
    """
    names = [name for name in expected(kind) if name not in (outputs.ERROR, outputs.LABELS)]
    named = []
    for number, rows in enumerate(requests):
        answered = {name: arrays.get(f"replayed {number}/{name}") for name in (*names, outputs.ERROR)}
        found = {name: array for name, array in answered.items() if array is not None}
        errors = found.pop(outputs.ERROR, np.zeros(len(rows), "S1"))
        later = {name: arrays[f"serving_default/{name}"][list(rows)] for name in found}
        if any(errors) or not _is_same(found, later):
            named.append(f"request {number + 1} of {len(rows)} images")
    return named


def expected(kind: LabelKind) -> Mapping[str, tuple[str, int]]:
    """The outputs of `serving_default` and `examples`: name -> data type and number of dimensions."""
    return outputs.OF_PIXELS if kind.per_pixel else outputs.OF_IMAGES


def wrong_forms(
    forms: Mapping[str, Mapping[str, Sequence[Any]]],
    empty: Mapping[str, Mapping[str, int]],
    kind: LabelKind,
    *,
    arrays: bool = False,
) -> list[str]:
    """Names the outputs that are not as documented.

    Args:
        forms: signature -> output -> data type and number of dimensions.
        empty: signature -> output -> rows that it answers to an empty batch.
        kind: label kind of the task.
        arrays: whether the model takes arrays.
    """
    wrong = {f"{signature}/{output}" for signature, rows in empty.items() for output, n in rows.items() if n}
    for signature in ("serving_default", "examples"):
        found = {output: tuple(form) for output, form in forms.get(signature, {}).items()}
        wanted = outputs.OF_PIXELS_OF_ARRAYS if arrays and kind.per_pixel else expected(kind)
        wrong |= {f"{signature}/{o}" for o in {*found, *wanted} if found.get(o) != wanted.get(o)}
    return sorted(wrong)


def _is_same(one: Row, other: Row) -> bool:
    numbers = [name for name in (outputs.PROBABILITIES, outputs.CONFIDENCE) if name in one]
    same = all(np.allclose(one[name], other[name], rtol=0, atol=_SAME) for name in numbers)
    return same and (outputs.MASK not in one or np.mean(one[outputs.MASK] != other[outputs.MASK]) <= _PIXELS)


def _is_refusal(row: Row) -> bool:
    zero = (not np.any(array) for name, array in row.items() if name != outputs.ABSTAIN)
    return all(zero) and bool(row.get(outputs.ABSTAIN, False))
