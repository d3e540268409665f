"""The data behind the served model: what is kept beside a pushed model is read back, or refused with a sentence."""

from pathlib import Path
from typing import Any

import pytest
from counting import Seen, merged

from components.base.artifact_files import KNOWN_IMAGES
from components.base.errors import ImagegateError
from components.gates import reference
from components.gates.reference import Reference
from components.ingest.counts import census
from components.push import versions
from components.push.manifest import PushedManifest


def images(label: str, count: int) -> list[Seen]:
    return [Seen(f"train{i}", "train", (label,)) for i in range(count)]


def test_a_pushed_model_keeps_little_of_its_data() -> None:
    _, content = reference.remember(*merged(images("cat", 1000)))
    assert len(content) == 192 + 50 * 1000  # NumPy's header, and 50 bytes an image
    masks, _ = reference.remember(*merged([Seen("1", pixels=(1, 2))]))
    assert masks.label_sets == []


def pushed(tmp_path: Path, data: dict[str, Any], content: bytes, scheme: str = "") -> versions.Served:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"model")
    manifest = PushedManifest(task="single_label", labels=("cat",), **data)
    return versions.push(str(tmp_path / "model"), f"{scheme}{tmp_path}/to", manifest, {KNOWN_IMAGES: content})


@pytest.mark.parametrize("scheme", ["", "file://", "memory://"])
def test_the_recalled_reference_equals_the_remembered_one(tmp_path: Path, scheme: str) -> None:
    counted, rows = merged(images("cat", 3))
    kept, content = reference.remember(counted, rows)
    model = pushed(tmp_path, {"data": kept}, content, scheme)
    recalled = reference.recall(versions.current(f"{scheme}{tmp_path}/to"), "single_label")
    assert isinstance(recalled, Reference)
    assert recalled.version == model.version
    assert recalled.data.label_counts == counted.label_counts
    assert set(recalled.known["truth"].tolist()) == {census.truth(["cat"], [])}
    assert len(recalled.known) == 3


@pytest.mark.parametrize("damage", [lambda p: p.write_bytes(p.read_bytes() + b"0"), Path.unlink])
def test_a_file_that_does_not_match_the_manifest_is_not_read(tmp_path: Path, damage: Any) -> None:
    kept, content = reference.remember(*merged(images("cat", 3)))
    model = pushed(tmp_path, {"data": kept}, content)
    damage(Path(model.path) / KNOWN_IMAGES)
    with pytest.raises(ImagegateError, match=r"images\.npy is missing or does not match") as error:
        reference.recall(model, "single_label")
    message = str(error.value)
    assert message.startswith(f"version {model.version} is served, but these data cannot be compared with its data: ")
    assert message.endswith(f"Bring an older version back (imagegate rollback CONFIG), or remove {model.path}")


def test_a_manifest_without_data_is_refused_with_a_sentence(tmp_path: Path) -> None:
    _, content = reference.remember(*merged(images("cat", 3)))
    with pytest.raises(
        ImagegateError, match=r"version \d+ is served, .*: its imagegate\.json does not describe its data\. Bring"
    ):
        reference.recall(pushed(tmp_path, {}, content), "single_label")


def test_without_a_served_model_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    assert reference.recall(None, "single_label") is None
    kept, content = reference.remember(*merged(images("cat", 3)))
    assert reference.recall(pushed(tmp_path, {"data": kept}, content), "multi_label") is None
