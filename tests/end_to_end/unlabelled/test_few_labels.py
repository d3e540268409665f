"""Runs that learn from images without labels as well."""

import shutil
from pathlib import Path

import keras
import pytest
from PIL import Image
from projects import Project, ran
from sklearn.datasets import load_digits

from pipeline import cli

pytestmark = pytest.mark.end_to_end

# A pretrained network, so that heads are solved and no epochs are needed.
POOL = (
    "data.unlabelled=pool",
    "push.without_thresholds=true",
    "training.backbone=backbone.keras",
    "training.recipe=fast",
    "training.epochs=0",
)


def write_pool(project: Project, each: int) -> Path:
    """A backbone, and as many further images of each of the three digits, in a folder of their own."""
    pixels = keras.Input((None, None, 3))
    x = keras.layers.AveragePooling2D(2)(keras.layers.Rescaling(1 / 255)(pixels))
    edges = keras.layers.Conv2D(16, 3, padding="same", kernel_initializer=keras.initializers.Orthogonal(seed=1))(x)
    keras.Model(pixels, edges).save(str(project.folder / "backbone.keras"))
    digits, pool = load_digits(), project.folder / "pool"
    pool.mkdir()
    for digit in range(3):
        for i, pixels in enumerate(digits.images[digits.target == digit][30 : 30 + each]):
            Image.fromarray((pixels * 15).astype("uint8")).save(pool / f"{digit}-{i}.png")
    return pool


def a_test_image(project: Project) -> str:
    [first, *_] = project.records("test")
    return first.features.feature["image/path"].bytes_list.value[0].decode()


def test_a_run_learns_from_images_without_labels_only_if_that_helps(tiny: Project) -> None:
    before = tiny.latest_summary()
    pool = write_pool(tiny, 40)
    shown = a_test_image(tiny)
    shutil.copy(tiny.folder / "data" / shown, pool / "seen.png")
    (pool / "notes.txt").write_text("no image")
    settings = (*POOL, "training.synthetic={method: mixup, up_to: 30}")
    summary = tiny.run(*settings)
    # The labelled images are read, counted and judged as before.
    assert summary["data"]["counts"] == before["data"]["counts"]
    assert summary["data"]["fingerprint"] == before["data"]["fingerprint"]
    assert {"UnlabelledExampleGen", "Synthesis", "Trainer"} <= ran(summary)
    assert not {"ImageExampleGen", "StatisticsGen", "Transform"} & ran(summary)
    assert summary["data"]["pool"]["images"] == 120
    [left_out] = summary["data"]["pool"]["left_out"]
    assert left_out["path"] == "seen.png"
    assert shown in left_out["reason"]
    # 72 labelled images of train and 120 others start `auto`; nine eval images are too few to decide.
    [tried] = summary["unlabelled"]["tried"]
    assert (summary["unlabelled"]["images"], tried["method"]) == (120, "propagation")
    assert tried["images"] == before["data"]["counts"]["train"]
    assert tried["interval"][0] <= tried["difference"] <= tried["interval"][1]
    assert tried["used"] == (tried["interval"][1] < 0 and "+" in tried["reason"])
    assert any("120 images without labels, propagation: " in note for note in summary["notes"])
    page = (tiny.output / "latest" / "report.html").read_text()
    assert "120 images without labels, propagation" in page
    assert '<h2 id="methods-title">Methods</h2>' in page
    # Likewise, synthetic images fill each label up to 30, if there is nothing against them.
    made = summary["synthetic"]
    assert {name: one["train"] for name, one in made["labels"].items()} == {
        name: by_split["train"] for name, by_split in before["data"]["labels"].items()
    }
    assert all(one["images"] == 30 - one["train"] or one["reason"] for one in made["labels"].values())
    assert made["tried"]["images"] == before["data"]["counts"]["eval"]
    assert "synthetic images (mixup): " in page
    assert "Synthetic images above the training images" in page
    assert tiny.run(*settings)["status"] == "up_to_date"


def test_ways_to_learn_from_other_images_are_compared(tiny: Project, capfd: pytest.CaptureFixture[str]) -> None:
    """Each is used whether it helps or not; of what a head is solved from, no seed changes anything."""
    write_pool(tiny, 40)
    before, names = tiny.served(), ["labelled_only", "propagation", "synthetic"]
    settings = [("--set", one) for one in (*POOL, "training.synthetic={method: mixup, up_to: 30}")]
    command = ["compare", tiny.config, "--methods", ",".join(names), "--seeds", "2"]
    assert cli.main([*command, *(word for pair in settings for word in pair)]) == 0
    assert "minus labelled_only" in capfd.readouterr().out
    summary = tiny.latest_summary()
    assert {"UnlabelledExampleGen", "Synthesis", "Comparison"} <= ran(summary)
    methods = summary["comparison"]["methods"]
    assert [method["name"] for method in methods] == names
    losses = [method["figures"]["loss"]["values"] for method in methods]
    assert [len(set(values)) for values in losses] == [1, 1, 1]
    assert len({values[0] for values in losses}) == 3
    assert tiny.served() == before


def test_few_images_without_labels_are_not_used_unless_asked_for(tiny: Project) -> None:
    write_pool(tiny, 5)
    summary = tiny.run(*POOL)
    assert summary["unlabelled"] == {"images": 15, "tried": []}


def test_broken_files_are_refused_by_name_and_a_missing_folder_by_key(tiny: Project) -> None:
    pool = write_pool(tiny, 5)
    (pool / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    summary = tiny.run(*POOL)
    assert (summary["status"], summary["exit_code"]) == ("data_rejected", 3)
    assert "broken.png" in summary["error"]
    assert "share of quarantined files of data.unlabelled" in summary["error"]
