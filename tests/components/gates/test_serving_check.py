"""The serving check: an exported model that differs from the evaluated one, is slow, large or broken is refused."""

import io
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.data.features import IMAGE, MASK
from components.gates import requests, served_files, serving_check
from components.gates.serving_check import Sample
from components.gates.settings import Serving
from components.labels import kinds
from components.model import signatures as serving
from components.model.networks import network

SINGLE, _, MASKS = kinds.KINDS.values()

SIZE, LABELS = (8, 8), ["cat", "dog", "eel"]
FREE = Serving(max_latency_ms=None, max_megabytes=None)


def png(seed: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 11, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


def example(**values: bytes) -> bytes:
    names = {"image": IMAGE, "mask": MASK}
    feature = {names[k]: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for k, v in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


@pytest.fixture(scope="module")
def exported(undecided: Callable, tmp_path_factory: pytest.TempPathFactory) -> str:
    parts = network.build("small", weights=None, image_size=SIZE, classes=3, augment=False, seed=1, kind=SINGLE)
    folder = str(tmp_path_factory.mktemp("model"))
    serving.export(parts, LABELS, SIZE, SINGLE, undecided(parts), folder)
    return folder


@pytest.fixture(scope="module")
def samples(exported: str) -> list[Sample]:
    signature = tf.saved_model.load(exported).signatures["evaluate"]
    taken = []
    for seed in range(3):
        data = example(image=png(seed))
        answer = signature(examples=tf.constant([data]))
        predicted = {"probabilities": answer["probabilities"].numpy()[0].tolist()}
        taken.append(Sample(image=png(seed), example=data, predicted=predicted))
    return taken


def test_the_served_answers_equal_the_evaluated_ones_and_need_no_keras(
    exported: str, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keras.py").write_text("raise SystemExit('a server has no Keras')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = serving_check.check(exported, samples, SINGLE, FREE, str(tmp_path / "beside"))
    assert [(v.gate, v.passed) for v in result.verdicts] == [("serving", True)] * 6
    assert result.latency_ms is not None
    assert 0 < result.latency_ms.median <= result.latency_ms.p95
    assert result.images_per_second is not None
    assert result.images_per_second > 0
    size = sum(p.stat().st_size for p in Path(exported).rglob("*") if p.is_file())
    assert result.megabytes == pytest.approx(size / 1e6)


def test_a_process_that_was_begun_earlier_is_asked_and_ends(
    exported: str, samples: list[Sample], tmp_path: Path
) -> None:
    with serving_check.begun():
        (process,) = serving_check._waiting
        result = serving_check.check(exported, samples, SINGLE, FREE, str(tmp_path))
        assert process.returncode == 0  # it was asked, and no other was
    assert [v.passed for v in result.verdicts] == [True] * 6
    assert serving_check._waiting == []


def test_a_process_that_died_while_it_waited_says_nothing_about_the_model(
    exported: str, samples: list[Sample], tmp_path: Path
) -> None:
    with serving_check.begun():
        (process,) = serving_check._waiting
        process.kill()
        process.wait()
        result = serving_check.check(exported, samples, SINGLE, FREE, str(tmp_path))
    assert [v.passed for v in result.verdicts] == [True] * 6
    assert process.stdin is not None
    assert process.stderr is not None
    assert (process.stdin.closed, process.stderr.closed) == (True, True)


def test_where_the_system_starts_no_process_the_block_runs_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))  # no pipe can be opened
        with pytest.raises(OSError, match="Too many open files"):
            serving_check._start()
        with serving_check.begun():
            waiting = list(serving_check._waiting)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert waiting == []
    with pytest.raises(ZeroDivisionError), serving_check.begun():  # and a fault of the block stays what it is
        raise ZeroDivisionError


def test_a_process_that_nobody_asks_ends_with_the_block() -> None:
    with serving_check.begun():
        (process,) = serving_check._waiting
        assert process.poll() is None
    assert process.returncode == -signal.SIGKILL
    assert serving_check._waiting == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_process_that_waits_ends_when_the_one_that_began_it_is_killed() -> None:
    program = """
import os, signal
from components.gates import serving_check
with serving_check.begun():
    print(serving_check._waiting[0].pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL
    stat, deadline = Path(f"/proc/{int(killed.stdout)}/stat"), time.monotonic() + 120
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":  # ended, and nobody has asked
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_exceeded_limits_refuse_with_a_remedy(exported: str, samples: list[Sample], tmp_path: Path) -> None:
    tight = Serving(max_latency_ms=1e-6, max_megabytes=1e-6)
    verdicts = serving_check.check(exported, samples, SINGLE, tight, str(tmp_path)).verdicts
    assert [v.passed for v in verdicts] == [True] * 6 + [False, False]
    for verdict, metric in zip(
        verdicts[6:], ("latency of one image in milliseconds", "size in megabytes"), strict=True
    ):
        assert verdict.reason.startswith(f"{metric} is ")
        assert "Take a smaller training.backbone" in verdict.reason


def test_answers_other_than_the_evaluated_ones_refuse(exported: str, samples: list[Sample], tmp_path: Path) -> None:
    first = samples[0]
    other = {"probabilities": [p + 0.01 for p in first.predicted["probabilities"]]}
    changed = [Sample(image=first.image, example=first.example, predicted=other), *samples[1:]]
    same, *others = serving_check.check(exported, changed, SINGLE, FREE, str(tmp_path)).verdicts
    assert [same.passed, *(v.passed for v in others)] == [False, True, True, True, True, True]
    assert same.value == pytest.approx(0.01, rel=1e-3)
    assert same.reason.startswith("largest difference of served from evaluated answers is 0.01 (3 images), above")


class _Odd(tf.Module):
    """Answers to everything, an image or not."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serve(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": tf.fill([tf.shape(image_bytes)[0], 3], 0.25)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": tf.fill([tf.shape(examples)[0], 3], 0.25)}


@pytest.mark.parametrize("without", ["", "evaluate"])
def test_a_model_that_answers_to_garbage_or_lacks_a_signature_refuses(
    tmp_path: Path, samples: list[Sample], without: str
) -> None:
    odd = _Odd()
    signatures = {"serving_default": odd.serve, "examples": odd.examples, "evaluate": odd.examples}
    kept = {name: f for name, f in signatures.items() if name != without}
    tf.saved_model.save(odd, str(tmp_path / "model"), signatures=kept)
    agreed = [Sample(image=s.image, example=s.example, predicted={"probabilities": [0.25] * 3}) for s in samples]
    verdicts = serving_check.check(str(tmp_path / "model"), agreed, SINGLE, FREE, str(tmp_path)).verdicts
    if without:
        assert [v.reason for v in verdicts] == [
            "the exported model, loaded in a fresh process, cannot be served: it has no signature 'evaluate'"
        ]
    else:
        assert [v.passed for v in verdicts] == [True, False, True, True, False, True]
        assert verdicts[1].value == len(requests.BROKEN) + 3  # and two cut off, and one that claims a huge size
        assert "PNG cut off" in verdicts[1].reason
        # Without labels, logits, decisions, familiarity, abstain and error, of two signatures.
        assert verdicts[4].value == 2 * 6


def test_a_model_that_cannot_be_loaded_refuses_with_the_last_line_of_its_log(
    tmp_path: Path, samples: list[Sample]
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"no model")
    [verdict] = serving_check.check(str(tmp_path / "model"), samples, SINGLE, FREE, str(tmp_path)).verdicts
    assert not verdict.passed
    assert verdict.reason.startswith("the exported model, loaded in a fresh process, cannot be served: ")
    assert "Error" in verdict.reason


def test_a_process_that_is_killed_is_named() -> None:
    assert serving_check.last_words(-11, "") == "the process ended with SIGSEGV"
    assert serving_check.last_words(3, " \n") == "the process ended with exit code 3"


def test_masks_are_compared_by_their_share_of_pixels() -> None:
    """Two images of 2 x 2 pixels: a pixel of the first differs between signatures; one of the second has moved."""
    shown = np.array([[[0, 1], [1, 1]], [[0, 0], [1, 1]]])
    other = shown.copy()
    other[0, 0, 0] = 1
    confusion = np.array([[[1, 0], [0, 3]], [[2, 0], [0, 2]]], float)
    arrays: dict[str, Any] = {
        "serving_default/mask": shown,
        "examples/mask": shown,
        "evaluate/confusion": confusion,
    }
    rows = [{"confusion": [1, 0, 0, 3]}, {"confusion": [2, 0, 0, 2]}]
    assert serving_check.largest_difference(arrays, rows, MASKS) == 0
    assert serving_check.largest_difference(arrays | {"examples/mask": other}, rows, MASKS) == 1 / 4
    moved = [rows[0], {"confusion": [1, 1, 0, 2]}]
    assert serving_check.largest_difference(arrays, moved, MASKS) == 1 / 4


def test_a_nan_is_not_a_small_difference() -> None:
    nan = np.full((1, 2), np.nan)
    names = ("serving_default", "examples", "evaluate")
    arrays = {f"{name}/probabilities": nan for name in names}
    difference = serving_check.largest_difference(arrays, [{"probabilities": [0.5, 0.5]}], SINGLE)
    assert np.isnan(difference)


@pytest.mark.parametrize(
    "task", ["single_label", *(pytest.param(task, marks=pytest.mark.slow) for task in ("multi_label", "segmentation"))]
)
def test_files_as_clients_send_them_are_answered_as_by_predict_or_refused_one_by_one(
    undecided: Callable, tmp_path: Path, task: str
) -> None:
    kind = kinds.kind(task)
    parts = network.build("small", weights=None, image_size=SIZE, classes=3, augment=False, seed=1, kind=kind)
    serving.export(parts, LABELS, SIZE, kind, undecided(parts), str(tmp_path))
    files = requests.of(png(7))
    read = requests.read(files, None)
    assert {"CMYK JPEG", "TIFF", "PNG of 1 bit", "animated WebP"} <= set(read)  # predict answers them
    assert {"PNG cut off", "broken file 1"}.isdisjoint(read)

    signature = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    arrays = {}
    for batch, asked in {
        "mixed": [png(7), *files.values(), png(7)],
        "read": list(read.values()),
        "serving_default": [png(7)],
    }.items():
        answer = signature(image_bytes=tf.constant(asked))
        arrays |= {f"{batch}/{name}": value.numpy() for name, value in answer.items()}
    found = served_files.compare(arrays, list(files), list(read), kind)
    assert found == served_files.Compared([], [], [])
    refused = {name for name, error in zip(files, arrays["mixed/error"][1:], strict=False) if error}
    assert refused & set(read) == {"CMYK JPEG", "TIFF", "BMP with a palette", "animated WebP"}


def test_what_a_model_answers_wrong_is_named() -> None:
    """Three rows: an image, a file, the image. The file is answered otherwise, and the last image is, too."""
    zeros = {"logits": [0.0], "decisions": [False], "familiarity": 0.0, "abstain": True, "probabilities": [0.0]}
    fine = zeros | {"probabilities": [0.5], "abstain": False}

    def arrays(*rows: dict[str, Any], errors: list[bytes]) -> dict[str, Any]:
        found = {f"mixed/{name}": np.array([row[name] for row in rows]) for name in zeros}
        alone = {f"{batch}/{name}": np.array([fine[name]]) for batch in ("read", "serving_default") for name in zeros}
        return found | alone | {"mixed/error": np.array(errors)}

    def compared(*rows: dict[str, Any], errors: list[bytes], read: list[str]) -> served_files.Compared:
        return served_files.compare(arrays(*rows, errors=errors), ["a.png"], read, SINGLE)

    none, no = [b"", b"", b""], served_files.Compared([], [], [])
    other = fine | {"probabilities": [0.6]}
    assert compared(fine, fine, fine, errors=none, read=["a.png"]) == no
    assert compared(fine, other, fine, errors=none, read=["a.png"]).differ == ["a.png"]
    assert compared(fine, fine, other, errors=none, read=["a.png"]).disturbed == ["the last image"]
    assert compared(fine, fine, fine, errors=none, read=[]).answered == ["a.png"]
    refused = [b"", b"TIFF", b""]
    assert compared(fine, zeros, fine, errors=refused, read=["a.png"]) == no
    assert compared(fine, fine, fine, errors=refused, read=["a.png"]).differ == ["a.png"]
    assert compared(fine, zeros | {"abstain": False}, fine, errors=refused, read=[]).differ == ["a.png"]


def test_outputs_of_another_form_are_named() -> None:
    right = {name: list(form) for name, form in served_files.expected(MASKS).items()}
    rows = {
        "serving_default": dict.fromkeys(right, 0),
        "examples": dict.fromkeys(right, 0),
        "evaluate": {"confusion": 0},
    }
    forms = {"serving_default": right, "examples": right}
    assert served_files.wrong_forms(forms, rows, MASKS) == []
    flat = forms | {"serving_default": right | {"labels": ["string", 1]}}  # without the batch as first dimension
    assert served_files.wrong_forms(flat, rows, MASKS) == ["serving_default/labels"]
    assert served_files.wrong_forms(forms, rows | {"evaluate": {"confusion": 1}}, MASKS) == ["evaluate/confusion"]
    assert served_files.wrong_forms({"serving_default": right}, rows, MASKS)[:2] == [
        "examples/abstain",
        "examples/confidence",
    ]
