"""`imagegate predict`: a pushed model's own signature, on files as people have them."""

import io
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import keras
import numpy as np
import pytest
import signing_keys
import tensorflow as tf
from PIL import Image

from components.base import progress
from components.base.artifact_files import PUSHED_MANIFEST
from components.base.errors import ConfigError, ImagegateError
from components.data import images
from components.labels import kinds
from components.model import signatures
from components.model.networks import network
from components.push import versions
from components.push.manifest import PushedManifest
from components.push.settings import Push, Sign
from components.push.signing import trust
from pipeline import cli
from pipeline.predict import inputs, predict

ROOT = Path(__file__).parents[3]
LABELS = ["zebra", "ant", "[red] fox"]
SIZE = (10, 14)


@pytest.fixture(scope="module")
def parts() -> network.Parts:
    return build("single_label")


@pytest.fixture(scope="module")
def multi() -> network.Parts:
    return build("multi_label")


@pytest.fixture(scope="module")
def masks() -> network.Parts:
    return build("segmentation")


def build(task: str) -> network.Parts:
    keras.utils.set_random_seed(3)
    parts = network.build(
        "small", weights=None, image_size=SIZE, classes=3, augment=False, seed=1, kind=kinds.kind(task)
    )
    for weight in parts.head.trainable_weights:  # an untrained head would say the same of every pixel
        if weight.path.endswith("logits/kernel"):
            weight.assign(weight * 20)
    return parts


@pytest.fixture(scope="module")
def exported(parts: network.Parts, undecided, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("model"))
    signatures.export(parts, LABELS, SIZE, kinds.kind("single_label"), undecided(parts), folder)
    return folder


@pytest.fixture
def destination(exported: str, tmp_path: Path) -> str:
    return pushed(exported, tmp_path)


def pushed(exported: str, folder: Path, task: str = "single_label") -> str:
    versions.push(exported, str(folder / "served"), PushedManifest(labels=LABELS, task=task))
    return str(folder / "served")


@pytest.fixture
def multi_destination(multi: network.Parts, undecided, tmp_path: Path) -> str:
    signatures.export(multi, LABELS, SIZE, kinds.kind("multi_label"), undecided(multi), str(tmp_path / "exported"))
    return pushed(str(tmp_path / "exported"), tmp_path, "multi_label")


@pytest.fixture
def mask_destination(masks: network.Parts, undecided, tmp_path: Path) -> str:
    signatures.export(masks, LABELS, SIZE, kinds.kind("segmentation"), undecided(masks), str(tmp_path / "exported"))
    return pushed(str(tmp_path / "exported"), tmp_path, "segmentation")


