"""docs/serving.md: its request, sent to a model as TensorFlow Serving sends it, gets an answer of its form."""

import base64
import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.gates import served_files
from components.labels import kinds
from components.model import signatures
from components.model.networks import network

PAGE = (Path(__file__).parents[3] / "docs" / "serving.md").read_text(encoding="utf-8")
SIZE, LABELS = (10, 14), ["cat", "dog"]


@pytest.fixture(scope="module")
def model(undecided: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    @functools.cache
    def load(task: str) -> Any:
        kind, folder = kinds.kind(task), str(tmp_path_factory.mktemp(task))
        parts = network.build("small", weights=None, image_size=SIZE, classes=2, augment=False, seed=1, kind=kind)
        signatures.export(parts, LABELS, SIZE, kind, undecided(parts), folder)
        return tf.saved_model.load(folder)

    return load


def rest(model: Any, body: dict[str, Any]) -> dict[str, Any]:
    """What TensorFlow Serving does with a body in row format, in its documented steps."""
    signature = model.signatures[body["signature_name"]]
    [(name, spec)] = signature.structured_input_signature[1].items()
    assert all(set(instance) == {name} for instance in body["instances"])
    assert spec.dtype == tf.string
    assert name.endswith("_bytes")
    batch = [base64.b64decode(instance[name]["b64"], validate=True) for instance in body["instances"]]
    answer = {output: value.numpy() for output, value in signature(**{name: tf.constant(batch)}).items()}
    # The row format can be used only if each output has one row for each instance.
    assert {len(array) for array in answer.values()} == {len(batch)}
    return {"predictions": [{o: plain(array[i]) for o, array in answer.items()} for i in range(len(batch))]}


def plain(value: Any) -> Any:
    found = np.asarray(value).tolist()
    if isinstance(found, list):
        return [plain(each) for each in found]
    return found.decode() if isinstance(found, bytes) else found


def form(value: Any) -> Any:
    """The type and shape of a value in JSON."""
    return (len(value), form(value[0])) if isinstance(value, list) else type(value)


def test_the_documented_request_gets_the_documented_answer(model: Callable[[str], Any]) -> None:
    request, expected = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
    answer = rest(model("single_label"), request)
    json.dumps(answer, allow_nan=False)
    assert len(answer["predictions"]) == len(expected["predictions"]) == 2
    for found, shown in zip(answer["predictions"], expected["predictions"], strict=True):
        assert {name: form(value) for name, value in found.items()} == {name: form(v) for name, v in shown.items()}
        assert found["labels"] == shown["labels"]
        assert found["error"] == shown["error"]
    assert answer["predictions"][1] == expected["predictions"][1]  # refused, to the last number


@pytest.mark.parametrize("task", ["single_label", pytest.param("segmentation", marks=pytest.mark.slow)])
def test_the_documented_outputs_are_those_of_the_signatures(model: Callable[[str], Any], task: str) -> None:
    table = re.findall(r"^\| `(\w+)` \| (\w+) \[(.*?)\] \|", PAGE, re.MULTILINE)
    documented = {name: (dtype, len(shape.split(", "))) for name, dtype, shape in table}
    assert all(shape.startswith("batch") for _, _, shape in table)
    for signature in ("serving_default", "examples"):
        outputs = model(task).signatures[signature].structured_outputs
        found = {name: (spec.dtype.name, spec.shape.rank) for name, spec in outputs.items()}
        assert found == {name: documented[name] for name in found}
        assert found == served_files.expected(kinds.kind(task))
