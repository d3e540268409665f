"""`imagegate predict`: a pushed model's own signature, on files as people have them."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components import images, model, push, serving
from components.errors import ImagegateError
from pipeline import cli, predict

ROOT = Path(__file__).parents[2]
LABELS = ["zebra", "ant", "[red] fox"]
SIZE = (10, 14)


@pytest.fixture(scope="module")
def parts() -> model.Parts:
    return build("single_label")


@pytest.fixture(scope="module")
def multi() -> model.Parts:
    return build("multi_label")


@pytest.fixture(scope="module")
def masks() -> model.Parts:
    return build("segmentation")


def build(task: str) -> model.Parts:
    keras.utils.set_random_seed(3)
    parts = model.build("small", weights=None, image_size=SIZE, classes=3, augment=False, seed=1, task=task)
    for weight in parts.head.trainable_weights:  # an untrained head would say the same of every pixel
        if weight.path.endswith("logits/kernel"):
            weight.assign(weight * 20)
    return parts


@pytest.fixture(scope="module")
def exported(parts: model.Parts, undecided, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("model"))
    serving.export(parts, LABELS, SIZE, "single_label", undecided(parts), folder)
    return folder


@pytest.fixture
def destination(exported: str, tmp_path: Path) -> str:
    return pushed(exported, tmp_path)


def pushed(exported: str, folder: Path, task: str = "single_label") -> str:
    push.push(exported, str(folder / "served"), {"labels": LABELS, "task": task})
    return str(folder / "served")


@pytest.fixture
def multi_destination(multi: model.Parts, undecided, tmp_path: Path) -> str:
    serving.export(multi, LABELS, SIZE, "multi_label", undecided(multi), str(tmp_path / "exported"))
    return pushed(str(tmp_path / "exported"), tmp_path, "multi_label")


@pytest.fixture
def mask_destination(masks: model.Parts, undecided, tmp_path: Path) -> str:
    serving.export(masks, LABELS, SIZE, "segmentation", undecided(masks), str(tmp_path / "exported"))
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


LIKENESS = {"familiarity", "abstain"}


def logits_by_hand(parts: model.Parts, data: bytes) -> np.ndarray:
    return np.asarray(parts.model(images.decode(tf.constant(data), SIZE)[tf.newaxis], training=False), np.float64)[0]


def by_hand(parts: model.Parts, data: bytes) -> list[float]:
    logits = logits_by_hand(parts, data)
    return (np.exp(logits) / np.exp(logits).sum()).tolist()


def test_each_image_gets_its_label_and_every_label_s_probability(destination: str, photo, parts: model.Parts) -> None:
    paths = [photo("a.png", 1), photo("b.jpg", 2, quality=90), photo("c.webp", 3, lossless=True)]
    found = list(predict.predict(destination, paths))
    assert [r["image"] for r in found] == paths
    for path, result in zip(paths, found, strict=True):
        expected = by_hand(parts, Path(path).read_bytes())
        assert list(result["probabilities"]) == LABELS
        assert list(result["probabilities"].values()) == pytest.approx(expected, rel=1e-4)
        assert result["label"] == LABELS[int(np.argmax(expected))]
        assert set(result) == {"image", "label", "probabilities", *LIKENESS}


def test_of_several_labels_those_apply_whose_probability_is_a_half_or_more(
    multi_destination: str, photo, multi: model.Parts
) -> None:
    paths = [photo(f"{i}.png", i) for i in range(8)]
    found = list(predict.predict(multi_destination, paths))
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


def test_of_a_mask_the_share_of_each_label_is_told(mask_destination: str, photo, masks: model.Parts) -> None:
    path = photo("a.png", 3)
    [result] = predict.predict(mask_destination, [path])
    answer = logits_by_hand(masks, Path(path).read_bytes()).argmax(axis=-1)
    assert answer.shape == SIZE
    # 10 x 14 pixels.
    expected = {label: np.count_nonzero(answer == i) / 140 for i, label in enumerate(LABELS)}
    assert {k: v for k, v in result.items() if k not in LIKENESS} == {"image": path, "shares": pytest.approx(expected)}
    assert list(result["shares"]) == LABELS
    assert len([share for share in expected.values() if share]) > 1


LINES = {
    "the three best": (
        {"label": "b", "probabilities": {"a": 0.1, "b": 0.5, "c": 0.15, "d": 0.25}},
        "b 0.500, d 0.250, c 0.150",
    ),
    "what applies": (
        {"labels": ["a", "c", "d", "e"], "probabilities": {"a": 0.5, "b": 0.4, "c": 0.99, "d": 0.7, "e": 0.6}},
        "c 0.990, d 0.700, e 0.600, a 0.500",
    ),
    "nothing applies": (
        {"labels": [], "probabilities": {"a": 0.1, "b": 0.3}},
        "none of the labels; the likeliest is b 0.300",
    ),
    "shares": (
        {"shares": {"sky": 0.25, "car": 0.0, "road": 0.6994, "sign": 0.0506}},
        "road 69.9%, sky 25.0%, sign 5.1%",
    ),
}


@pytest.mark.parametrize(("result", "said"), LINES.values(), ids=LINES)
def test_a_line_says_what_applies_the_likeliest_or_largest_first(result: dict, said: str) -> None:
    assert predict.line({"image": "x/1.png", "abstain": False, **result}) == f"x/1.png: {said}"
    unlike = " (abstains: unlike all that the model knows)"
    assert predict.line({"image": "x/1.png", "abstain": True, **result}) == f"x/1.png: {said}{unlike}"


@pytest.mark.parametrize("manifest", [{}, {"task": "detection"}, {"task": ["single_label"]}])
def test_a_model_of_another_task_is_an_answer(exported: str, photo, tmp_path: Path, manifest: dict) -> None:
    push.push(exported, str(tmp_path / "served"), manifest)
    with pytest.raises(ImagegateError, match=r"the model's task is .*; expected one of single_label, multi_label, seg"):
        next(predict.predict(str(tmp_path / "served"), [photo("a.png")]))


def test_a_photo_taken_sideways_means_what_it_means_in_training(destination: str, photo, parts: model.Parts) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    sideways = photo("sideways.png", exif=exif.tobytes())
    upright = io.BytesIO()
    Image.fromarray(np.rot90(np.asarray(Image.open(sideways)), -1)).save(upright, "PNG")
    [result] = predict.predict(destination, [sideways])
    assert list(result["probabilities"].values()) == pytest.approx(by_hand(parts, upright.getvalue()), rel=1e-4)


def test_what_is_no_image_says_why_and_the_others_are_answered(destination: str, photo, tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "cut.png").write_bytes(Path(photo("whole.png")).read_bytes()[:300])
    names = ["empty.png", "good.png", "text.jpg", "missing.png", "served", "cut.png", "good.png"]
    photo("good.png")
    found = list(predict.predict(destination, [str(tmp_path / name) for name in names]))
    assert [os.path.basename(r["image"]) for r in found] == names
    errors = {os.path.basename(r["image"]): r["error"] for r in found if "error" in r}
    assert errors["empty.png"] == "empty file"
    assert "no image of a known format" in errors["text.jpg"]
    assert errors["missing.png"] == "cannot be read: No such file or directory"
    assert errors["served"] == "cannot be read: Is a directory"
    assert set(errors) == {*names} - {"good.png"}
    assert found[1]["probabilities"] == pytest.approx(found[6]["probabilities"])


def test_more_images_than_a_batch_keep_their_order(destination: str, photo) -> None:
    paths = [photo(f"{i}.png", i) for i in range(40)]
    found = list(predict.predict(destination, paths))
    assert [r["image"] for r in found] == paths
    for i in (0, 31, 32, 39):
        [alone] = predict.predict(destination, [paths[i]])
        assert found[i]["probabilities"] == pytest.approx(alone["probabilities"], rel=1e-4)


def test_a_destination_means_its_newest_version_and_a_version_itself(
    destination: str, photo, undecided, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = model.build("small", weights=None, image_size=SIZE, classes=2, augment=False, seed=2)
    serving.export(other, ["yes", "no"], SIZE, "single_label", undecided(other), str(tmp_path / "other"))
    old = push.current(destination)
    push.push(str(tmp_path / "other"), destination, {"task": "single_label"})
    path = photo("a.png")
    monkeypatch.chdir(old.path)
    for named in (old.path, old.path + "/", "."):
        assert list(next(predict.predict(named, [path]))["probabilities"]) == LABELS
    assert list(next(predict.predict(destination, [path]))["probabilities"]) == ["yes", "no"]


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_a_url_is_as_good_as_a_folder(exported: str, destination: str, photo, tmp_path: Path, scheme: str) -> None:
    url = f"{scheme}://{tmp_path}/store"
    served = push.push(exported, url, {"labels": LABELS, "task": "single_label"})
    paths = [photo("a.png"), photo("b.png", 2)]
    expected = list(predict.predict(destination, paths))
    for named in (url, url + "/", served.path):
        assert list(predict.predict(named, paths)) == expected
    with pytest.raises(ImagegateError, match="no model here"):
        next(predict.predict(f"{url}/17", paths))
    with pytest.raises(ImagegateError, match="the URL holds a password") as error:
        next(predict.predict("s3://me:secret@bucket/models", paths))
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("where", ["", "missing", "a.png"])
def test_where_there_is_no_model_the_error_says_what_is_expected(tmp_path: Path, photo, where: str) -> None:
    path = photo("a.png")
    with pytest.raises(ImagegateError, match=r"no model here; expected a folder with imagegate\.json"):
        next(predict.predict(str(tmp_path / where), [path]))


def test_a_changed_model_is_not_loaded(destination: str, photo) -> None:
    served = push.current(destination)
    with open(os.path.join(served.path, "saved_model.pb"), "ab") as f:
        f.write(b"\0")
    with pytest.raises(ImagegateError, match=r"saved_model\.pb does not match .* is not loaded"):
        next(predict.predict(served.path, [photo("a.png")]))


@pytest.mark.parametrize("manifest", ["{", "[]", "null", '{"files": 3}', "\udcff"])
@pytest.mark.parametrize("below", [False, True], ids=["the destination", "the version"])
def test_a_broken_manifest_is_an_answer(destination: str, photo, manifest: str, below: bool) -> None:
    served = push.current(destination)
    Path(served.path, push.MANIFEST).write_bytes(manifest.encode("utf-8", "surrogateescape"))
    with pytest.raises(ImagegateError, match="no model here"):
        next(predict.predict(served.path if below else destination, [photo("a.png")]))


def test_the_command_prints_the_three_best(destination: str, photo, capsys: pytest.CaptureFixture[str]) -> None:
    path = photo("a.png")
    assert cli.main(["predict", destination, path]) == 0
    [result] = predict.predict(destination, [path])
    best = sorted(result["probabilities"].items(), key=lambda item: -item[1])
    output = capsys.readouterr()
    assert output.out == f"{path}: " + ", ".join(f"{label} {p:.3f}" for label, p in best) + "\n"
    assert output.err == ""


def test_the_command_prints_json_lines(destination: str, photo, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [photo("a.png"), photo("ü.png", 2), "missing.png"]
    assert cli.main(["predict", destination, *paths, "--json"]) == 1
    output = capsys.readouterr()
    lines = [json.loads(line) for line in output.out.splitlines()]
    assert lines[:2] == list(predict.predict(destination, paths[:2]))
    assert lines[2] == {"image": "missing.png", "error": "cannot be read: No such file or directory"}
    assert output.err == ""


def test_the_command_ends_in_1_where_an_image_is_bad(
    destination: str, photo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["predict", destination, "missing.png", photo("a.png")]) == 1
    output = capsys.readouterr()
    assert output.err == "missing.png: cannot be read: No such file or directory\n"
    assert len(output.out.splitlines()) == 1


def test_the_command_ends_in_1_with_a_sentence_where_there_is_no_model(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "predict", str(tmp_path / "nowhere"), "a.png"]
    run = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (1, "")
    [line] = run.stderr.splitlines()
    assert line.startswith(f"imagegate: {tmp_path / 'nowhere'}: no model here; expected")
