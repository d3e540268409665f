"""The Baseline stage: what can be compared is copied, and of the rest it is said why not, and what follows."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import signing_keys
import tensorflow as tf
from counting import Seen, merged
from tfx.types import standard_artifacts

from components.data import known_images, schema
from components.labels import kinds
from components.model import signatures
from components.push import versions
from components.push.manifest import PushedManifest
from components.push.settings import Push, Sign, Verify
from components.push.signing import trust
from components.stages import baseline

LABELS = ["cat", "dog"]
FACTS = {"task": "single_label", "labels": LABELS, "format": signatures.FORMAT}

BESIDE = {"images.npy": known_images.to_bytes(merged([Seen("a", "train", ("cat",))])[1].rows)}
OUTPUTS = "abstain, decisions, familiarity, probabilities, uncalibrated"


class _Model(tf.Module):
    def __init__(self, outputs: set[str]) -> None:
        super().__init__()
        self.outputs, self.bias = sorted(outputs), tf.Variable(0.25)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {output: tf.fill([tf.shape(examples)[0], 2], self.bias) for output in self.outputs}


def save(folder: Path, output: str = "", signature: str = signatures.EVALUATE) -> str:
    model = _Model({output} if output else kinds.kind("single_label").evaluated)
    tf.saved_model.save(model, str(folder), signatures={signature: model.evaluate})
    return str(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(tmp_path_factory.mktemp("model") / "saved")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[Path, dict[str, str]]]:
    """Runs the stage; gives the folder of the model and the artifact's properties."""

    def stage(destination: str, task: str = "single_label", verify: str = "") -> tuple[Path, dict[str, str]]:
        told, out = standard_artifacts.Schema(), standard_artifacts.Model()
        told.uri, out.uri = str(tmp_path / "schema"), str(tmp_path / "out")
        served = versions.current(destination)
        schema.write(told.uri, schema.curated("single_label", LABELS))
        baseline.Baseline.EXECUTOR_SPEC.executor_class._FUNCTION(
            schema_in=told,
            baseline_model=out,
            task=task,
            destination=destination,
            served_version=served.version if served else "",
            verify=verify,
            code_fingerprint="",
        )
        names = ("version", "note", "broken")
        return Path(out.uri, "Format-Serving"), {name: out.get_string_custom_property(name) for name in names}

    return stage


