"""Arrays from their files to a pushed model and back: single images with labels, and sequences with masks."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tifffile
import yaml
from PIL import Image
from projects import Project
from simulator import Backend, in_this_process

from components.data import features
from components.data.arrays import stored
from components.ingest import manifest
from components.push import versions as push
from pipeline import cli, config
from pipeline.kubeflow import compiler

pytestmark = pytest.mark.end_to_end
SIDE, MOMENTS = 12, 6
LIMITS = {"min_examples": 1, "max_split_drift": None, "near_duplicate_distance": None}


def write(folder: Path, name: str, **sections: object) -> Project:
    told = {"name": name, "balance": LIMITS, "push": {"destination": f"models/{name}"}, **sections}
    (folder / "imagegate.yaml").write_text(yaml.safe_dump(told))
    return Project(folder, name)


def photo_of_four_bands(random: np.random.Generator, label: int) -> np.ndarray:
    """The labels differ in the fourth band alone; the first rows are missing, which is 0 in all bands."""
    pixels = random.integers(1, 5000, (SIDE, SIDE, 4)).astype(np.uint16)
    pixels[..., 3] += 20_000 * label
    pixels[:2] = 0
    return pixels


def test_single_images_with_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(1)
    for label in (0, 1):
        for i in range(30):
            path = tmp_path / "data" / ["bare", "green"][label] / f"{i}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = photo_of_four_bands(random, label)
            tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="contig", compression="lzw")
    (tmp_path / "data" / "bare" / "short.tif").write_bytes(b"II*\0")
    tifffile.imwrite(tmp_path / "data" / "bare" / "three.tif", np.ones((SIDE, SIDE, 3), np.uint16))
    project = write(
        tmp_path,
        "leaves",
        task="single_label",
        data={
            "root": "data",
            "bands": ["blue", "green", "red", "nir"],
            "invalid": "zero",
            "max_bad_fraction": 0.1,
            "display": ["nir", "red", "green"],
        },
        training={"epochs": 12, "batch_size": 8},
        evaluation={"thresholds": [{"metric": "accuracy", "min": 0.9}]},
    )
    found = project.run()
    assert (found["status"], found["error"]) == ("pushed", None)
    reasons = {entry["path"]: entry["reason"] for entry in found["data"]["quarantined"]}
    assert reasons["bare/three.tif"] == "3 bands; expected 4: blue, green, red, nir"
    assert set(reasons) == {"bare/short.tif", "bare/three.tif"}
    # The records hold the very values of the files, and the statistics are NumPy's over the valid pixels of train.
    records = project.records("train")
    arrays = []
    for record in records:
        feature = record.features.feature
        array = stored.restored(feature[features.IMAGE].bytes_list.value[0])
        path = feature[features.PATH].bytes_list.value[0].decode()
        np.testing.assert_array_equal(array.pixels[0], tifffile.imread(tmp_path / "data" / path))
        assert array.valid.sum() == (SIDE - 2) * SIDE
        arrays.append(array)
    told = manifest.read(str(project.artifact("ImageExampleGen", "examples"))).arrays
    assert told is not None
    values = np.concatenate([array.pixels[array.valid] for array in arrays]).astype(np.float64)
    np.testing.assert_allclose(told.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(told.deviation, values.std(axis=0), rtol=1e-12)
    assert told.valid["train"] == pytest.approx((SIDE - 2) / SIDE)
    # The served model takes arrays; what stands in invalid pixels makes no difference.
    served = tf.saved_model.load(found["pushed"]["path"]).signatures["serving_default"]
    pixels = np.stack([photo_of_four_bands(random, label) for label in (0, 1, 1)]).astype(np.float32)
    valid = np.ones(pixels.shape[:-1], bool)
    valid[:, 2:4] = False
    other = np.where(valid[..., None], pixels, np.float32("nan"))
    one, two = (served(pixels=tf.constant(p), valid=tf.constant(valid)) for p in (pixels, other))
    assert one["probabilities"].numpy().argmax(axis=1).tolist() == [0, 1, 1]
    for output in ("probabilities", "logits", "familiarity"):
        np.testing.assert_array_equal(one[output].numpy(), two[output].numpy())
    nothing = served(pixels=tf.constant(pixels), valid=tf.zeros_like(valid))
    assert set(nothing["error"].numpy()) == {b"no pixel is valid"}
    # Predict reads what the data may be, and names what it cannot read.
    path, lost = tmp_path / "data" / "green" / "0.tif", tmp_path / "data" / "bare" / "three.tif"
    capsys.readouterr()
    assert cli.main(["predict", str(project.destination), str(path), str(lost), "--json"]) == 1
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert answers[0]["label"] == "green"
    assert answers[1]["error"] == "3 bands; expected 4: blue, green, red, nir"


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two crops that are green for two of six moments each, the one early and the other late; half is under clouds."""
    folder, random = tmp_path_factory.mktemp("sequences"), np.random.default_rng(2)
    for name in ("images", "masks"):
        (folder / "data" / name).mkdir(parents=True)
    for i in range(40):
        ids = np.zeros((SIDE, SIDE), np.uint8)
        ids[:, random.integers(3, 9) :] = 1
        ids = ids if i % 2 else 1 - ids
        moments = MOMENTS - i % 2  # some lack the last one
        green = np.zeros((moments, SIDE, SIDE))
        green[1:3, ids == 0] = green[3:5, ids == 1] = 1
        pixels = np.stack([green, 1 - green, random.random(green.shape)], axis=-1)
        pixels += random.normal(0, 0.1, pixels.shape)
        pixels[random.random(green.shape) < 0.3] = np.nan
        pixels[:, 0, 0] = np.nan  # never seen, so its label cannot be learnt
        np.save(folder / "data" / "images" / f"{i:02}.npy", pixels.astype(np.float32))
        Image.fromarray(ids).save(folder / "data" / "masks" / f"{i:02}.png")
    return write(
        folder,
        "crops",
        task="segmentation",
        data={
            "root": "data",
            "layout": "masks",
            "images": "images",
            "masks": "masks",
            "bands": 3,
            "frames": MOMENTS,
        },
        labels={"names": ["early", "late"]},
        training={"epochs": 4, "learning_rate": 0.01},
        evaluation={"thresholds": [{"metric": "mean_iou", "min": 0.8}]},
    )


