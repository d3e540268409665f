"""Pooled features of the pictures of copies, for the tools that judge features.

python -m benchmarks.planted.features backbone.keras FOLDER/*/planted.json

Writes `features.npy`, [images, features] in float32, beside each record. A picture that occurs in several copies is
computed once; FOLDER/features.npz remembers it by the digest of its file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FILE = "features.npy"
_BATCH = 32


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planted.features", description=__doc__.splitlines()[0])
    parser.add_argument("backbone", type=Path, help="a .keras file that maps RGB in [0, 255] to feature maps")
    parser.add_argument("records", nargs="+", type=Path, help="planted.json of each copy")
    parser.add_argument("--size", nargs=2, type=int, default=(224, 224), help="height and width (default: 224 224)")
    options = parser.parse_args(arguments)
    memory = options.records[0].parent.parent / "features.npz"
    known = _remembered(memory)
    for record in options.records:
        images = json.loads(record.read_text(encoding="utf-8"))["images"]
        files = [record.parent / "data" / image["path"] for image in images]
        keys = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        missing = {key: file for key, file in zip(keys, files, strict=True) if key not in known}
        found = pooled(options.backbone, list(missing.values()), (options.size[0], options.size[1]))
        known |= dict(zip(missing, found, strict=True))
        np.save(record.with_name(FILE), np.stack([known[key] for key in keys]))
        print(f"{record.parent.name}: {len(files)} images, {len(missing)} of them computed", flush=True)
    np.savez(memory, **known)


def pooled(backbone: Path, files: Sequence[Path], size: tuple[int, int]) -> NDArray[np.float32]:
    """Mean over the feature maps of each picture, [files, features], scaled to `size` (height, width)."""
    import keras

    network = keras.saving.load_model(backbone, compile=False)
    outputs = keras.layers.GlobalAveragePooling2D()(network.output)
    model = keras.Model(network.input, outputs)
    parts = [np.zeros((0, outputs.shape[-1]), np.float32)]
    parts += [np.asarray(model.predict_on_batch(batch), np.float32) for batch in _batches(files, size)]
    return np.concatenate(parts)


def _batches(files: Sequence[Path], size: tuple[int, int]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(files), _BATCH):
        pixels = []
        for file in files[start : start + _BATCH]:
            with Image.open(file) as image:
                resized = image.convert("RGB").resize((size[1], size[0]), Image.Resampling.BILINEAR)
                pixels.append(np.asarray(resized, np.float32))
        yield np.stack(pixels)


def _remembered(file: Path) -> dict[str, NDArray[np.float32]]:
    if not zipfile.is_zipfile(file):
        return {}
    with np.load(file) as stored:
        return dict(stored)


if __name__ == "__main__":
    main()
