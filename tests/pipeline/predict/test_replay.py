"""`imagegate replay` with two real exported models: where they differ, how familiar the images are, exit codes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from components.labels import kinds
from components.model import signatures
from components.model.networks import network
from components.push import versions
from components.push.manifest import PushedManifest
from pipeline import cli
from pipeline.predict import replay

LABELS = ["ant", "bee", "cat"]
SIZE = (8, 8)
KIND = kinds.kind("single_label")
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def exported(undecided: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two models with other weights, whose answers to random images differ for some."""
    folders = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        parts = network.build("small", weights=None, image_size=SIZE, classes=3, augment=False, seed=seed, kind=KIND)
        for weight in parts.head.trainable_weights:
            if weight.path.endswith("logits/kernel"):
                weight.assign(weight * 20)
        folder = str(tmp_path_factory.mktemp("model"))
        signatures.export(parts, LABELS, SIZE, KIND, undecided(parts), folder)
        folders.append(folder)
    return folders[0], folders[1]


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setattr("pipeline.terminal._PLAIN_SECONDS", 1e9)  # no line of progress where the machine is slow
    path = tmp_path / "imagegate.yaml"
    path.write_text("name: animals\ntask: single_label\ndata: {root: data}\npush: {destination: models}\n")
    (tmp_path / "recent").mkdir()
    for i in range(24):
        pixels = np.random.default_rng(i).integers(0, 256, (12, 12, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "recent" / f"{i:02}.png")
    (tmp_path / "recent" / "broken.png").write_bytes(b"no image")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["replay", str(path), str(tmp_path / "recent"), *arguments])
        return (code, *capsys.readouterr())

    return run


def push(tmp_path: Path, folder: str, *, beside: bool = False) -> versions.Served:
    told = PushedManifest(name="animals", task="single_label", labels=tuple(LABELS))
    served = versions.current(str(tmp_path / "models"))
    compared = served.version if served else ""
    return versions.push(folder, str(tmp_path / "models"), told, compared=compared, as_challenger=beside)


def labels(capsys: pytest.CaptureFixture[str], model: str, folder: Path) -> dict[str, str]:
    """What `imagegate predict` says of each image."""
    cli.main(["predict", model, str(folder), "--json"])
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {one["image"]: one["label"] for one in told if "error" not in one}