@pytest.mark.parametrize("backbone", ["temporal_attention", pytest.param("convlstm", marks=pytest.mark.slow)])
def test_sequences_with_masks(
    sequences: Project, backbone: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = sequences.run(f"training.backbone={backbone}")
    assert (found["status"], found["error"]) == ("pushed", None)
    assert "labels of pixels that are never valid; these pixels are ignored" in " ".join(found["data"]["notes"])
    never = [np.isnan(np.load(path)).any(axis=-1).all(axis=0) for path in (sequences.folder / "data").rglob("*.npy")]
    assert found["data"]["unknown"]["pixels"] == pytest.approx(np.mean(never))
    assert {verdict["rule"] for verdict in found["gates"] if "bands" in verdict["rule"]}
    path = str(sequences.folder / "data" / "images" / "01.npy")
    capsys.readouterr()
    drawn = str(tmp_path / "drawn")
    assert cli.main(["predict", str(sequences.destination), path, "--json", "--overlay", drawn]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["shares"].keys() == {"early", "late"}
    assert Image.open(answer["overlay"]).size == (SIDE, SIDE)
    folder = str(sequences.folder / "data" / "images")
    assert cli.main(["predict", str(sequences.destination), folder, "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 40
    page = (sequences.output / "latest" / "report.html").read_text()
    assert "Image, truth and prediction" in page
    assert "Means over time, by label" in page
    assert "Distribution of the values, by label" in page
    assert page.count('<div class="strip"') > 3
    assert "Image properties" not in page
    # A shorter sequence is answered; a pixel that is never seen is flagged.
    served = tf.saved_model.load(found["pushed"]["path"]).signatures["serving_default"]
    pixels = np.random.default_rng(0).normal(size=(1, 3, SIDE, SIDE, 3)).astype(np.float32)
    valid = np.ones(pixels.shape[:-1], bool)
    valid[:, :, 5, 6] = False
    days = tf.constant([[0.0, 1.0, 2.0]])
    answered = served(pixels=tf.constant(pixels), valid=tf.constant(valid), days=days)
    assert np.argwhere(~answered["observed"].numpy()[0]).tolist() == [[5, 6]]
    record = sequences.records("eval")[0]
    assert record.features.feature[features.FORMAT].bytes_list.value[0] == b"float32"
    again = sequences.run(f"training.backbone={backbone}")
    assert again["status"] == "up_to_date"


@pytest.mark.slow
def test_a_simulated_cluster_pushes_as_a_run_here_does(sequences: Project, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    overrides = (
        f"kubeflow.image=registry.example/imagegate@sha256:{'0' * 64}",
        f"push.destination={tmp_path / 'models'}",
    )
    compiler.write(config.load(sequences.config, overrides), str(path))
    tasks = Backend(tmp_path / "backend", in_this_process).run(path)
    assert {task.status for task in tasks.values()} == {"succeeded"}, {n: t.log[-2000:] for n, t in tasks.items()}
    served = push.current(str(tmp_path / "models"))
    assert served is not None
    assert served.manifest.bands == config.load(sequences.config).data.arrays
