"""A model as files of other runtimes: what each answers, what it says of itself, and which of them the gate refuses."""

import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tensorflow as tf

from components.data.features import IGNORED_ID
from components.exports import conduct, convert, formats, judged, runtimes
from components.exports import onnx as onnx_writer
from components.exports.metadata import Calibration, Metadata
from components.exports.settings import ExportSettings
from components.gates.compared import Compared, Regressions
from components.gates.found import Beside, WeakGroup, WeakGroups
from components.gates.settings import Threshold
from components.labels import kinds
from components.model import signatures
from components.model.networks import network

SINGLE, MULTI, MASKS = kinds.KINDS.values()
LABELS, SIZE = ["red", "green", "blue"], (8, 8)
TOLD = Metadata(
    name='"tiny" <1>',
    task="single_label",
    labels=tuple(LABELS),
    thresholds=(0.5, 0.25, 0.5),
    calibration=(Calibration(scale=2, bias=0),) * 3,
    image_size=SIZE,
    model="ab",
)


def photos(count: int) -> np.ndarray:
    """uint8 [count, 8, 8, 3]: noise, brighter in the channel i % 3 of image i."""
    pixels = np.random.default_rng(3).integers(0, 120, (count, *SIZE, 3))
    for i in range(count):
        pixels[i, ..., i % 3] += 100
    return pixels.astype(np.uint8)


@pytest.fixture(scope="module", params=[SINGLE, MASKS], ids=lambda kind: kind.task)
def source(request: Any, undecided: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory) -> convert.Source:
    kind = request.param
    parts = network.build("small", weights=None, image_size=SIZE, classes=3, augment=False, seed=1, kind=kind)
    folder = str(tmp_path_factory.mktemp("model"))
    signatures.export(parts, LABELS, SIZE, kind, undecided(parts), folder)
    return convert.Source(folder, *convert.load(folder), TOLD.model_copy(update={"task": kind.task}))


def of(answer: Callable[[tf.Tensor], tf.Tensor], folder: Path | None = None) -> convert.Source:
    """A model of three labels that answers pixels float32 [batch, 8, 8, 3] by a function; saved, if in a folder."""
    spec = tf.TensorSpec([None, *SIZE, 3], tf.uint8, name="pixels")
    module = tf.Module()
    module.pixels = tf.function(
        lambda pixels: {"probabilities": answer(tf.cast(pixels, tf.float32))}, input_signature=[spec], autograph=False
    )
    if folder is None:
        return convert.Source("", module, module.pixels.get_concrete_function(), TOLD)
    tf.saved_model.save(module, str(folder / "model"))
    return convert.Source(str(folder / "model"), *convert.load(str(folder / "model")), TOLD)


def brightest(pixels: tf.Tensor) -> tf.Tensor:
    """Probabilities of the brightest channel."""
    return tf.nn.softmax(tf.reduce_mean(pixels, axis=[1, 2]) / 20)