@pytest.fixture(params=["folder", "memory"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield "memory://baseline/served" if request.param == "memory" else str(tmp_path / "served")
    fs = fsspec.filesystem("memory")
    if fs.exists("/baseline"):
        fs.rm("/baseline", recursive=True)


def test_the_served_model_is_copied_whole(run: Any, model: str, destination: str) -> None:
    served = versions.push(model, destination, PushedManifest(**FACTS), BESIDE)
    folder, told = run(destination)
    assert told == {"version": served.version, "note": "", "broken": ""}
    assert versions.digests(str(folder)) == served.manifest.files
    assert PushedManifest.from_json((folder / "imagegate.json").read_text()) == served.manifest
    answer = tf.saved_model.load(str(folder)).signatures["evaluate"](examples=tf.constant([b"", b""]))
    assert answer["probabilities"].numpy().tolist() == [[0.25, 0.25]] * 2


def test_a_model_that_nobody_trusted_signed_is_not_copied(
    run: Any, model: str, destination: str, tmp_path: Path
) -> None:
    private = signing_keys.write(tmp_path, "key")
    push = Push(
        destination=destination, sign=Sign(key=str(private)), verify=Verify(keys=(str(private.with_suffix(".pub")),))
    )
    verify = push.verify.to_json()
    signed = versions.push(model, destination, PushedManifest(**FACTS), BESIDE, trust=trust.writer(push))
    folder, told = run(destination, verify=verify)
    assert told == {"version": signed.version, "note": "", "broken": ""}
    assert versions.digests(str(folder)) == signed.manifest.files
    versions.push(model, destination, PushedManifest(**FACTS), BESIDE)
    with pytest.raises(versions.Damaged, match="only signed versions are trusted"):
        run(destination, verify=verify)


@pytest.mark.parametrize(
    ("facts", "note"),
    [
        (None, "no model is served yet"),
        ({"task": "multi_label"}, "version {} was trained for task multi_label, this run is for single_label"),
        (
            {"labels": ["emu", "fox"]},
            (
                "version {} has no label in common with this run: version {} has 'emu', 'fox' and this run has "
                "'cat', 'dog'"
            ),
        ),
        ({"labels": ()}, "version {} has none and this run has 'cat', 'dog'"),
        ({"labels": ["cat"]}, "version {} knows a single label, which is its only answer, and this run knows several"),
    ],
    ids=["nothing", "task", "labels", "no labels", "detector"],
)
def test_without_a_comparable_model_the_baseline_is_empty(
    run: Any, model: str, tmp_path: Path, facts: dict | None, note: str
) -> None:
    destination, version = str(tmp_path / "served"), ""
    if facts is not None:
        version = versions.push(model, destination, PushedManifest(**FACTS | facts), BESIDE).version
    folder, told = run(destination)
    assert note.format(version, version) in told["note"]
    assert (told["version"], told["broken"], folder.exists()) == ("", "", False)


def broken(run: Any, served: versions.Served, destination: str) -> str:
    """The sentence, which names the version and what to do; nothing is left to be evaluated."""
    folder, told = run(destination)
    assert told["version"] == ""
    assert told["note"] == told["broken"] != ""
    assert not folder.parent.exists()  # so that TFX does not take this from the cache
    start = f"version {served.version}, which is served now, cannot be compared with: "
    end = f". Bring an older version back (imagegate rollback CONFIG), or remove {served.path}"
    assert told["broken"].startswith(start)
    assert told["broken"].endswith(end)
    return told["broken"].removeprefix(start).removesuffix(end)


@pytest.mark.parametrize("change", ["changed", "gone", "one too many"])
def test_a_damaged_model_is_not_loaded(run: Any, model: str, destination: str, change: str) -> None:
    served = versions.push(model, destination, PushedManifest(**FACTS), BESIDE)
    fs, path = fsspec.core.url_to_fs(f"{served.path}/variables/variables.index")
    if change == "gone":
        fs.rm_file(path)
    else:
        fs.pipe_file(path + ("2" if change == "one too many" else ""), b"?")
    said = broken(run, served, destination)
    expected = {"changed": "index does not match", "gone": "index is missing", "one too many": "index2 is not in"}
    assert f"{served.path}/variables/variables.{expected[change]}" in said


def test_a_model_that_cannot_be_loaded_is_not_compared(run: Any, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"no graph")
    served = versions.push(str(tmp_path / "model"), str(tmp_path / "served"), PushedManifest(**FACTS), BESIDE)
    assert broken(run, served, str(tmp_path / "served")).startswith("it cannot be loaded: ")


@pytest.mark.parametrize(
    ("saved", "facts", "said"),
    [
        (
            {"output": "scores"},
            {},
            f"its signature 'evaluate' gives scores; expected {OUTPUTS}",
        ),
        (
            {"signature": "judge"},
            {},
            f"its signature 'evaluate' gives nothing; expected {OUTPUTS}",
        ),
        ({}, {"format": signatures.FORMAT + 1}, "it is of format 3, and this release evaluates formats 1 and 2"),
        ({}, {"format": None}, "it is of format None, and this release evaluates formats 1 and 2"),
    ],
    ids=["output", "signature", "later format", "no format"],
)
def test_a_model_that_cannot_be_evaluated_is_not_compared(
    run: Any, tmp_path: Path, saved: dict, facts: dict, said: str
) -> None:
    served = versions.push(
        save(tmp_path / "model", **saved), str(tmp_path / "served"), PushedManifest(**FACTS | facts), BESIDE
    )
    assert broken(run, served, str(tmp_path / "served")) == said


def test_once_a_version_is_removed_the_one_before_is_compared(run: Any, model: str, tmp_path: Path) -> None:
    destination = str(tmp_path / "served")
    old, new = (
        versions.push(model, destination, PushedManifest(**FACTS), BESIDE),
        versions.push(model, destination, PushedManifest(**FACTS), BESIDE),
    )
    os.unlink(os.path.join(new.path, "saved_model.pb"))
    assert "saved_model.pb is missing" in broken(run, new, destination)
    shutil.rmtree(new.path)
    assert run(destination)[1] == {"version": old.version, "note": "", "broken": ""}


def test_labels_in_another_order_or_with_others_are_compared(run: Any, model: str, tmp_path: Path) -> None:
    destination = str(tmp_path / "served")
    for labels in (["dog", "cat"], ["emu", "dog"]):
        version = versions.push(model, destination, PushedManifest(**FACTS | {"labels": labels}), BESIDE).version
        assert run(destination)[1] == {"version": version, "note": "", "broken": ""}
        shutil.rmtree(tmp_path / "served")


def test_a_model_that_cannot_be_read_for_now_is_not_called_damaged(
    run: Any, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a broken disk: no rights of the user make a file unreadable to root."""
    destination = str(tmp_path / "served")
    served = versions.push(model, destination, PushedManifest(**FACTS), BESIDE)
    index, open_ = os.path.join(served.path, "variables", "variables.index"), os.open

    def broken_disk(path: Any, *rest: Any, **more: Any) -> int:
        if path == index:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return open_(path, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", broken_disk)
        folder, told = run(destination)
    assert told["broken"].endswith("Run again once it can be read")
    assert not folder.parent.exists()
    assert run(destination)[1] == {"version": served.version, "note": "", "broken": ""}


@pytest.mark.parametrize(
    ("beside", "said"),
    [({}, "is missing"), ({"images.npy": b"known"}, "holds no array")],
    ids=["missing", "another release"],
)
def test_a_model_of_which_nobody_knows_the_images_is_not_compared(
    run: Any, model: str, tmp_path: Path, beside: dict[str, bytes], said: str
) -> None:
    served = versions.push(model, str(tmp_path / "served"), PushedManifest(**FACTS), beside)
    assert broken(run, served, str(tmp_path / "served")) == f"images.npy, the record of its images, {said}"
