"""init on folders of arrays: `check` accepts the configuration that it writes, and photos stay photos."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from components.data import storage
from pipeline import cli, config
from pipeline.config import Config
from pipeline.init import found
from pipeline.init.arrays import samples
from pipeline.init.recognise.sight import Sight

Init = Callable[..., tuple[Config, str]]
RANDOM = np.random.default_rng(5)
MONTHS = ("2015-07-11", "2015-08-20", "2015-09-29")
GDAL = '<GDALMetadata><Item name="DESCRIPTION" sample="{}" role="description">{}</Item>{}</GDALMetadata>'


@pytest.fixture
def init(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Init:
    """`init()` looks at the folder `data`, checks what it wrote, and returns the configuration and its text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", f"{tmp_path}-keras")  # nothing is at hand

    def run(*arguments: str, path: str = "data") -> tuple[Config, str]:
        assert cli.main(["init", path, "-o", "data.yaml", *arguments]) == 0, capsys.readouterr()
        assert cli.main(["check", "data.yaml"]) == 0, (capsys.readouterr(), Path("data.yaml").read_text())
        return config.load("data.yaml"), Path("data.yaml").read_text()

    return run


def values(*shape: int, dtype: Any = np.uint16) -> np.ndarray[Any, Any]:
    """Values other than 0 that no two arrays share."""
    return RANDOM.integers(1, 200, shape).astype(dtype)


