"""Rules of the data gate that look at features: wrong labels in train, and changed copies in different splits."""

import dataclasses
import io
import re
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from counting import Seen, merged
from PIL import Image, ImageDraw
from scipy import stats
from test_data_gate import OFF

from components.gates import data_gate
from components.gates.data_rules import copies, label_errors
from components.gates.data_rules.base import Finding, GateInput
from components.gates.judge import failed
from components.gates.settings import DataGateLimits
from components.ingest.settings import Exclusion
from components.model.features.feature_store import digest
from components.model.features.rows import Features

LABELS = ("cat", "dog", "emu")
LIMITS = DataGateLimits(
    **OFF | {"near_duplicate_distance": 32, "allow_duplicates_across_splits": False, "max_label_errors": 0.1}
)


def gate_input(seen: Sequence[Seen], rows: np.ndarray, pictures: Sequence[bytes] = ()) -> GateInput:
    """The images in the order of their paths, as the census has them."""
    order = sorted(range(len(seen)), key=lambda i: seen[i].path)

    def encoded(indices: Sequence[int]) -> Iterator[bytes]:
        return (pictures[order[i]] for i in indices)

    manifest, images = merged(seen, LABELS)
    digests = [digest(pictures[i] if pictures else bytes([i % 256, i // 256])) for i in order]
    return GateInput(manifest, images, features=Features(rows[order].astype(np.float32), encoded, digests, folder=""))


# Wrong labels.


def labelled(wrong: int, unlabelled: int = 0, count: int = 240) -> GateInput:
    """Clusters, of which the first images have the next label, and further ones have none."""
    random = np.random.default_rng(0)
    own = np.arange(count) % 3
    rows = 3 * random.normal(size=(3, 64))[own] + random.normal(size=(count, 64))
    stated = [LABELS[(label + (i < wrong)) % 3] for i, label in enumerate(own)]
    seen = [Seen(str(i), labels=(name,), path=f"{i:03}.png") for i, name in enumerate(stated)]
    for i in range(count - unlabelled, count):
        seen[i] = Seen(str(i), labels=(), path=f"{i:03}.png", unknown=LABELS)
    return gate_input(seen, rows)


def test_more_wrong_labels_than_the_limit_are_refused_with_their_names() -> None:
    """240 of 960 labels are wrong: 0.25, far above 0.1."""
    [verdict] = label_errors.wrong_labels(labelled(240, count=960), LIMITS)
    assert not verdict.passed
    assert verdict.value == pytest.approx(240 / 960, abs=0.1)
    assert verdict.interval is not None
    assert verdict.interval[0] > 0.1
    assert "share of wrong labels in train is" in verdict.reason
    assert re.search(
        r"\d\d\d.png \(labelled '(cat|dog|emu)', looks like '(cat|dog|emu)', probability (0\.9|1\.0)", verdict.reason
    )
    assert "raise balance.max_label_errors" in verdict.reason


def test_a_share_above_the_limit_that_chance_explains_is_tolerated() -> None:
    """6 of 240 are 0.025, and a limit of 0.02 gives 6 or more with a probability of a third."""
    assert stats.binom.sf(5, 240, 0.02) == pytest.approx(0.35, abs=0.02)
    [verdict] = label_errors.wrong_labels(labelled(6), LIMITS.model_copy(update={"max_label_errors": 0.02}))
    assert verdict.passed


def test_right_labels_hold_and_nothing_is_listed() -> None:
    data = labelled(0, unlabelled=30)
    [verdict] = label_errors.wrong_labels(data, LIMITS)
    assert (verdict.passed, verdict.value) == (True, 0)
    assert list(label_errors.findings(data, LIMITS)) == []


def test_the_list_begins_with_what_is_most_certain() -> None:
    found = list(label_errors.findings(labelled(12), LIMITS))
    assert {finding.path for finding in found[:12]} == {f"{i:03}.png" for i in range(12)}
    certainty = [finding.certainty for finding in found]
    assert certainty == sorted(certainty, reverse=True)
    assert {finding.kind for finding in found} == {"suspected label error"}


def test_labels_that_somebody_decided_to_keep_neither_count_nor_are_listed() -> None:
    decided = tuple(Exclusion(path=f"{i:03}.png", reason="", decision="keep") for i in range(12))
    limits = LIMITS.model_copy(update={"kept": decided})
    assert list(label_errors.findings(labelled(12), limits)) == []
    [before], [after] = label_errors.wrong_labels(labelled(12), LIMITS), label_errors.wrong_labels(labelled(12), limits)
    assert before.value is not None
    assert before.value > 0
    assert after.value == 0


def test_few_images_and_no_features_are_not_judged() -> None:
    for data in (labelled(12, count=99), GateInput(*merged([], LABELS))):
        assert list(label_errors.wrong_labels(data, LIMITS)) == []
        assert list(label_errors.findings(data, LIMITS)) == []
        [note] = label_errors.notes(data, LIMITS)
        assert note.startswith("balance.max_label_errors was not judged: it needs ")
    off = LIMITS.model_copy(update={"max_label_errors": None})
    assert label_errors.notes(labelled(12, count=99), off) == []
    assert list(label_errors.wrong_labels(labelled(60), off)) == []
    assert list(label_errors.findings(labelled(60), off))


def test_each_of_several_labels_is_judged_where_it_is_known() -> None:
    random = np.random.default_rng(0)
    own = np.arange(240) % 3
    rows = 3 * random.normal(size=(3, 64))[own] + random.normal(size=(240, 64))
    seen = []
    for i, label in enumerate(own):
        names = (LABELS[label],) if i >= 9 else (LABELS[label], LABELS[(label + 1) % 3])
        names = tuple(name for name in LABELS if name in names)
        seen.append(Seen(str(i), labels=names, path=f"{i:03}.png"))
    data = gate_input(seen, rows)
    several = LIMITS.model_copy(update={"contradictions": False})
    found = list(label_errors.findings(data, several))
    assert {finding.path for finding in found} <= {f"{i:03}.png" for i in range(9)}
    assert re.match(r"suspected label error: labelled '(cat|dog|emu)', probability of the opposite", found[0].reason)


# Changed copies.


def picture(seed: int, crop: int = 0) -> bytes:
    """Shapes; without so many pixels on each side."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (300, 220), "white")
    draw = ImageDraw.Draw(image)
    for _ in range(150):
        x, y, w, h = random.integers(0, 300), random.integers(0, 220), *random.integers(5, 50, 2)
        draw.ellipse((x, y, x + w, y + h), fill=tuple(random.integers(0, 256, 3).tolist()))
    stored = io.BytesIO()
    image.crop((crop, crop, 300 - crop, 220 - crop)).save(stored, "PNG")
    return stored.getvalue()


def copied(*, named: bool, label: str = "cat", split: str = "test") -> GateInput:
    """Twelve pictures in train; `copy.png` is the fourth, cropped, and `like.png` only has features like the fifth."""
    rows = np.random.default_rng(0).normal(size=(14, 32))
    rows[12], rows[13] = rows[3] + 0.1, rows[4] + 0.1
    seen = [Seen(str(i), labels=("cat",), path=f"{i:02}.png", named=named) for i in range(12)]
    seen += [Seen("12", split, (label,), "copy.png", named=named), Seen("13", split, (label,), "like.png", named=named)]
    return gate_input(seen, rows, [*map(picture, range(12)), picture(3, crop=6), picture(99)])


def test_a_cropped_copy_in_another_named_split_is_refused_and_an_image_that_is_only_similar_is_not() -> None:
    [verdict] = copies.leaking_copies(copied(named=True), LIMITS)
    assert not verdict.passed
    assert verdict.value == 1
    assert (
        "changed copies in different predefined splits is 1, above the maximum 0: 03.png ~ copy.png" in verdict.reason
    )


def test_a_cropped_copy_in_another_split_by_hash_is_listed_with_its_partner() -> None:
    data = copied(named=False)
    assert list(copies.leaking_copies(data, LIMITS)) == []
    first, second = copies.findings(data, LIMITS)
    reason = first.reason.replace("copy.png", "03.png")
    assert (first.path, first.other, first.kind) == ("03.png", "copy.png", "changed copy across splits")
    assert second == Finding("copy.png", reason, first.kind, first.certainty, "03.png")
    assert 0.9 <= first.certainty <= 1


def test_a_cropped_copy_with_another_label_is_listed() -> None:
    found = list(copies.findings(copied(named=True, label="dog", split="train"), LIMITS))
    assert [(finding.path, finding.kind) for finding in found] == [
        ("03.png", "changed copy with other labels"),
        ("copy.png", "changed copy with other labels"),
    ]


def test_a_copy_that_somebody_decided_to_keep_is_let_pass() -> None:
    row = Exclusion(path="copy.png", reason="another crop", decision="keep", other="03.png")
    limits = LIMITS.model_copy(update={"kept": (row,)})
    [verdict] = copies.leaking_copies(copied(named=True), limits)
    assert verdict.passed
    assert list(copies.findings(copied(named=True), limits)) == []


@pytest.mark.parametrize("off", [{"near_duplicate_distance": None}, {"allow_duplicates_across_splits": True}])
def test_copies_are_not_looked_for_where_they_are_allowed(off: dict[str, object]) -> None:
    limits = LIMITS.model_copy(update=off)
    assert list(copies.leaking_copies(copied(named=True), limits)) == []
    assert list(copies.findings(copied(named=True), limits)) == []


def test_rules_and_findings_share_one_search() -> None:
    data = copied(named=True)
    asked: list[int] = []
    before = data.features.encoded if data.features else None

    def encoded(indices: Sequence[int]) -> Iterator[bytes]:
        assert before is not None
        asked.append(len(indices))
        return before(indices)

    assert data.features is not None
    counted = GateInput(data.manifest, data.images, features=dataclasses.replace(data.features, encoded=encoded))
    verdicts = data_gate.check(counted, LIMITS)
    assert [v.rule for v in failed(verdicts)] == ["number of changed copies in different predefined splits <= 0"]
    assert [f.kind for f in data_gate.findings(counted, LIMITS)] == ["changed copy across splits"] * 2
    assert len(asked) == 1


@pytest.mark.parametrize(("images", "pairs"), [(0, 1_000), (2_001, 1_000), (3_000, 1_500), (100_000, 20_000)])
def test_the_number_of_compared_pairs_grows_with_the_images_up_to_a_bound(images: int, pairs: int) -> None:
    assert copies._most(images) == pairs


def test_pairs_that_are_not_compared_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the pairs (copy, 03) and (like, 04), whose cosines differ, one is compared."""
    monkeypatch.setattr(copies, "_FEW", 1)
    monkeypatch.setattr(copies, "_MOST", 1)
    told = copies.notes(copied(named=True), LIMITS)
    assert told == ["changed copies were looked for among the 1 most similar of 2 pairs of images; there may be more"]