@pytest.fixture
def photo(tmp_path: Path):
    """Writes an image of random pixels and returns its path."""

    def write(name: str, seed: int = 0, **told: object) -> str:
        pixels = np.random.default_rng(seed).integers(0, 256, (20, 28, 3), np.uint8)
        path = tmp_path / name
        Image.fromarray(pixels).save(path, **told)
        return str(path)

    return write


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line of progress where the machine is slow: these tests look at everything else."""
    monkeypatch.setattr("pipeline.terminal._PLAIN_SECONDS", 1e9)


LIKENESS = {"familiarity", "abstain"}


def answers(served: str, arguments: Sequence[str], overlay: str | None = None) -> list[dict[str, Any]]:
    """What the command has to tell of `arguments`."""
    found = predict.find(served)
    images_, _ = inputs.expand(arguments, [overlay] if overlay else [])
    overlays = predict.overlays_for(found, overlay, images_) if overlay is not None else None
    return list(itertools.chain.from_iterable(predict.predict(found, images_, overlays)))


def test_with_a_key_only_what_it_signed_is_asked(
    exported: str, photo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private = signing_keys.write(tmp_path, "key")
    signs = trust.writer(Push(destination="x", sign=Sign(key=str(private))))
    told = PushedManifest(labels=LABELS, task="single_label")
    signed = versions.push(exported, str(tmp_path / "served"), told, trust=signs)
    versions.push(exported, str(tmp_path / "served"), told)
    image, key = photo("a.png"), str(private.with_suffix(".pub"))
    assert cli.main(["predict", signed.path, image, "--json"]) == 0
    expected = capsys.readouterr().out
    assert cli.main(["predict", signed.path, image, "--json", "--key", key]) == 0
    assert capsys.readouterr().out == expected
    assert cli.main(["predict", str(tmp_path / "served"), image, "--key", key]) == 1
    out, err = capsys.readouterr()
    assert (out, "model.sig is missing, and only signed versions are trusted" in err) == ("", True)


def logits_by_hand(parts: network.Parts, data: bytes) -> np.ndarray:
    return np.asarray(parts.model(images.decode(tf.constant(data), SIZE)[tf.newaxis], training=False), np.float64)[0]


def by_hand(parts: network.Parts, data: bytes) -> list[float]:
    logits = logits_by_hand(parts, data)
    return (np.exp(logits) / np.exp(logits).sum()).tolist()


def test_each_image_gets_its_label_and_every_label_s_probability(destination: str, photo, parts: network.Parts) -> None:
    paths = [photo("a.png", 1), photo("b.jpg", 2, quality=90), photo("c.webp", 3, lossless=True)]
    found = answers(destination, paths)
    assert [r["image"] for r in found] == paths
    for path, result in zip(paths, found, strict=True):
        expected = by_hand(parts, Path(path).read_bytes())
        assert list(result["probabilities"]) == LABELS
        assert list(result["probabilities"].values()) == pytest.approx(expected, rel=1e-4)
        assert result["label"] == LABELS[int(np.argmax(expected))]
        assert set(result) == {"image", "label", "probabilities", *LIKENESS}


def test_labels_apply_whose_probability_is_a_half_or_more(multi_destination: str, photo, multi: network.Parts) -> None:
    paths = [photo(f"{i}.png", i) for i in range(8)]
    found = answers(multi_destination, paths)
    chosen = []
    for path, result in zip(paths, found, strict=True):
        expected = 1 / (1 + np.exp(-logits_by_hand(multi, Path(path).read_bytes())))
        assert set(result) == {"image", "labels", "probabilities", *LIKENESS}
        assert result["image"] == path
        assert list(result["probabilities"]) == LABELS
        assert list(result["probabilities"].values()) == pytest.approx(expected, rel=1e-4)
        assert result["labels"] == [label for label, p in zip(LABELS, expected, strict=True) if p >= 0.5]
        chosen.append(len(result["labels"]))
    assert 0 < sum(chosen) < 3 * len(paths)  # or this test says nothing


def test_a_mask_is_answered_with_the_share_of_each_label(mask_destination: str, photo, masks: network.Parts) -> None:
    path = photo("a.png", 3)
    [result] = answers(mask_destination, [path])
    answer = logits_by_hand(masks, Path(path).read_bytes()).argmax(axis=-1)
    assert answer.shape == SIZE
    # 10 x 14 pixels.
    expected = {label: np.count_nonzero(answer == i) / 140 for i, label in enumerate(LABELS)}
    assert {k: v for k, v in result.items() if k not in LIKENESS} == {"image": path, "shares": pytest.approx(expected)}
    assert list(result["shares"]) == LABELS
    assert len([share for share in expected.values() if share]) > 1


def test_masks_of_photos_have_the_photos_size(
    mask_destination: str, exported: str, photo, masks: network.Parts, tmp_path: Path
) -> None:
    """The network sees 10 x 14 pixels of a photo of 20 x 28, so each answer is a square of four."""
    path, found = photo("a.png", 3), predict.find(mask_destination)
    images_, _ = inputs.expand([path])
    [[result]] = predict.predict(found, images_, masks=predict.masks_for(found, str(tmp_path / "out"), images_))
    answer = logits_by_hand(masks, Path(path).read_bytes()).argmax(axis=-1)
    assert result["mask"] == str(tmp_path / "out" / "a.png")
    np.testing.assert_array_equal(np.asarray(Image.open(result["mask"])), answer.repeat(2, axis=0).repeat(2, axis=1))
    with pytest.raises(ConfigError, match="--masks: the model's task is single_label; expected segmentation"):
        predict.masks_for(predict.find(pushed(exported, tmp_path / "other")), str(tmp_path / "out"), images_)


@pytest.mark.parametrize("manifest", [PushedManifest(), PushedManifest(task="detection")])
def test_a_model_of_an_unknown_task_is_refused_with_a_sentence(
    exported: str, photo, tmp_path: Path, manifest: PushedManifest
) -> None:
    versions.push(exported, str(tmp_path / "served"), manifest)
    with pytest.raises(ImagegateError, match=r"the model's task is .*; expected one of single_label, multi_label, seg"):
        answers(str(tmp_path / "served"), [photo("a.png")])


def test_a_photo_taken_sideways_is_turned_as_in_training(destination: str, photo, parts: network.Parts) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    sideways = photo("sideways.png", exif=exif.tobytes())
    upright = io.BytesIO()
    Image.fromarray(np.rot90(np.asarray(Image.open(sideways)), -1)).save(upright, "PNG")
    [result] = answers(destination, [sideways])
    assert list(result["probabilities"].values()) == pytest.approx(by_hand(parts, upright.getvalue()), rel=1e-4)


def test_twelve_bits_in_sixteen_are_read_as_in_training(parts: network.Parts, undecided, tmp_path: Path) -> None:
    exported, told = str(tmp_path / "exported"), PushedManifest(labels=LABELS, task="single_label", bits=12)
    signatures.export(parts, LABELS, SIZE, kinds.kind("single_label"), undecided(parts), exported, bits=12)
    served = versions.push(exported, str(tmp_path / "served"), told)
    grey = np.random.default_rng(0).integers(0, 256, (20, 28), np.uint16)
    eight, sixteen = io.BytesIO(), io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(eight, "PNG")
    Image.fromarray(grey * 16).save(sixteen, "PNG")  # v >> 4 is `grey` again
    Image.fromarray(grey * 16).save(tmp_path / "x.tif")
    (tmp_path / "x.png").write_bytes(sixteen.getvalue())

    expected = pytest.approx(by_hand(parts, eight.getvalue()), rel=1e-4)
    for result in answers(str(tmp_path / "served"), [str(tmp_path / "x.png"), str(tmp_path / "x.tif")]):
        assert list(result["probabilities"].values()) == expected
    # A server that gets the file as it is, unchecked, answers the same.
    signature = tf.saved_model.load(served.path).signatures["serving_default"]
    assert signature(image_bytes=tf.constant([sixteen.getvalue()]))["probabilities"].numpy()[0].tolist() == expected


@pytest.mark.parametrize(("name", "kind"), [("x.avif", "AVIF"), ("x.jp2", "JPEG2000")])
def test_newer_formats_are_answered(destination: str, photo, name: str, kind: str) -> None:
    path = photo(name, format=kind)
    [result] = answers(destination, [str(Path(path).parent / "*.*")])
    assert (result["image"], sum(result["probabilities"].values())) == (path, pytest.approx(1))


def test_an_unreadable_image_has_a_reason_and_the_others_are_answered(destination: str, photo, tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "cut.png").write_bytes(Path(photo("whole.png")).read_bytes()[:300])
    names = ["empty.png", "good.png", "text.jpg", "missing.png", "served", "cut.png", "good.png"]
    photo("good.png")
    found = answers(destination, [str(tmp_path / name) for name in names])
    assert [os.path.basename(r["image"]) for r in found] == names
    errors = {os.path.basename(r["image"]): r["error"] for r in found if "error" in r}
    assert errors["empty.png"] == "empty file"
    assert "no image of a known format" in errors["text.jpg"]
    assert errors["missing.png"] == "cannot be read: No such file or directory"
    assert errors["served"] == "no image file is below this folder"
    assert set(errors) == {*names} - {"good.png"}
    assert found[1]["probabilities"] == pytest.approx(found[6]["probabilities"])


def test_more_images_than_a_batch_keep_their_order(destination: str, photo) -> None:
    paths = [photo(f"{i}.png", i) for i in range(40)]
    found = answers(destination, paths)
    assert [r["image"] for r in found] == paths
    for i in (0, 31, 32, 39):
        [alone] = answers(destination, [paths[i]])
        assert found[i]["probabilities"] == pytest.approx(alone["probabilities"], rel=1e-4)


def test_a_destination_means_its_newest_version_and_a_version_itself(
    destination: str, photo, undecided, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = network.build(
        "small", weights=None, image_size=SIZE, classes=2, augment=False, seed=2, kind=kinds.kind("single_label")
    )
    signatures.export(other, ["yes", "no"], SIZE, kinds.kind("single_label"), undecided(other), str(tmp_path / "other"))
    old = versions.current(destination)
    versions.push(str(tmp_path / "other"), destination, PushedManifest(task="single_label"))
    path = photo("a.png")
    monkeypatch.chdir(old.path)
    for named in (old.path, old.path + "/", "."):
        assert list(answers(named, [path])[0]["probabilities"]) == LABELS
    assert list(answers(destination, [path])[0]["probabilities"]) == ["yes", "no"]


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_a_url_is_as_good_as_a_folder(exported: str, destination: str, photo, tmp_path: Path, scheme: str) -> None:
    url = f"{scheme}://{tmp_path}/store"
    served = versions.push(exported, url, PushedManifest(labels=LABELS, task="single_label"))
    paths = [photo("a.png"), photo("b.png", 2)]
    expected = answers(destination, paths)
    for named in (url, url + "/", served.path):
        assert answers(named, paths) == expected
    with pytest.raises(ImagegateError, match="no model here"):
        answers(f"{url}/17", paths)
    with pytest.raises(ImagegateError, match="the URL holds a password") as error:
        answers("s3://me:secret@bucket/models", paths)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("where", ["", "missing", "a.png"])
def test_where_there_is_no_model_the_error_says_what_is_expected(tmp_path: Path, photo, where: str) -> None:
    path = photo("a.png")
    with pytest.raises(ImagegateError, match=r"no model here; expected a folder with imagegate\.json"):
        answers(str(tmp_path / where), [path])


def test_a_changed_model_is_not_loaded(destination: str, photo) -> None:
    served = versions.current(destination)
    with open(os.path.join(served.path, "saved_model.pb"), "ab") as f:
        f.write(b"\0")
    with pytest.raises(ImagegateError, match=r"saved_model\.pb does not match .* is not loaded"):
        answers(served.path, [photo("a.png")])


@pytest.mark.parametrize("manifest", ["{", "[]", "null", '{"files": 3}', "\udcff"])
@pytest.mark.parametrize("below", [False, True], ids=["the destination", "the version"])
def test_a_broken_manifest_is_refused_with_a_sentence(destination: str, photo, manifest: str, below: bool) -> None:
    served = versions.current(destination)
    Path(served.path, PUSHED_MANIFEST).write_bytes(manifest.encode("utf-8", "surrogateescape"))
    with pytest.raises(ImagegateError, match=rf"{served.path}/imagegate\.json is damaged"):
        answers(served.path if below else destination, [photo("a.png")])


def test_only_the_next_two_batches_are_read_ahead(destination: str, photo) -> None:
    paths = [photo(f"{i:02}.png", i) for i in range(70)]
    found, _ = inputs.expand(paths)
    batches = predict.predict(predict.find(destination), found)
    first = next(batches)
    for path in paths[64:]:  # the third batch
        os.unlink(path)
    sizes, errors = [len(first)], 0
    for batch in batches:
        sizes.append(len(batch))
        errors += sum("error" in result for result in batch)
    assert (sizes, errors) == ([32, 32, 6], 6)


def test_progress_is_reported(destination: str, photo) -> None:
    told: list[tuple[str, float, float | None]] = []
    progress.listen(lambda task, done, total, _: told.append((task, done, total)))
    try:
        answers(destination, [photo(f"{i}.png") for i in range(40)])
    finally:
        progress.listen(None)
    assert told == [("loading the model", 0, None), *[("images", done, 40) for done in (0, 32, 40)]]


def test_images_behind_urls_are_answered_like_files(destination: str, photo) -> None:
    paths = [photo("a.png", 1), photo("b.png", 2)]
    memory = fsspec.filesystem("memory")
    for path in paths:
        memory.pipe(f"/photos/{os.path.basename(path)}", Path(path).read_bytes())
    memory.pipe("/photos/notes.txt", b"none")
    expected = [r["probabilities"] for r in answers(destination, paths)]
    for named in (["memory://photos"], ["memory://photos/a.png", "memory://photos/b.png"]):
        found = answers(destination, named)
        assert [r["image"] for r in found] == ["memory://photos/a.png", "memory://photos/b.png"]
        assert [r["probabilities"] for r in found] == [pytest.approx(p, rel=1e-4) for p in expected]
    [missing, unknown] = answers(destination, ["memory://photos/c.png", "nothing://a/b.png"])
    assert missing["error"].startswith("cannot be read: ")
    assert "Protocol not known: nothing" in unknown["error"]


def resized(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """The nearest pixel: the one that the centre of the larger mask's pixel lies in."""
    rows = ((np.arange(height) + 0.5) * mask.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * mask.shape[1] / width).astype(int)
    return mask[rows][:, columns]


