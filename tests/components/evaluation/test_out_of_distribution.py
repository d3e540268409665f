"""Images of none of the labels: the area by scikit-learn, and a folder through an exported model."""

import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn import metrics as sk

from components.base.errors import ConfigError
from components.evaluation import out_of_distribution
from components.labels import kinds
from components.model import signatures
from components.model.networks import network

SINGLE, _, _ = kinds.KINDS.values()

SIZE = (8, 8)
TENTHS = st.lists(st.integers(0, 10), min_size=1, max_size=30)


@given(TENTHS, TENTHS)
def test_the_area_is_scikit_learns(known: list[int], other: list[int]) -> None:
    truth, score = [1] * len(known) + [0] * len(other), [x / 10 for x in known + other]
    assert out_of_distribution.auroc(score[: len(known)], score[len(known) :]) == pytest.approx(
        sk.roc_auc_score(truth, score)
    )


def test_without_images_there_is_no_area() -> None:
    assert math.isnan(out_of_distribution.auroc([0.5], []))


def image(path: Path, seed: int) -> None:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 11, 3), np.uint8)).save(out, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(out.getvalue())


@pytest.fixture
def exported(undecided: Callable, tmp_path: Path) -> str:
    parts = network.build("small", weights=None, image_size=SIZE, classes=3, augment=False, seed=1, kind=SINGLE)
    signatures.export(parts, ["cat", "dog", "eel"], SIZE, SINGLE, undecided(parts), str(tmp_path / "model"))
    return str(tmp_path / "model")


def test_every_image_below_the_folder_is_predicted_and_other_files_are_named(exported: str, tmp_path: Path) -> None:
    root = tmp_path / "unknown"
    for i in range(34):  # more than a batch
        image(root / ("a" if i % 2 else "b/c") / f"{i}.png", i)
    (root / "a" / "text.png").write_bytes(b"no image")
    os_link = root / "out.png"
    os_link.symlink_to("/etc/hostname")
    found = out_of_distribution.measure({"candidate": (exported, [0.25, 1.0])}, str(root), 10_000)
    assert found["images"] == 34
    assert [file["path"] for file in found["unusable"]] == ["a/text.png", "out.png"]
    numbers = found["models"]["candidate"]
    assert set(numbers) == {"out_of_distribution_auroc", "out_of_distribution_abstained", "out_of_distribution_images"}
    assert 0 <= numbers["out_of_distribution_auroc"] <= 1
    out_of_distribution.write(str(tmp_path), found)
    assert out_of_distribution.read(str(tmp_path)) == found


def test_a_folder_without_images_gives_no_number(exported: str, tmp_path: Path) -> None:
    (tmp_path / "unknown").mkdir()
    found = out_of_distribution.measure({"candidate": (exported, [1.0])}, str(tmp_path / "unknown"), 10_000)
    assert found["images"] == 0
    numbers = found["models"]["candidate"]
    assert numbers.pop("out_of_distribution_images") == 0
    assert all(math.isnan(value) for value in numbers.values())


def test_the_fingerprint_follows_the_files(tmp_path: Path) -> None:
    assert out_of_distribution.fingerprint(None, 1000) == ""
    image(tmp_path / "1.png", 1)
    before = out_of_distribution.fingerprint(str(tmp_path), 1000)
    assert out_of_distribution.fingerprint(str(tmp_path), 1000) == before
    image(tmp_path / "2.png", 2)
    assert out_of_distribution.fingerprint(str(tmp_path), 1000) != before
    with pytest.raises(ConfigError, match=r"evaluation.out_of_distribution: .*missing does not exist"):
        out_of_distribution.fingerprint(str(tmp_path / "missing"), 1000)


def test_without_a_file_there_is_no_measurement(tmp_path: Path) -> None:
    assert out_of_distribution.read(str(tmp_path)) == {}