@pytest.mark.parametrize("name", list(formats.FORMATS))
def test_each_runtime_answers_in_a_process_of_its_own_as_the_savedmodel_does(
    source: convert.Source, name: str, tmp_path: Path
) -> None:
    images = photos(40)
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "train.npy", images[:34])
    path = convert.convert(source, formats.FORMATS[name], str(tmp_path / "train.npy"), str(tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".npy") == sorted(
        file.removeprefix("exports/") for file in formats.FORMATS[name].files
    )
    answers, latency = conduct.answered(path, str(tmp_path / "images.npy"), len(images))
    assert 0 < latency.median <= latency.p95
    expected = {key: tensor.numpy() for key, tensor in source.function(tf.constant(images)).items()}
    assert answers.keys() == expected.keys()
    # 8-bit integers: the softmax has steps of 1/256, and the layers before it have rounded, too.
    tolerance = 0.05 if name.endswith("int8") else 1e-5
    for key, array in expected.items():
        assert (answers[key].dtype, answers[key].shape) == (array.dtype, array.shape)
        if key == "mask":
            # An untrained network is near a tie in many pixels; OpenVINO fell below 0.95 once, on a busy machine.
            assert (answers[key] == array).mean() >= (0.85 if name == "openvino-int8" else 1 - tolerance)
        else:
            assert np.abs(answers[key] - array).max() <= tolerance
    assert Metadata.model_validate(runtimes.open_file(path).metadata) == source.metadata


@pytest.mark.parametrize("name", ["onnx", "onnx-int8"])
def test_a_resize_to_any_size_keeps_it_in_onnx(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the ratio of the sizes in float32, as tf2onnx states it, 12 * float32(23 / 12) is 22.99: 22 rows."""

    def resized(pixels: tf.Tensor) -> tf.Tensor:
        rows = tf.image.resize(tf.image.resize(pixels, (12, 12)), (23, 23))
        return brightest(tf.concat([rows, tf.image.resize(pixels, (23, 23), "nearest")], axis=1))

    images = photos(34)
    np.save(tmp_path / "train.npy", images)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    source = of(resized, tmp_path)
    path = convert.convert(source, formats.FORMATS[name], "train.npy", "out")
    ask = runtimes.open_file(path).ask
    expected = source.function(tf.constant(images))["probabilities"].numpy()
    found = np.concatenate([ask(images[i : i + 1])["probabilities"] for i in range(len(images))])
    assert np.abs(found - expected).max() <= (0.05 if name.endswith("int8") else 1e-5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "out", "train.npy"]  # nothing is left beside


def test_the_models_own_answers_are_read_from_disk_as_it_gives_them(source: convert.Source, tmp_path: Path) -> None:
    images = photos(40)  # more than one batch
    own = conduct._own(source.function, images, str(tmp_path))
    expected = {name: tensor.numpy() for name, tensor in source.function(tf.constant(images)).items()}
    assert own.keys() == expected.keys()
    assert all(isinstance(array, np.memmap) for array in own.values())
    for name, array in expected.items():
        np.testing.assert_allclose(own[name], array, atol=1e-5)
    conduct._require_whole(own, source.function.structured_outputs, 40)


def evaluated(source: convert.Source, images: np.ndarray) -> judged.Evaluated:
    """What an evaluation knows of a model whose truth is i % 3 for image i."""
    own = source.function(tf.constant(images))["probabilities"].numpy()
    rows = [
        {
            "path": f"{i}.png",
            "sha256": f"{i:064x}",
            "labels": [LABELS[i % 3]],
            "unknown": [],
            "weight": 1.0,
            "slices": [("format", "png")],
            "familiarity": 0.5,
            "abstain": False,
            "probabilities": p.tolist(),
            "uncalibrated": p.tolist(),
            "decisions": (p >= 0.5).tolist(),
        }
        for i, p in enumerate(own)
    ]
    return judged.Evaluated(
        kind=SINGLE,
        labels=LABELS,
        decided=np.full(3, 0.5, np.float32),
        rows=rows,
        truth=None,
        own={"probabilities": own},
        unlike={},
        served=None,
        served_rows=None,
        compared=Compared(why_not="no model is served yet"),
        beside=Beside(),
    )


def settings(*thresholds: Threshold, max_drop: float = 0.05, min_agreement: float = 0.9) -> ExportSettings:
    return ExportSettings(
        name="tiny",
        task="single_label",
        bits=None,
        formats=("litert",),
        max_drop=max_drop,
        min_agreement=min_agreement,
        thresholds=thresholds,
        code_fingerprint="",
    )


def exported(source: convert.Source, known: judged.Evaluated, name: str, folder: Path, told: ExportSettings) -> Any:
    """Converts, runs and judges as the stage does."""
    images = photos(len(known.rows))
    np.save(folder / "images.npy", images)
    path = str(folder / "images.npy")
    return conduct._export(formats.FORMATS[name], told, source, known, path, path, str(folder))


def test_a_good_export_passes_with_its_numbers(tmp_path: Path) -> None:
    source = of(brightest, tmp_path)
    known = evaluated(source, photos(30))
    told = settings(Threshold(metric="accuracy", min=1), Threshold(metric="recall", label="*", min=1))
    one = exported(source, known, "litert", tmp_path, told)
    assert one.passed, one.sentence()
    assert (one.files, one.agreement, one.metrics["accuracy"]) == (("exports/litert.tflite",), 1.0, 1.0)
    assert one.changes == {"red": 0.0, "green": 0.0, "blue": 0.0}
    assert one.megabytes == (tmp_path / "litert.tflite").stat().st_size / 1e6
    # One verdict of the accuracy, three of recalls, three of drops, and one of the agreement.
    assert [v.gate for v in one.verdicts] == ["model_gate"] * 4 + ["export"] * 4
    assert one.sentence().startswith("litert: 0.00")


def test_swapped_channels_are_refused_by_the_drop_of_each_label(tmp_path: Path) -> None:
    """Red and blue change places: F1 of both falls from 1 to 0, that of green stays; a third of the answers agrees."""
    known = evaluated(of(brightest), photos(30))
    swapped = of(lambda pixels: brightest(pixels[..., ::-1]), tmp_path)
    one = exported(swapped, known, "litert", tmp_path, settings(Threshold(metric="accuracy", min=0.9)))
    assert not one.passed
    assert one.agreement == pytest.approx(1 / 3)
    assert one.changes == {"red": -1.0, "green": 0.0, "blue": -1.0}
    assert one.metrics["accuracy"] == pytest.approx(1 / 3)
    assert one.sentence() == (
        "litert is not pushed: accuracy is 0.3333 (30 examples, 95 % interval 0.19 to 0.51), below the minimum 0.9 "
        "(and 3 more rules failed)"
    )
    assert [v.reason.split(". ")[0] for v in one.verdicts if v.gate == "export" and not v.passed] == [
        *(f"drop of f1 of label '{label}' is 1 (10 examples), above the maximum 0.05" for label in ("red", "blue")),
        "share of decisions that are the SavedModel's is 0.3333 (30 images), below the minimum 0.9",
    ]


def one_scale(pixels: tf.Tensor) -> tf.Tensor:
    """`brightest`, by numbers near 1 that stand in one tensor with numbers near 10,000.

    As 8-bit integers, the tensor has steps of about 40, so that the small numbers are all the same.
    """
    small = tf.reduce_mean(pixels, axis=[1, 2]) / 100
    both = tf.concat([small, small * 10_000], axis=1)
    kernel = np.concatenate([5 * np.eye(3), np.zeros((3, 3))]).astype(np.float32)
    return tf.nn.softmax(tf.linalg.matmul(both, tf.constant(kernel)))


def test_a_layer_that_integers_ruin_is_refused_and_pushed_as_float32(tmp_path: Path) -> None:
    source = of(one_scale, tmp_path)
    known = evaluated(source, photos(30))
    assert [int(np.argmax(row["probabilities"])) for row in known.rows] == [i % 3 for i in range(30)]
    good = exported(source, known, "litert", tmp_path, settings())
    assert good.passed, good.sentence()
    ruined = exported(source, known, "litert-int8", tmp_path, settings())
    assert not ruined.passed
    assert ruined.agreement < 0.7
    assert ruined.sentence().startswith("litert-int8 is not pushed: drop of f1 of label '")
    assert "above the maximum 0.05. Push the format without int8" in ruined.sentence()


def test_what_a_runtime_cannot_run_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "litert.tflite").write_bytes(b"no model")
    np.save(tmp_path / "images.npy", photos(1))
    with pytest.raises(conduct.NoAnswer, match="its runtime cannot run it: "):
        conduct.answered(str(tmp_path / "litert.tflite"), str(tmp_path / "images.npy"), 1)


def test_what_a_converter_refuses_is_told_in_a_sentence(tmp_path: Path) -> None:
    source = of(lambda pixels: tf.py_function(lambda x: x, [pixels], tf.float32), tmp_path)
    with pytest.raises(convert.NotConverted, match=r"it cannot be converted: .*PyFunc"):
        convert.convert(source, formats.FORMATS["litert"], "", str(tmp_path))


@pytest.mark.parametrize(
    ("program", "limit", "why"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", 600, "the converter broke: the process ended with SIGSEGV"),
        ("time.sleep(600)", 20, "its conversion did not end within 20 seconds"),
    ],
)
def test_a_converter_that_crashes_or_hangs_fails_its_format_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, limit: int, why: str
) -> None:
    """In place of tf2onnx, a package that does so when it is imported."""
    (tmp_path / "tf2onnx.py").write_text(f"import os, signal, time\n{program}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setattr(convert, "_SECONDS", limit)
    source = of(brightest, tmp_path)
    known = evaluated(source, photos(30))
    broken = exported(source, known, "onnx", tmp_path, settings())
    assert broken.sentence().startswith("onnx is not pushed: ")
    assert broken.sentence().endswith(why)
    assert not (tmp_path / "onnx.onnx").exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_conversion_ends_when_the_run_that_began_it_is_killed(tmp_path: Path) -> None:
    """In place of TensorFlow, a package that notes its process and sleeps when it is imported."""
    noted = tmp_path / "noted"
    (tmp_path / "tensorflow.py").write_text(
        f"import os, time\nwith open({str(noted)!r}, 'w') as f:\n    f.write(str(os.getpid()))\ntime.sleep(600)\n"
    )
    program = """
import os, sys
from components.exports import convert, formats
from components.exports.metadata import Metadata
os.environ["PYTHONPATH"] = sys.argv[2]
source = convert.Source("", None, None, Metadata.from_json(sys.argv[1]))
convert.convert(source, formats.FORMATS["litert"], "", sys.argv[2])
"""
    command = [sys.executable, "-c", program, TOLD.to_json(), str(tmp_path)]
    deadline = time.monotonic() + 120
    with subprocess.Popen(command) as run:
        while not (noted.exists() and noted.read_text()):
            assert (run.poll(), time.monotonic() < deadline) == (None, True)
            time.sleep(0.1)
        run.kill()
    stat = Path(f"/proc/{int(noted.read_text())}/stat")
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":  # ended, and nobody has asked
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (
            {"probabilities": np.full((6, 3), np.nan, np.float32)},
            "'probabilities' for image 1 of 6 has numbers",
        ),
        ({"probabilities": np.full((6, 2), 0.5, np.float32)}, r"is float32 \[6, 2\] in place of float32 \[6, 3\]"),
        ({"probabilities": np.full((5, 3), 0.5, np.float32)}, r"is float32 \[5, 3\] in place of float32 \[6, 3\]"),
        ({"probabilities": np.zeros((6, 3), np.int8)}, r"is int8 \[6, 3\] in place of float32 \[6, 3\]"),
        ({"Identity": np.zeros((6, 3), np.float32)}, r"the outputs \['Identity'\] in place of \['probabilities'\]"),
    ],
)
def test_answers_of_another_form_or_without_numbers_are_none(answers: dict[str, np.ndarray], why: str) -> None:
    with pytest.raises(conduct.NoAnswer, match=why):
        conduct._require_whole(answers, of(brightest).function.structured_outputs, 6)


def test_an_f1_that_is_not_a_number_is_a_drop_unless_there_was_nothing_to_lose() -> None:
    """Two images, of red and green, that the model takes for red and blue: F1 is 1, 0 (0 of 1) and 0 (1 false)."""
    known = evaluated(of(brightest), photos(2))
    one_hot = np.eye(3, dtype=np.float32)
    known = dataclasses.replace(known, rows=known.rows_of({"probabilities": one_hot[[0, 2]]}))
    # An export that answers green twice: red falls from 1 to 0 and green gains; blue is 0 / 0.
    rows = known.rows_of({"probabilities": one_hot[[1, 1]]})
    assert np.isnan(known.changes(rows)["blue"])
    assert [(v.label, v.value, v.passed) for v in known._drops(rows, 0.05)] == [
        ("red", 1.0, False),
        ("green", 0.0, True),
        ("blue", 0.0, True),
    ]
    lost = known.rows_of({"probabilities": np.full((2, 3), np.nan, np.float32)})
    [red] = [v for v in known._drops(lost, 1.0) if v.label == "red"]
    assert (red.passed, red.value) == (False, None)


def test_regressions_are_those_of_the_export() -> None:
    """The served model has all six images right, and so has the SavedModel; the export has the even ones wrong."""
    known = evaluated(of(brightest), photos(6))
    assert [int(np.argmax(row["probabilities"])) for row in known.rows] == [0, 1, 2, 0, 1, 2]
    none = Regressions(numbers=[{"where": {}, "numbers": {"regressions": 0, "example_count": 6, "effective_count": 6}}])
    compared = Compared(version="1", images=6, labels=tuple(LABELS), regressions=none)
    known = dataclasses.replace(known, compared=compared, served=known.results(known.rows), served_rows=known.rows)
    wrong = known.own["probabilities"].copy()
    wrong[::2] = np.roll(wrong[::2], 1, axis=1)
    rule = Threshold(metric="regressions", max=2)
    [own, *_] = known.judge([rule], known.rows, 1.0)
    [of_export, *_] = known.judge([rule], known.rows_of({"probabilities": wrong}), 1.0)
    assert (own.value, own.passed, of_export.value, of_export.passed) == (0, True, 3, False)
    # The surest mistake first.
    assert sorted(of_export.reason.split(": ")[1].split(", ")) == ["0.png", "2.png", "4.png"]
    part = dataclasses.replace(known, compared=compared.model_copy(update={"candidate": none.numbers}))
    [left, *_] = part.judge([rule], known.rows, 1.0)
    assert (left.judged, left.reason.split(": ")[1]) == (False, judged._PART)


def test_an_export_that_decides_otherwise_is_refused_though_it_is_as_good() -> None:
    """The model and its export have 20 of 30 images right, but not the same: they agree on 10. 1 / 3 is below 0.34."""
    known = evaluated(of(brightest), photos(30))
    one_hot, truth = np.eye(3, dtype=np.float32), np.arange(30) % 3
    own, other = truth.copy(), truth.copy()
    own[:10], other[10:20] = (own[:10] + 1) % 3, (other[10:20] + 1) % 3
    known = dataclasses.replace(known, own={"probabilities": one_hot[own]})
    known = dataclasses.replace(known, rows=known.rows_of(known.own))
    for least, passes in ((0.33, True), (0.34, False)):
        told = settings(max_drop=1, min_agreement=least)
        one = conduct.judged(formats.FORMATS["litert"], told, known, {"probabilities": one_hot[other]})
        # The arrays are compared in blocks of 32 images and less; the difference is 1 for two of three labels in 20.
        assert (one.agreement, one.largest_difference) == (10 / 30, 1.0)
        assert one.mean_difference == pytest.approx(2 * 20 / 90)
        assert one.metrics["accuracy"] == pytest.approx(20 / 30)
        assert one.passed is passes
    assert not known.judge_agreement(float("nan"), 0).passed


def test_names_are_changed_in_the_branches_of_a_graph_too() -> None:
    helper = onnx.helper
    branch = helper.make_graph([helper.make_node("Identity", ["x:0"], ["y"])], "branch", [], [])
    node = helper.make_node("If", ["condition"], ["out:0"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph([node], "whole", [helper.make_tensor_value_info("x:0", 1, [1])], [])
    onnx_writer._rename(graph, {"x:0": "pixels", "out:0": "probabilities"})
    [changed] = graph.node
    assert (graph.input[0].name, changed.output[0]) == ("pixels", "probabilities")
    assert [attribute.g.node[0].input[0] for attribute in changed.attribute] == ["pixels", "pixels"]


@pytest.mark.parametrize("bound", [{}, {"min": 0.1}])
def test_max_drop_is_judged_beside_a_gain_with_confidence(bound: dict[str, float]) -> None:
    """Accuracy falls from the served model's 1 to 1/2."""
    known = evaluated(of(brightest), photos(6))
    wrong = known.own["probabilities"].copy()
    wrong[::2] = np.roll(wrong[::2], 1, axis=1)
    known = dataclasses.replace(
        known, compared=Compared(version="1", images=6, labels=tuple(LABELS)), served=known.results(known.rows)
    )
    rule = Threshold(metric="accuracy", max_drop=0.2, min_gain=0, confidence=0.95, **bound)
    verdicts = known.judge([rule], known.rows_of({"probabilities": wrong}), 1.0)
    [drop] = [v for v in verdicts if "served model's" in v.rule]
    assert not drop.passed
    assert "0.5 worse than the served model's 1; at most 0.2 is allowed" in drop.reason


def test_openvino_reports_nothing_where_it_runs(tmp_path: Path) -> None:
    (tmp_path / "none.xml").write_text("no model")
    lines = (
        f"sys.path.insert(0, {str(Path(runtimes.__file__).parents[2])!r})",
        "from components.exports import runtimes",
        "try:",
        f"    runtimes.open_file({str(tmp_path / 'none.xml')!r})",
        "except RuntimeError:",
        "    print([name for name, module in sys.modules.items() if module and name[:18] == 'openvino_telemetry'])",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(("import sys", *lines))], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[]\n", done.stderr


def test_weak_groups_and_slices_are_judged_by_the_answers_of_the_export() -> None:
    """Of the images 0 to 5, the export has the even ones wrong: 3 of 6, and of the group of 0 and 1 one half."""
    source = of(brightest)
    known = evaluated(source, photos(6))
    group = WeakGroup(
        name="dark images",
        label=None,
        measure="accuracy",
        value=1,
        rest=1,
        chance=0,
        count=2,
        images=tuple((row["path"], row["sha256"]) for row in known.rows[:2]),
        numbers={"accuracy": 1.0, "example_count": 2.0, "effective_count": 2.0},
    )
    known = dataclasses.replace(known, beside=Beside(weak=WeakGroups(images=6, fewest=2, tried=1, groups=(group,))))
    wrong = known.own["probabilities"].copy()
    wrong[::2] = np.roll(wrong[::2], 1, axis=1)
    rules = [
        Threshold(metric="accuracy", slice="found", min=0.6),
        Threshold(metric="accuracy", slice={"format": "png"}, min=0.6),
    ]
    rows = known.rows_of({"probabilities": wrong})
    of_group, of_slice = known.judge(rules, rows, 1.0)[:2]
    assert (of_group.value, of_group.passed, of_group.slice) == (0.5, False, {"found": "dark images"})
    assert (of_slice.value, of_slice.passed, of_slice.slice) == (0.5, False, {"format": "png"})


def test_a_mask_is_counted_as_the_evaluation_counts_it() -> None:
    """Of four pixels, one is ignored; of the others, by truth and answer: 0 as 0, 0 as 2, 1 as 1."""
    truth, mask = np.array([[0, 0], [1, IGNORED_ID]], np.uint8), np.array([[0, 2], [1, 0]], np.uint8)
    score = np.array([[0.9, 0.5], [0.95, 0.1]], np.float32)
    before = [*[7.0] * 45, *[8.0] * 45]
    counted = judged._counts(mask, score, truth, 3, before)
    assert counted["confusion"] == [1, 0, 1, 0, 1, 0, 0, 0, 0]
    weight, summed, hits = np.reshape(counted["calibration"][:45], (3, 15))
    # Fifteen bins: 0.9 and 0.95 are in the bins 13 and 14, 0.5 in bin 7.
    assert {i: w for i, w in enumerate(weight) if w} == {7: 1, 13: 1, 14: 1}
    assert (summed[13], hits[7], hits[13]) == (pytest.approx(0.9), 0, 1)
    assert counted["calibration"][45:] == before[45:]
    lost = judged._counts(mask, np.where(score == np.float32(0.5), np.nan, score), truth, 3, before)
    assert np.isnan(lost["confusion"]).all()