def save(path: Path, array: np.ndarray[Any, Any], **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez_compressed(path, array)
    elif path.suffix == ".png":
        Image.fromarray(array).save(path)
    else:
        tifffile.imwrite(path, array, **options)


def masks(root: Path, count: int = 40, height: int = 12, width: int = 16) -> None:
    for i in range(count):
        ids = np.zeros((height, width), np.uint8)
        ids[: 3 + i % 5] = 1
        save(root / "masks" / f"tile_{i:02}.png", ids)


@pytest.mark.parametrize("ending", [".npy", ".npz", ".tif"])
def test_single_images_with_masks(init: Init, tmp_path: Path, ending: str) -> None:
    masks(tmp_path / "data")
    for i in range(40):
        save(tmp_path / "data" / "images" / f"tile_{i:02}{ending}", values(12, 16, 6), planarconfig="contig")
    settings, text = init()
    told = settings.data
    assert (settings.task, told.layout, told.images, told.masks) == ("segmentation", "masks", "images", "masks")
    assert (told.bands, told.frames, told.axes, told.invalid) == (6, None, "", None)
    assert settings.training.backbone == "small"
    assert "image_size" not in text
    assert "# note: " not in text


def test_sequences_with_masks_have_as_many_moments_as_the_longest(init: Init, tmp_path: Path) -> None:
    masks(tmp_path / "data")
    for i in range(40):
        save(tmp_path / "data" / "images" / f"tile_{i:02}.npy", values(3 + (i == 17), 12, 16, 5, dtype=np.float32))
    settings, text = init()
    assert (settings.data.bands, settings.data.frames, settings.data.axes) == (5, 4, "")
    assert settings.training.backbone == "temporal_attention"
    assert "frames: 4                     # moments at most, as the headers of all files say\n" in text


@pytest.mark.parametrize(
    ("shape", "axes", "bands", "frames"),
    [
        ((6, 12, 16), "BHW", 6, None),
        ((2, 6, 12, 16), "TBHW", 6, 2),
        ((12, 16, 1), "", 1, None),
        ((12, 16), "", 1, None),
    ],
)
def test_the_masks_tell_the_order_of_the_axes(
    init: Init, tmp_path: Path, shape: tuple[int, ...], axes: str, bands: int, frames: int | None
) -> None:
    masks(tmp_path / "data")
    for i in range(40):
        save(tmp_path / "data" / "images" / f"tile_{i:02}.npy", values(*shape))
    settings, text = init()
    assert (settings.data.axes, settings.data.bands, settings.data.frames) == (axes, bands, frames)
    assert ("# the masks have 12 x 16 pixels" in text) == bool(axes)


def test_the_masks_tell_that_pages_of_a_tiff_are_rows(init: Init, tmp_path: Path) -> None:
    """tifffile writes [12, 16, 6] as 12 pages of 16 x 6 pixels, if nobody says what the axes are."""
    masks(tmp_path / "data")
    for i in range(40):
        save(tmp_path / "data" / "images" / f"tile_{i:02}.tif", values(12, 16, 6, dtype=np.float32))
    settings, _ = init()
    assert (settings.data.axes, settings.data.bands, settings.data.frames) == ("HWB", 6, None)


def test_lengths_that_tell_nothing_leave_the_usual_order_and_a_note(init: Init, tmp_path: Path) -> None:
    masks(tmp_path / "data", height=12, width=12)
    for i in range(40):
        save(tmp_path / "data" / "images" / f"tile_{i:02}.npy", values(12, 12, 12))
    settings, text = init()
    assert (settings.data.axes, settings.data.bands) == ("", 12)
    assert "cannot be told from their lengths" in " ".join(text.split("\n# "))


@pytest.mark.parametrize("bands", [1, 2])
def test_folders_of_dated_files_with_a_mask_each_are_sequences(init: Init, tmp_path: Path, bands: int) -> None:
    masks(tmp_path / "data")
    for i in range(40):
        for month in MONTHS[: 2 + i % 2]:
            ending = ".tif" if bands == 2 else ".npy"
            file = tmp_path / "data" / "images" / f"tile_{i:02}" / f"{month}{ending}"
            save(file, values(12, 16, bands), planarconfig="contig")
    settings, text = init()
    told = settings.data
    assert (told.layout, told.images, told.masks, told.bands, told.frames) == ("masks", "images", "masks", bands, 3)
    assert "40 images in images have masks" in " ".join(text.split("\n# "))


def test_a_folder_for_each_label_holds_arrays(init: Init, tmp_path: Path) -> None:
    for i in range(60):
        save(tmp_path / "data" / ("wheat", "rape")[i % 2] / f"{i}.npy", values(4, 10, 10))
    settings, text = init()
    assert (settings.task, settings.data.layout) == ("single_label", "folders")
    assert (settings.data.bands, settings.data.axes) == (4, "BHW")
    assert "# height and width are then equal, 10 x 10 pixels" in text


def test_folders_of_dated_files_below_labels_are_sequences(init: Init, tmp_path: Path) -> None:
    for i in range(60):
        for month in MONTHS:
            file = tmp_path / "data" / ("wheat", "rape")[i % 2] / f"field_{i}" / f"{month}.tif"
            save(file, values(10, 11, 5), planarconfig="contig")
    settings, text = init()
    assert (settings.task, settings.data.layout, settings.data.frames) == ("single_label", "folders", 3)
    assert "60 images with 2 labels" in " ".join(text.split("\n# "))
    assert "remove data.frames" in " ".join(text.split("\n# "))


def test_dated_files_in_the_folders_of_labels_are_images(init: Init, tmp_path: Path) -> None:
    for i in range(60):
        save(
            tmp_path / "data" / ("wheat", "rape")[i % 2] / f"2015-{1 + i // 28:02}-{1 + i % 28:02}.npy",
            values(10, 11, 5),
        )
    settings, _ = init()
    assert (settings.data.layout, settings.data.bands, settings.data.frames) == ("folders", 5, None)


@pytest.mark.parametrize("named", ["folder", "table"])
def test_a_table_names_arrays(init: Init, tmp_path: Path, named: str) -> None:
    rows = ["file,crop"]
    for i in range(60):
        save(tmp_path / "data" / "arrays" / f"{i}.npy", values(10, 11, 5))
        rows.append(f"arrays/{i}.npy,{('wheat', 'rape')[i % 2]}")
    (tmp_path / "data" / "labels.csv").write_text("\n".join(rows) + "\n")
    settings, _ = init(path="data" if named == "folder" else "data/labels.csv")
    assert (settings.task, settings.data.layout, settings.data.manifest) == ("single_label", "manifest", "labels.csv")
    assert (settings.data.bands, settings.data.columns.labels) == (5, "crop")


def test_a_table_names_folders_of_dated_files(init: Init, tmp_path: Path) -> None:
    rows = ["file,crop"]
    for i in range(60):
        for month in MONTHS:
            save(tmp_path / "data" / "arrays" / f"field_{i}" / f"{month}.npy", values(10, 11, 5))
        rows.append(f"arrays/field_{i},{('wheat', 'rape')[i % 2]}")
    (tmp_path / "data" / "labels.csv").write_text("\n".join(rows) + "\n")
    settings, _ = init()
    assert (settings.data.layout, settings.data.bands, settings.data.frames) == ("manifest", 5, 3)


@pytest.mark.parametrize(("fill", "invalid"), [(0, "zero"), (np.nan, None), (7, None)])
def test_pixels_of_zeros_are_taken_for_no_information(
    init: Init, tmp_path: Path, fill: float, invalid: str | None
) -> None:
    for i in range(60):
        pixels = values(10, 11, 5, dtype=np.float32)
        pixels[0, : 1 + i % 5] = fill  # 1 to 5 of 110 pixels, 2.7 % in all
        pixels[1, 1] = 0  # 0.9 %
        save(tmp_path / "data" / ("wheat", "rape")[i % 2] / f"{i}.npy", pixels)
    settings, text = init()
    assert settings.data.invalid == invalid
    assert ("of the pixels of 8 files are 0 in all bands: taken for no information" in text) == (invalid is not None)


def test_mostly_cloudy_data_raise_the_limit_of_the_gate(init: Init, tmp_path: Path) -> None:
    for i in range(60):
        pixels = values(20, 21, 5)
        pixels[1 + i % 3 // 2 :] = 0  # 18 or 19 of 20 rows
        pixels[0, 16:] = 0
        save(tmp_path / "data" / ("wheat", "rape")[i % 2] / f"{i}.npy", pixels)
    settings, text = init()
    assert settings.data.invalid == "zero"
    assert 0.95 < (settings.balance.max_invalid or 0) < 0.98
    assert "without information is 0.9" in text


def test_arrays_in_an_archive(init: Init, tmp_path: Path) -> None:
    masks(tmp_path / "data")
    for i in range(40):
        for month in MONTHS:
            save(tmp_path / "data" / "images" / f"tile_{i:02}" / f"{month}.npy", values(12, 16, 5))
    shutil.make_archive("data", "zip", tmp_path / "data")
    settings, _ = init(path="data.zip")
    assert (settings.data.root, settings.data.bands, settings.data.frames) == ("data.zip", 5, 3)


def test_a_tiff_that_marks_pixels_itself_needs_no_rule(init: Init, tmp_path: Path) -> None:
    for i in range(60):
        pixels = values(10, 11, 5)
        pixels[:2] = 0
        file = tmp_path / "data" / ("wheat", "rape")[i % 2] / f"{i}.tif"
        save(file, pixels, planarconfig="contig", extratags=[(42113, "s", 0, "0", True)])
    assert init()[0].data.invalid is None


def test_a_tiff_names_its_bands(init: Init, tmp_path: Path) -> None:
    item = '<Item name="DESCRIPTION" sample="1" role="description">swir, 1600 nm</Item>'
    for i in range(60):
        file = tmp_path / "data" / ("wheat", "rape")[i % 2] / f"{i}.tif"
        tag = (42112, "s", 0, GDAL.format(0, "red", item), True)
        save(file, values(10, 11, 2), planarconfig="contig", extratags=[tag])
    settings, text = init()
    assert settings.data.bands == ("red", "swir, 1600 nm")
    assert "# as the TIFF files describe them" in text


def test_pages_are_bands_unless_files_have_more_or_fewer(init: Init, tmp_path: Path) -> None:
    for i in range(60):
        save(
            tmp_path / "data" / ("wheat", "rape")[i % 2] / f"{i}.tif",
            values(3 + i % 2, 10, 11),
            photometric="minisblack",
        )
    settings, _ = init()
    assert (settings.data.bands, settings.data.frames) == (1, 4)


def test_a_large_data_set_is_estimated_from_a_sample(
    init: Init, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found, "_MOST_BYTES", 100_000)
    monkeypatch.setattr(samples, "_MOST_OPENED", 20)
    masks(tmp_path / "data")
    for i in range(40):
        save(tmp_path / "data" / "images" / f"tile_{i:02}.npy", values(2, 12, 16, 5))
    settings, text = init()
    assert (settings.data.bands, settings.data.frames) == (5, 2)
    assert "# Estimates: all 40 images are listed" in text
    assert "as the headers of 20 of 40 files say; files with more go to quarantine" in " ".join(text.split("\n  # "))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_photos_as_tiff_stay_photos(init: Init, tmp_path: Path, mode: str) -> None:
    bands = len(mode)
    for i in range(60):
        pixels = values(32, 40, bands, dtype=np.uint8)
        image = Image.fromarray(pixels[..., 0] if bands == 1 else pixels)
        file = tmp_path / "data" / ("cat", "dog")[i % 2] / f"2015-07-11T{i:06}.tif"
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file)
    settings, text = init()
    assert (settings.data.layout, settings.data.bands) == ("folders", None)
    assert settings.training.image_size is not None
    assert "bands:" not in text


@pytest.mark.parametrize(
    ("bands", "dtype", "is_array"),
    [
        (1, np.uint16, False),
        (3, np.uint16, False),
        (3, np.float32, False),
        (2, np.uint8, False),
        (2, np.uint16, True),
        (5, np.uint8, True),
        (2, np.float32, True),
    ],
)
def test_only_tiff_files_that_no_photo_is_like_are_arrays(
    tmp_path: Path, bands: int, dtype: Any, is_array: bool
) -> None:
    pixels = values(32, 40, bands, dtype=dtype)[..., 0 if bands == 1 else slice(None)]
    photometric = "rgb" if bands == 3 else "minisblack"
    save(tmp_path / "cat" / "1.tif", pixels, photometric=photometric, planarconfig="contig" if bands > 1 else None)
    sight = Sight(str(tmp_path), {file.path: file for file in storage.files(str(tmp_path))})
    assert (samples.take(sight) is not None) == is_array


def test_arrays_beside_photos_are_something_else(init: Init, tmp_path: Path) -> None:
    for i in range(60):
        file = tmp_path / "data" / ("cat", "dog")[i % 2] / f"{i}.png"
        save(file, values(32, 40, 3, dtype=np.uint8))
        save(file.with_suffix(".npy"), values(7, 7, 64, dtype=np.float32))
    settings, text = init()
    assert settings.data.bands is None
    assert "arrays are read with data.bands" in " ".join(text.split("\n# "))


def test_files_that_are_no_images_fit_no_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of features are no images, and nothing in a file is executed."""
    for i in range(6):
        save(tmp_path / "data" / ("cat", "dog")[i % 2] / f"{i}.npy", values(64))
    broken = io.BytesIO()
    np.save(broken, np.array([print], dtype=object), allow_pickle=True)
    (tmp_path / "data" / "cat" / "x.npy").write_bytes(broken.getvalue())
    assert cli.main(["init", str(tmp_path / "data")]) == 2
    assert "no layout fits. It holds 7 files: 7 .npy" in capsys.readouterr().err
