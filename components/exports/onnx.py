"""Conversion to ONNX by tf2onnx; 8-bit integers by ONNX Runtime's static quantisation."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.exports.runtimes import KEY

if TYPE_CHECKING:
    from components.exports.convert import Source

_OPSET = 18
_TOGETHER = 16  # most images whose ranges are taken together: 200 of 224 x 224 pixels would take 2.8 GB of memory


def write(source: Source, calibration: NDArray[np.uint8] | None, path: str) -> None:
    """Converts a model; see `litert.write`."""
    import onnx
    import tf2onnx
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(source.function)  # tf2onnx takes variables for inputs
    # The outputs of a function are in the order of their names.
    names = {frozen.inputs[0].name: "pixels"} | dict(
        zip((tensor.name for tensor in frozen.outputs), sorted(source.function.structured_outputs), strict=True)
    )
    [pixels, *outputs] = names
    model, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(),
        input_names=[pixels],
        output_names=outputs,
        opset=_OPSET,
        custom_op_handlers=dict.fromkeys(("ResizeBilinear", "ResizeNearestNeighbor"), (_resize, [])),
    )
    _rename(model.graph, names)
    if calibration is not None:
        model = _quantised(model, calibration)
    onnx.helper.set_model_props(model, {KEY: source.metadata.to_json()})
    onnx.save(model, path)


def _resize(graph: Any, node: Any, name: str, _: object) -> None:
    """Converts a resize node with a constant size as tf2onnx does, but with that size.

    tf2onnx states the ratio of the sizes in float32, from which runtimes compute the size and round down: of 12 rows
    that become 23, they would have 22.
    """
    from tf2onnx.onnx_opset.nn import Resize
    from tf2onnx.utils import make_name

    size = node.inputs[1].get_tensor_value(as_list=False) if node.inputs[1].is_const() else None
    Resize.version_11(graph, node)
    [resize] = graph.get_node_by_name(name).inputs  # followed by a transposition with the name of the node
    if size is not None and len(resize.input) == 3:  # with a ratio
        wanted = graph.make_const(make_name("size"), np.asarray(size, np.int64))
        given = graph.make_node("Shape", [resize.input[0]], {"start": 0, "end": 2})  # of N, C, H, W
        sizes = graph.make_node("Concat", [given.output[0], wanted.output[0]], {"axis": 0})
        none = graph.make_const(make_name("scales"), np.empty(0, np.float32))
        graph.replace_inputs(resize, [*resize.input[:2], none.output[0], sizes.output[0]])


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    """Renames tensors of an ONNX graph, also where the branches and loops in it use them."""
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rename(inner, names)


class _Reader:
    """Gives the quantiser one image after the other."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._all = images
        self._images = iter(images[:, np.newaxis])

    def __len__(self) -> int:
        return len(self._all)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Gives these images next."""
        self._images = iter(self._all[start_index:end_index, np.newaxis])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        image = next(self._images, None)
        return None if image is None else {"pixels": image}


def _together(count: int) -> int:
    """The largest number up to `_TOGETHER` that divides `count`, as ONNX Runtime demands."""
    return max(n for n in range(1, _TOGETHER + 1) if count % n == 0)


def _quantised(model: Any, images: NDArray[np.uint8]) -> Any:
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        whole, prepared, small = (os.path.join(folder, f"{name}.onnx") for name in ("whole", "prepared", "small"))
        onnx.save(model, whole)
        quant_pre_process(whole, prepared)  # folds batch normalisation into convolutions
        quantize_static(
            prepared,
            small,
            _Reader(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Not CalibMaxIntermediateOutputs, which in ONNX Runtime 1.32 throws away what it has seen.
            extra_options={"CalibStridedMinMax": _together(len(images))},
        )
        return onnx.load(small)
