"""What `init` counts: all images of a small data set, a sample of a large one; and what follows for the training."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import config as configuration
from pipeline.init import found, values
from pipeline.runs import data
from pipeline.terminal import Terminal

Png = Callable[..., bytes]
WriteFiles = Callable[[Path, Mapping[str, bytes]], Path]


def find(root: Path, task: str = "single_label", **sections: dict[str, object]) -> found.Found:
    raw = {
        "name": "pets",
        "task": task,
        "data": {"root": str(root)} | sections.get("data", {}),
        "push": {"destination": "x"},
    }
    raw |= {"labels": sections["labels"]} if "labels" in sections else {}
    settings = configuration.validated(raw | {"folder": str(root.parent)})
    return found.find(settings, *data.read_dataset(settings), Terminal())


def test_all_images_of_a_small_data_set_are_counted(tmp_path: Path, png: Png, write_files: WriteFiles) -> None:
    files = {f"cat/{i}.png": png(i, 40, 30) for i in range(30)} | {f"dog/{i}.png": png(99 + i) for i in range(10)}
    result = find(write_files(tmp_path / "pets", files | {"dog/x.png": b"broken"}))
    assert result.images is not None
    assert result.opened == 40
    assert [file.path for file in result.manifest.quarantined] == ["dog/x.png"]
    assert {label: sum(n.values()) for label, n in result.manifest.label_counts.items()} == {"cat": 30, "dog": 10}
    assert sorted(map(tuple, result.sizes.tolist())) == [(6, 4)] * 10 + [(40, 30)] * 30


def test_a_sample_of_a_large_data_set_is_opened_and_the_rest_is_listed(
    tmp_path: Path, png: Png, write_files: WriteFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found, "_MOST_BYTES", 400_000)  # 10,000 and some bytes for each image: 40 are too many
    files = {f"cat/{i}.png": png(i) for i in range(90)} | {f"dog/{i}.png": png(99 + i) for i in range(10)}
    root = write_files(tmp_path / "pets", files)
    result = find(root)
    assert result.images is None
    assert result.opened == 9  # a quarter of 400,000 by 10,000 and some bytes
    assert {label: sum(n.values()) for label, n in result.manifest.label_counts.items()} == {"cat": 90, "dog": 10}
    counts = result.manifest.counts
    assert sum(counts.values()) == 100
    assert 65 <= counts["train"] <= 95  # 80; four standard deviations are 16
    assert find(root).sizes.tolist() == result.sizes.tolist()


def test_the_pixels_of_a_sample_of_masks_stand_for_all(
    tmp_path: Path, png: Png, write_files: WriteFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found, "_MOST_BYTES", 400_000)
    mask = io.BytesIO()
    Image.fromarray(np.array([[0, 0, 0, 1]] * 4, np.uint8)).save(mask, "PNG")
    files = {f"images/{i}.png": png(i, 4, 4) for i in range(40)}
    files |= {f"masks/{i}.png": mask.getvalue() for i in range(40)}
    layout = {"layout": "masks", "images": "images", "masks": "masks"}
    result = find(
        write_files(tmp_path / "streets", files), "segmentation", data=layout, labels={"names": ["ground", "cat"]}
    )
    # Images and masks cost 20,000 bytes and some: of 100,000, four are opened, each of which stands for ten.
    assert result.opened == 4
    pixels = np.sum([[own for own, _, _ in cells] for cells in result.manifest.pixels.values()], axis=0)
    assert pixels.tolist() == [40 * 12, 40 * 4, 0]
    assert {label: sum(n.values()) for label, n in result.manifest.label_counts.items()} == {"ground": 40, "cat": 40}


@pytest.mark.parametrize(
    ("width", "height", "pretrained", "size"),
    [
        (400, 533, True, [256, 192]),  # 224 x 224 pixels: times 0.4851, 258.6 x 194.0
        # 128 x 128 pixels: times 0.2772, 147.8 x 110.9; of 128 or 160 and 96 or 128, 128 / 96 is 533 / 400 best
        (400, 533, False, [128, 96]),
        (32, 32, False, [32, 32]),
        (32, 32, True, [96, 96]),  # the smallest that a pretrained network is good for
        (50, 42, False, [40, 48]),
        (8, 8, False, [32, 32]),
    ],
)
def test_the_image_size_keeps_the_proportions_of_the_median_image(
    tmp_path: Path, png: Png, write_files: WriteFiles, width: int, height: int, pretrained: bool, size: list[int]
) -> None:
    shapes = [(width, height)] * 3 + [(5, 700)]
    files = {f"{label}/{i}.png": png(i, *shape) for label in "ab" for i, shape in enumerate(shapes)}
    result = find(write_files(tmp_path / "pets", files))
    assert values.image_size(result, pretrained=pretrained)[0] == size


def test_a_small_data_set_is_trained_in_small_batches(tmp_path: Path, png: Png, write_files: WriteFiles) -> None:
    files = {f"train/{label}/{i}.png": png(i, 6 + ord(label)) for label in "ab" for i in range(180)}
    files |= {f"{split}/{label}/{i}.png": png(i, 2) for split in ("val", "test") for label in "ab" for i in range(2)}
    # 360 images in train: 32 and 16 to a batch are 12 and 23 steps, 8 are 45.
    assert values.batch_size(find(write_files(tmp_path / "pets", files)))[0] == 8


def test_sampling_does_not_depend_on_the_order_of_the_listing() -> None:
    from components.data.dataset import Record

    records = [Record(f"{i}.png", ("cat",), None, 1, "") for i in range(1000)]
    one, other = found.sample(records, 10**9), found.sample(records[::-1], 10**9)
    assert one == other
    assert len(one) == 300
