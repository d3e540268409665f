"""Conversion to OpenVINO's format; 8-bit integers by NNCF's quantisation after training."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.exports.runtimes import KEY

if TYPE_CHECKING:
    from components.exports.convert import Source


def write(source: Source, calibration: NDArray[np.uint8] | None, path: str) -> None:
    """Converts a model; see `litert.write`. The weights are written beside `path`, with the ending `.bin`."""
    # Without this package, no conversion is reported to the maker of OpenVINO.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    model = openvino.convert_model(source.function)
    if calibration is not None:
        import nncf

        images = [calibration[i : i + 1] for i in range(len(calibration))]
        model = nncf.quantize(model, nncf.Dataset(images), subset_size=len(images))
    model.set_rt_info(source.metadata.to_json(), [KEY])
    openvino.save_model(model, path, compress_to_fp16=False)