def test_the_images_that_are_answered_differently_are_those_of_predict(
    call: Call, exported: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served, beside = push(tmp_path, exported[0]), push(tmp_path, exported[1], beside=True)
    old, new = (labels(capsys, one.path, tmp_path / "recent") for one in (served, beside))
    expected = {image for image, label in old.items() if new[image] != label}
    assert 0 < len(expected) < 24
    code, out, err = call("--json")
    told = json.loads(out)
    assert (code, told["served"], told["challenger"]) == (0, served.version, beside.version)
    assert {one["image"] for one in told["answers"] if one["differ"]} == expected
    assert (told["images"], told["different"], told["share"]) == (24, len(expected), len(expected) / 24)
    assert [Path(one["image"]).name for one in told["errors"]] == ["broken.png"]
    assert "broken.png" in err
    page = (tmp_path / "replay.html").read_text()
    assert page.count("<figure>") == page.count("data:image/webp;base64,") == len(expected)
    # A limit between nothing and the share refuses, and the share itself does not.
    for limit, exit_code in ((len(expected) / 24 - 1e-6, 4), (len(expected) / 24, 0)):
        (tmp_path / "replay.html").unlink()
        code, out, _ = call("--set", f"evaluation.max_disagreement={limit}")
        assert code == exit_code
        assert f"{len(expected)} of 24 images" in out
        assert ("above evaluation.max_disagreement" in out) == (exit_code == 4)


def test_what_cannot_be_replayed_is_a_sentence(call: Call, exported: tuple[str, str], tmp_path: Path) -> None:
    push(tmp_path, exported[0])
    code, out, err = call()
    assert (code, out) == (1, "")
    assert "no challenger; push.as: challenger pushes one" in err
    code, _, err = call("-o", str(tmp_path / "imagegate.yaml"))
    assert code == 2
    assert "is there already" in err


def answer(label: str, familiarity: float, *, abstain: bool = False, **p: float) -> dict[str, Any]:
    return {"label": label, "probabilities": p, "familiarity": familiarity, "abstain": abstain}


def test_the_table_has_the_most_familiar_differences_first_and_the_medians() -> None:
    """Familiarities 0.2, 0.4, 0.9 of the served model: their median is 0.4."""
    pairs = [
        replay.Pair("a.png", answer("ant", 0.2, ant=0.7), answer("bee", 0.1, bee=0.6, abstain=True), share=1.0),
        replay.Pair("b.png", answer("ant", 0.4, ant=0.9), answer("ant", 0.5, ant=0.8), share=0.0),
        replay.Pair("c.png", answer("bee", 0.9, bee=0.8), answer("ant", 0.3, ant=0.5), share=1.0),
    ]
    heads, first, second, *rest = replay.Replay("9", "4", pairs, (), 0.5).lines()
    assert heads.split() == ["image", "version", "9", "challenger", "4"]
    assert first == "c.png  bee 0.80, familiarity 0.90  ant 0.50, familiarity 0.30"
    assert second == "a.png  ant 0.70, familiarity 0.20  bee 0.60, familiarity 0.10 (abstains)"
    assert rest == [
        "2 of 3 images (66.67 %) are answered differently",
        "version 9: median familiarity 0.40, abstains on 0",
        "challenger 4: median familiarity 0.30, abstains on 1",
        "refused: 0.6667 is above evaluation.max_disagreement 0.5",
    ]


def masked(name: str, share: float | None) -> replay.Pair:
    told = {"shares": {"ground": 1.0}, "familiarity": 0.5, "abstain": False}
    return replay.Pair(name, told, told, share)


def test_images_without_a_common_pixel_are_left_out_of_the_mean_and_counted() -> None:
    """Shares 0.5, none and 0.1: (0.5 + 0.1) / 2 = 0.3, and not 0.2."""
    pairs = [masked("a.png", 0.5), masked("b.png", None), masked("c.png", 0.1)]
    result = replay.Replay("9", "4", pairs, (), 0.25, {"ground": 0.75})
    assert (result.share, result.refused) == (pytest.approx(0.3), True)
    lines = list(result.lines())
    assert "30 % of the pixels are answered differently, on average over 2 images" in lines
    assert "1 image without a pixel that both models answer: not compared" in lines
    told = json.loads(result.to_json())
    assert (told["images"], told["compared"], told["different"]) == (3, 2, 2)
    assert [one["share"] for one in told["answers"]] == [0.5, None, 0.1]


def test_masks_without_any_common_label_are_told_as_masks() -> None:
    lines = list(replay.Replay("9", "4", [masked("a.png", 1.0)], (), None, {}).lines())
    assert not [
        line for line in lines if "images" in line and "are answered differently" in line and "pixel" not in line
    ]


def test_masks_are_compared_pixel_by_pixel(
    call: Call, undecided: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, capsys: Any
) -> None:
    """Both models' masks are written by `imagegate predict --masks`, and compared by NumPy here."""
    kind, names = kinds.kind("segmentation"), ("ground", "thing")
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        parts = network.build("small", weights=None, image_size=SIZE, classes=2, augment=False, seed=seed, kind=kind)
        for weight in parts.head.trainable_weights:
            weight.assign(weight * 5)
        folder = str(tmp_path_factory.mktemp("model"))
        signatures.export(parts, names, SIZE, kind, undecided(parts), folder)
        told = PushedManifest(name="animals", task="segmentation", labels=names)
        destination = str(tmp_path / "models")
        served = versions.current(destination)
        pushed = versions.push(
            folder, destination, told, compared=served.version if served else "", as_challenger=seed == 2
        )
        where = tmp_path / f"masks{seed}"
        cli.main(["predict", pushed.path, str(tmp_path / "recent"), "--masks", str(where)])
    capsys.readouterr()
    pairs = {
        path.name: tuple(np.asarray(Image.open(tmp_path / f"masks{seed}" / path.name)) for seed in (1, 2))
        for path in sorted((tmp_path / "masks1").iterdir())
    }
    shares = {name: float((old != new).mean()) for name, (old, new) in pairs.items()}
    assert len(set(shares.values())) > 2
    masks = ("--set", "task=segmentation", "--set", "data.layout=coco", "--set", "data.annotations=a.json")
    code, out, _ = call("--json", *masks)
    result = json.loads(out)
    assert code == 0
    assert {Path(one["image"]).name: one["share"] for one in result["answers"]} == pytest.approx(shares)
    assert result["share"] == pytest.approx(np.mean(list(shares.values())))
    both = np.array([[np.sum((old == i) & (new == i)) for i in (0, 1)] for old, new in pairs.values()]).sum(axis=0)
    either = np.array([[np.sum((old == i) | (new == i)) for i in (0, 1)] for old, new in pairs.values()]).sum(axis=0)
    assert list(result["iou"].values()) == pytest.approx((both / either).tolist())
    page = (tmp_path / "replay.html").read_text()
    assert page.count("data:image/webp;base64,") == sum(share > 0 for share in shares.values()) + 1  # and the legend
    (tmp_path / "replay.html").unlink()
    limit = f"evaluation.max_disagreement={result['share'] - 1e-6}"
    code, out, _ = call(*masks, "--set", limit)
    assert code == 4
    first = max(shares, key=shares.__getitem__)
    assert next(line for line in out.splitlines() if ".png" in line).split()[0].endswith(first)
    assert "of the pixels are answered differently, on average over 24 images" in out
    assert "IoU between the two models: ground 0." in out


def test_several_labels_are_compared_by_those_that_both_models_know() -> None:
    assert replay._common({"labels": ["ant", "new"]}, {"ant", "bee"}) == {"ant"}
