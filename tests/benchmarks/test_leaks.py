"""That the benchmark of changed copies runs, and finds copies that a few pixels were cut off."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).parent.parent.parent


def test_the_share_of_found_copies_is_measured_for_each_change(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for i in range(12):
        image = Image.new("RGB", (240, 180), tuple(random.integers(0, 256, 3).tolist()))
        draw = ImageDraw.Draw(image)
        for _ in range(100):
            x, y, w, h = random.integers(0, 240), random.integers(0, 180), *random.integers(5, 50, 2)
            draw.ellipse((x, y, x + w, y + h), fill=tuple(random.integers(0, 256, 3).tolist()))
        (tmp_path / "images" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / "images" / "ab"[i % 2] / f"{i}.png")
    inputs = keras.Input((None, None, 3))
    keras.utils.set_random_seed(3)
    network = keras.Model(inputs, keras.layers.Conv2D(32, 5, strides=4, activation="relu")(inputs / 255.0))
    network.save(tmp_path / "backbone.keras")
    command = [sys.executable, "-m", "benchmarks.leaks", "--folder", tmp_path / "images", "--count", "3"]
    command += ["--backbone", tmp_path / "backbone.keras"]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert len(rows) == 12
    assert rows[0][0] == "cropped by 2 %"
    shares = [(int(near.rstrip("%")), int(found.rstrip("%"))) for _, near, found in rows]
    assert all(found <= near for near, found in shares)
    assert shares[0][1] > 0  # random weights make a candidate of two of three
    assert "of 12 photos were compared" in lines[-1]
    assert lines[-1].endswith("found: none")
