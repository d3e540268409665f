"""`imagegate watch`: a pushed model, asked about folders of images like and unlike those that it learnt from."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.data import images, properties
from components.data.manifest import KnownData, PropertyHistograms
from components.labels import kinds
from components.model import decisions, familiarity, signatures
from components.model.networks import network
from components.push import versions
from components.push.manifest import PushedManifest
from pipeline import cli

SIZE, LABELS = (8, 8), ["cat", "dog"]
BRIGHT, DARK = 200, 40


def photos(folder: Path, level: int, count: int, seed: int) -> Path:
    """Noise around a level of grey, in PNG files of 16 x 16 pixels."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for i in range(count):
        pixels = random.normal(level + random.normal(0, 8), 25, (16, 16, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network that has learnt nothing, whose reference and manifest are of 60 bright images."""
    root, kind = tmp_path_factory.mktemp("watched"), kinds.kind("single_label")
    parts = network.build("small", weights=None, image_size=SIZE, classes=2, augment=False, seed=1, kind=kind)
    files = sorted(photos(root / "learnt", BRIGHT, 60, 1).iterdir())
    checked = [images.check(path.read_bytes(), 10**6) for path in files]
    pixels = np.stack([np.asarray(Image.open(path).resize(SIZE)) for path in files])
    features = network.pooled(parts.extractor(pixels, training=False)).numpy()
    reference, ones = familiarity.fit(features[:30], features[30:]), np.ones(2)
    chosen = decisions.Decisions(
        scale=ones, bias=ones * 0, thresholds=ones / 2, reference=reference, abstain_below=0.05
    )
    signatures.export(parts, LABELS, SIZE, kind, chosen, str(root / "model"))
    bins = np.array([properties.bins(image.properties) for image in checked]).T
    counted = {
        name: {str(i): int(n) for i, n in zip(*np.unique(row, return_counts=True), strict=True)}
        for name, row in zip(properties.NAMES, bins, strict=True)
    }
    learnt = KnownData(
        counts={"train": 30, "eval": 30, "test": 0},
        label_counts={},
        unknown={},
        pixels={},
        label_sets=(),
        properties=PropertyHistograms(all=counted),
    )
    told = PushedManifest(name="grey", task="single_label", labels=tuple(LABELS), data=learnt)
    versions.push(str(root / "model"), str(root / "served"), told)
    return str(root / "served")


def test_images_like_those_of_the_model_pass(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = photos(tmp_path / "new", BRIGHT, 40, 2)
    (folder / "broken.jpg").write_bytes(b"no image")
    assert cli.main(["watch", model, str(folder)]) == 0
    out = capsys.readouterr().out.splitlines()
    version = Path(versions.current(model).path).name
    assert out[0].startswith("left out, cannot be used: ")
    assert out[0].endswith(": broken.jpg")
    assert out[1].startswith("Kolmogorov-Smirnov distance of ")
    assert out[-1] == f"nothing shows that the images are unlike those that version {version} learnt from"


def test_too_few_images_to_tell_are_said_to_be_so(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If 3 images were entirely unlike the 60, p would be 2 / (63 over 3) = 5e-5 for one test, and 5e-4 for ten."""
    for count, enough in ((2, False), (3, True)):
        folder = photos(tmp_path / str(count), BRIGHT, count, 2)
        assert cli.main(["watch", model, str(folder), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["enough"] is enough
    assert cli.main(["watch", model, str(tmp_path / "2")]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("2 images are too few to tell whether they are like ")


def test_darker_images_are_refused_with_exit_code_3(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photos(tmp_path / "new", DARK, 40, 3)
    assert cli.main(["watch", model, str(folder), "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["passed"], told["images"], told["unusable"]) == (False, 40, [])
    failed = [verdict["reason"] for verdict in told["verdicts"] if not verdict["passed"]]
    assert any(reason.startswith("Kolmogorov-Smirnov distance of the brightness in the incoming") for reason in failed)
    assert all(verdict["gate"] == "data_gate" for verdict in told["verdicts"])
    assert cli.main(["watch", model, str(folder)]) == 3
    assert capsys.readouterr().out.splitlines()[-1].startswith("the images are unlike those that version ")


@pytest.mark.parametrize("make", [lambda _: None, Path.mkdir], ids=["no folder", "an empty one"])
def test_a_folder_without_images_is_a_mistake_of_the_command(
    model: str, tmp_path: Path, make: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "new")
    assert cli.main(["watch", model, str(tmp_path / "new")]) == 2
    assert "FOLDER: " in capsys.readouterr().err