def test_an_overlay_is_the_upright_image_with_the_mask_over_it(
    mask_destination: str, photo, masks: network.Parts, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    path = photo("sideways.png", 5, exif=exif.tobytes())
    upright = np.rot90(np.asarray(Image.open(path)), -1)
    encoded = io.BytesIO()
    Image.fromarray(upright).save(encoded, "PNG")
    mask = logits_by_hand(masks, encoded.getvalue()).argmax(axis=-1)
    assert len(np.unique(mask)) > 1  # or this test says little

    [result] = answers(mask_destination, [path], str(tmp_path / "out" / "masks"))
    assert result["overlay"] == str(tmp_path / "out" / "masks" / "sideways.png")
    assert sorted(os.listdir(tmp_path / "out" / "masks")) == ["legend.png", "sideways.png"]
    legend = np.asarray(Image.open(tmp_path / "out" / "masks" / "legend.png"))
    colours = np.stack([legend[28 * i + 14, 14] for i in range(3)])  # the middle of each label's square
    assert len(np.unique(colours, axis=0)) == 3
    expected = 0.45 * upright + 0.55 * colours[resized(mask, 28, 20)]
    drawn = np.asarray(Image.open(result["overlay"]))
    assert drawn.shape == (28, 20, 3)
    assert np.abs(drawn - expected).max() < 1  # rounded down


def test_overlays_lie_as_their_images_do(mask_destination: str, photo, tmp_path: Path) -> None:
    for folder in ("photos/cat", "photos/dog", "more"):
        (tmp_path / folder).mkdir(parents=True)
    for number, name in enumerate(
        ("photos/cat/1.png", "photos/dog/1.png", "photos/1.jpg", "photos/1.png", "more/1.png")
    ):
        photo(name, number)
    out = tmp_path / "out"
    found = answers(mask_destination, [str(tmp_path / "photos"), str(tmp_path / "more" / "1.png")], str(out))
    assert {os.path.relpath(r["image"], tmp_path): os.path.relpath(r["overlay"], out) for r in found} == {
        "photos/1.jpg": "1.png",
        "photos/1.png": "1-2.png",
        "photos/cat/1.png": "cat/1.png",
        "photos/dog/1.png": "dog/1.png",
        "more/1.png": "1-3.png",
    }
    for result in found:  # each is its own: the images differ by more than 0.45 x any noise
        mixed = np.asarray(Image.open(result["overlay"]), float)
        own = np.asarray(Image.open(result["image"]), float)
        assert np.corrcoef(mixed.ravel(), own.ravel())[0, 1] > 0.5


def test_an_overlay_never_takes_an_image_s_place(mask_destination: str, photo, tmp_path: Path) -> None:
    path = photo("a.png")
    before = Path(path).read_bytes()
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    for out in (tmp_path, tmp_path / "link"):
        with pytest.raises(ConfigError, match=r"a\.png is one of the images and would be lost"):
            answers(mask_destination, [path], str(out))
    with pytest.raises(ConfigError, match=r"legend\.png is one of the images"):
        answers(mask_destination, [photo("legend.png")], str(tmp_path))
    assert Path(path).read_bytes() == before


def test_overlays_among_the_images_are_not_read_as_images(mask_destination: str, photo, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    path = photo("photos/a.png")
    for _ in range(2):
        for named in (str(tmp_path / "photos"), str(tmp_path / "photos" / "**")):
            found = answers(mask_destination, [named], str(tmp_path / "photos" / "out"))
            assert [r["image"] for r in found] == [path]
            assert found[0]["overlay"] == str(tmp_path / "photos" / "out" / "a.png")


def test_nothing_is_written_through_a_link_in_the_folder(mask_destination: str, photo, tmp_path: Path) -> None:
    for folder in ("photos/cat", "out", "outside"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "outside" / "kept").write_text("kept")
    (tmp_path / "out" / "cat").symlink_to(tmp_path / "outside", target_is_directory=True)
    (tmp_path / "out" / "a.png").symlink_to(tmp_path / "outside" / "kept")
    photo("photos/a.png")
    photo("photos/cat/b.png", 2)
    a, b = answers(mask_destination, [str(tmp_path / "photos")], str(tmp_path / "out"))
    assert set(b) == {"image", "error"}
    assert b["error"] == f"{tmp_path}/out/cat/b.png cannot be written: a link leads out of the folder"
    assert Image.open(a["overlay"]).size == (28, 20)
    assert not os.path.islink(a["overlay"])
    assert os.listdir(tmp_path / "outside") == ["kept"]
    assert (tmp_path / "outside" / "kept").read_text() == "kept"


@pytest.mark.parametrize("where", ["a.png/out", "memory://out"])
def test_a_folder_that_cannot_be_made_is_refused_with_a_sentence(
    mask_destination: str, photo, tmp_path: Path, where: str
) -> None:
    path = photo("a.png")
    folder = where if "://" in where else str(tmp_path / where)
    with pytest.raises(
        ConfigError, match=r"^--overlay: .*(cannot be created: Not a directory|a URL; expected a folder)"
    ):
        answers(mask_destination, [path], folder)


@pytest.mark.parametrize("served", ["destination", "multi_destination"])
def test_without_masks_there_is_nothing_to_draw(
    served: str, photo, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", request.getfixturevalue(served), photo("a.png"), "--overlay", str(tmp_path / "out")]
    assert cli.main(arguments) == 2
    output = capsys.readouterr()
    task = "single_label" if served == "destination" else "multi_label"
    assert (
        output.err == f"imagegate: --overlay: the model's task is {task}; expected segmentation, which predicts masks\n"
    )
    assert output.out == ""
    assert not (tmp_path / "out").exists()


def test_the_command_prints_a_table_of_the_three_best(
    destination: str, photo, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [photo("a.png"), photo("longer.png", 2)]
    assert cli.main(["predict", destination, *paths]) == 0
    output = capsys.readouterr()
    room = len(paths[1])
    expected = [f"{'image':<{room}}  {'label':<9}  probability  next likely"]  # "[red] fox" has 9 letters
    for path, result in zip(paths, answers(destination, paths), strict=True):
        (label, p), *others = sorted(result["probabilities"].items(), key=lambda item: -item[1])
        likely = ", ".join(f"{name} {q:.3f}" for name, q in others)
        expected.append(f"{path:<{room}}  {label:<9}  {p:.3f}        {likely}")
    assert output.out.splitlines() == expected
    assert output.err == ""


def test_the_command_names_the_overlays(
    mask_destination: str, photo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo("a\n\x1b[2J.png")
    assert cli.main(["predict", mask_destination, str(tmp_path / "*.png"), "--overlay", str(tmp_path / "out")]) == 0
    output = capsys.readouterr()
    header, row = output.out.splitlines()
    assert header.split() == ["image", "overlay", "share", "of", "each", "label"]
    assert row.startswith(rf"{tmp_path}/a\n\x1b[2J.png  {tmp_path}/out/a\n\x1b[2J.png  ")
    assert "\x1b" not in output.out + output.err
    assert sorted(os.listdir(tmp_path / "out")) == ["a\n\x1b[2J.png", "legend.png"]


def test_arguments_that_match_no_image_end_in_a_sentence_and_exit_code_1(
    destination: str, photo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "read\nme.txt").touch()
    photo("photos/a.png")
    pattern, empty, photos = (str(tmp_path / name) for name in ("*.jpg", "empty", "photos"))
    assert cli.main(["predict", destination, pattern, empty, photos]) == 1
    output = capsys.readouterr()
    assert output.err.splitlines() == [
        rf"{photos}: skipped 1 file without an image extension: read\nme.txt",
        f"{pattern}: no file matches this pattern",
        f"{empty}: no image file is below this folder",
    ]
    assert [line.split()[0] for line in output.out.splitlines()] == ["image", f"{photos}/a.png"]


def test_rows_come_while_later_images_are_not_there_yet(destination: str, photo, tmp_path: Path) -> None:
    paths = [photo(f"{i:02}.png", i) for i in range(64)]
    last = str(tmp_path / "last.png")
    os.mkfifo(last)
    command = [sys.executable, "-m", "pipeline", "predict", destination, *paths, last]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        stop = threading.Timer(120, process.kill)  # a command that waits for the last image waits for ever
        stop.start()
        early = [process.stdout.readline().split()[0] for _ in range(33)]
        Path(last).write_bytes(Path(paths[0]).read_bytes())
        late = [line.split()[0] for line in process.stdout]
        stop.cancel()
    assert early == ["image", *paths[:32]]
    assert late == [*paths[32:], last]
    assert process.returncode == 0


def test_a_reader_that_closes_the_pipe_causes_no_stack_trace(destination: str, photo) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "pipeline", "predict", destination, photo("a.png")]
    run = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    told = [line for line in run.stderr.splitlines() if not line.startswith((b"loading the model", b"images "))]
    assert (run.returncode, told) == (1, [])


def test_the_command_prints_json_lines(destination: str, photo, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [photo("a.png"), photo("ü.png", 2), "missing.png"]
    assert cli.main(["predict", destination, *paths, "--json"]) == 1
    output = capsys.readouterr()
    lines = [json.loads(line) for line in output.out.splitlines()]
    assert lines[:2] == answers(destination, paths[:2])
    assert lines[2] == {"image": "missing.png", "error": "cannot be read: No such file or directory"}
    assert output.err == ""


def test_the_command_ends_in_1_where_an_image_is_bad(
    destination: str, photo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["predict", destination, "missing.png", photo("a.png")]) == 1
    output = capsys.readouterr()
    assert output.err == "missing.png: cannot be read: No such file or directory\n"
    assert len(output.out.splitlines()) == 2


def test_the_command_ends_in_1_with_a_sentence_where_there_is_no_model(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "predict", str(tmp_path / "nowhere"), "a.png"]
    run = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (1, "")
    [line] = run.stderr.splitlines()
    assert line.startswith(f"imagegate: {tmp_path / 'nowhere'}: no model here; expected")
