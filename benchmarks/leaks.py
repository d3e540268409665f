"""Measures how many changed copies of photos the data gate finds, and that it takes no two photos for copies.

python -m benchmarks.leaks --folder DIR --backbone FILE.keras [--photos N] [--count N]

DIR holds a folder of images for each label. Prints a table: for each change the share of `--count` photos whose changed
copy is among the candidates by its features, and the share that is then found; at last the pairs found among `--photos`
of the photos as they are.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL import Image, ImageOps

from components.base import progress
from components.gates.data_rules import copies
from components.model.features import backbone, neighbours, registration
from components.model.features.settings import FeatureSettings

_SEED = 1
Change = Callable[[Image.Image], Image.Image]


def _crop(share: float) -> Change:
    """Cuts this share off the width and the height, an equal part on each side."""

    def change(image: Image.Image) -> Image.Image:
        x, y = round(share * image.width / 2), round(share * image.height / 2)
        return image.crop((x, y, image.width - x, image.height - y))

    return change


def _turned(degrees: float) -> Change:
    return lambda image: image.rotate(degrees, resample=Image.Resampling.BICUBIC)


def _border(share: float) -> Change:
    return lambda image: ImageOps.expand(image, round(share * max(image.size)), fill="white")


def _screenshot(image: Image.Image) -> Image.Image:
    """The image on a page of 1.4 times its width and 1.8 times its height, below a bar and above a line of text."""
    page = Image.new("RGB", (round(1.4 * image.width), round(1.8 * image.height)), (245, 245, 245))
    page.paste((30, 60, 200), (0, 0, page.width, page.height // 10))
    page.paste(image, (round(0.2 * image.width), round(0.5 * image.height)))
    page.paste((120, 120, 120), (page.width // 7, round(0.88 * page.height), page.width // 2, round(0.9 * page.height)))
    return page


CHANGES: dict[str, Change] = {
    "cropped by 2 %": _crop(0.02),
    "cropped by 5 %": _crop(0.05),
    "cropped by 10 %": _crop(0.1),
    "cropped by 20 %": _crop(0.2),
    "cropped by 40 %": _crop(0.4),
    "mirrored": ImageOps.mirror,
    "mirrored and cropped by 10 %": lambda image: _crop(0.1)(ImageOps.mirror(image)),
    "turned by 3 degrees": _turned(3),
    "turned by 10 degrees": _turned(10),
    "with a border of 5 %": _border(0.05),
    "with a border of 20 %": _border(0.2),
    "in a screenshot": _screenshot,
}


def _files(folder: str) -> list[str]:
    labels = [label for label in sorted(os.listdir(folder)) if os.path.isdir(os.path.join(folder, label))]
    return [os.path.join(folder, label, name) for label in labels for name in sorted(os.listdir(f"{folder}/{label}"))]


def _changed(content: bytes, change: Change) -> bytes:
    with Image.open(io.BytesIO(content)) as image:
        stored = io.BytesIO()
        change(image.convert("RGB")).save(stored, "JPEG", quality=85)
    return stored.getvalue()


def _compact(settings: FeatureSettings, contents: Sequence[bytes]) -> np.ndarray:
    def encoded(indices: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        return ((i, contents[i]) for i in indices)

    digests = [hashlib.sha256(content).digest() for content in contents]
    return neighbours.compact(backbone.of_images(settings, digests, encoded))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--features", default="", help="folder that keeps features between runs")
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--count", type=int, default=50)
    given = parser.parse_args()
    progress.listen(lambda *_: None, print)
    random, files = np.random.default_rng(_SEED), _files(given.folder)
    chosen = sorted(random.permutation(len(files))[: given.photos].tolist())
    contents = []
    for i in chosen:
        with open(files[i], "rb") as f:
            contents.append(f.read())
    taken = sorted(random.permutation(len(chosen))[: given.count].tolist())
    changed = [_changed(contents[i], change) for change in CHANGES.values() for i in taken]
    settings = FeatureSettings(
        backbone=os.path.abspath(given.backbone),
        weights=None,
        image_size=(224, 224),
        mixed_precision="auto",
        folder=given.features,
    )
    rows = _compact(settings, [*contents, *changed])
    count = len(contents)
    for number, name in enumerate(CHANGES):
        near, found = 0, 0
        for place, original in enumerate(taken, count + number * len(taken)):
            # The copy is in a split of its own, and so has all photos for partners.
            both = np.concatenate([np.arange(count), [place]])
            group = (np.arange(count + 1) == count).astype(np.int64)
            pairs = neighbours.similar(rows[both], [group], copies.LEAST, copies.PARTNERS)
            if [original, count] in pairs.tolist():
                near += 1
                one, other = registration.opened(contents[original]), registration.opened(changed[place - count])
                found += registration.same(one, other) is not None
        print(f"| {name} | {near / len(taken):.0%} | {found / len(taken):.0%} |", flush=True)
    started = time.perf_counter()
    pairs = neighbours.similar(rows[:count], [np.arange(count)], copies.LEAST, copies.PARTNERS)
    false = [
        (files[chosen[one]], files[chosen[other]])
        for one, other in pairs.tolist()
        if contents[one] != contents[other]
        and registration.same(registration.opened(contents[one]), registration.opened(contents[other])) is not None
    ]
    seconds = time.perf_counter() - started
    print(f"{len(pairs)} pairs of {count} photos were compared in {seconds:.0f} s; found: {false or 'none'}")


if __name__ == "__main__":
    main()
