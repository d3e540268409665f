"""Two exports of one model are the same model, though TensorFlow numbers functions by what the process did before."""

import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from components.data.untrusted import binary, rows
from components.model import identity
from components.push import versions


class _Model(tf.Module):
    def __init__(self, weight: float, factor: float) -> None:
        super().__init__()
        self.weight, self.factor = tf.Variable(weight), factor

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.map_fn(lambda row: row * self.weight + self.factor, x)}


def export(folder: Path, weight: float = 2.0, factor: float = 3.0) -> Path:
    model = _Model(weight, factor)
    tf.saved_model.save(model, str(folder), signatures={"serve": model.serve})
    return folder


def told(folder: Path) -> str:
    return identity.identity(str(folder), versions.digests(str(folder)))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("model") / "first")


def test_a_second_export_is_the_same_model_though_its_files_differ(exported: Path, tmp_path: Path) -> None:
    for _ in range(200):  # each counts; where a number gets one digit more, names sort in another order
        tf.function(lambda: 0).get_concrete_function()
    again = export(tmp_path / "again")
    one, other = versions.digests(str(exported)), versions.digests(str(again))
    assert {name for name in one if one[name] != other[name]} == {"fingerprint.pb", "saved_model.pb"}
    assert told(again) == told(exported)


@pytest.mark.parametrize("changed", [{"weight": 2.5}, {"factor": 3.5}], ids=["a weight", "a number in the code"])
def test_another_model_has_another_identity(exported: Path, tmp_path: Path, changed: dict[str, float]) -> None:
    assert told(export(tmp_path / "other", **changed)) != told(exported)


def test_another_file_is_another_model(exported: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(exported, tmp_path / "copy")
    assert told(copy) == told(exported)
    (copy / "fingerprint.pb").write_bytes(b"another")
    assert told(copy) == told(exported)
    (copy / "assets.extra").mkdir()
    (copy / "assets.extra" / "decisions.json").write_text("{}")
    assert told(copy) != told(exported)


def test_a_file_that_is_no_graph_counts_as_it_is(tmp_path: Path) -> None:
    found = []
    for content in (b"graph", b"other"):
        (tmp_path / "saved_model.pb").write_bytes(content)
        found.append(told(tmp_path))
        assert identity.tensorflow_version(str(tmp_path)) == ""
    assert len(set(found)) == 2


def test_the_release_of_tensorflow_is_that_of_the_file(exported: Path) -> None:
    assert identity.tensorflow_version(str(exported)) == tf.__version__


def test_the_order_of_functions_does_not_depend_on_what_this_process_built_before() -> None:
    """Those that decode what a client sends are kept, some for all sizes of images and others for one."""
    for built in binary._shared:
        built.cache_clear()
    rows._graph.cache_clear()

    def names(size: tuple[int, int]) -> list[str]:
        functions = rows._graph(size, None).graph.as_graph_def().library.function
        numbered = [f.signature.name.rpartition("_") for f in functions]
        return [name for name, _, _ in sorted(numbered, key=lambda parts: int(parts[2]))]

    assert names((8, 8)) == names((9, 9))
