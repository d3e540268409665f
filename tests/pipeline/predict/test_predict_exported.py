"""What is no exported file of imagegate is refused with a sentence that names it."""

from pathlib import Path

import onnx
import pytest

from pipeline import cli


@pytest.mark.parametrize("ending", ["tflite", "onnx", "xml"])
def test_a_damaged_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str) -> None:
    path = tmp_path / f"model.{ending}"
    path.write_bytes(b"no model at all, only text")
    assert cli.main(["predict", str(path), "a.jpg"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"imagegate: {path} is damaged, or imagegate did not write it; its runtime says: ")


def test_a_file_that_others_wrote_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = onnx.helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, ["n", 8, 8, 3])
    same = onnx.helper.make_tensor_value_info("same", onnx.TensorProto.UINT8, ["n", 8, 8, 3])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["pixels"], ["same"])], "g", [pixels], [same])
    opset = onnx.helper.make_opsetid("", 18)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), str(tmp_path / "model.onnx"))
    assert cli.main(["predict", str(tmp_path / "model.onnx"), "a.jpg"]) == 1
    assert "model.onnx is damaged, or imagegate did not write it; its runtime says: " in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (str(tmp_path / "none.tflite"), "s3://bucket/models/1/exports/litert.tflite"):
        assert cli.main(["predict", name, "a.jpg"]) == 1
        assert f"{name}: no exported file here; expected a local file, such as " in capsys.readouterr().err
