"""What an exported file says of itself, as JSON in its own metadata under the key `imagegate`."""

from __future__ import annotations

from pydantic import Field

from components.base.values import Sparse

FORMAT = 1

_PREPROCESSING = (
    "RGB from 0 to 255, upright; resized to image_size, whatever the aspect ratio, as tf.image.resize does: bilinear, "
    "with antialias=True where a side shrinks by 2 or more; then rounded. The model normalises by itself."
)


class Calibration(Sparse):
    """How the network's output for one label became its probability; the file has done it already."""

    scale: float
    bias: float


class Metadata(Sparse):
    """Everything that is needed to ask an exported file and to understand its answers."""

    format: int = Field(FORMAT, description="of this metadata")
    name: str = Field(description="of the configuration")
    task: str = Field(description="of the configuration")
    labels: tuple[str, ...] = Field(description="in the order of the outputs")
    thresholds: tuple[float, ...] = Field(description="probability from which each label is taken to apply")
    calibration: tuple[Calibration, ...] = Field(description="of each label; applied already")
    image_size: tuple[int, int] = Field(description="height and width of the input `pixels`, uint8 [batch, H, W, 3]")
    bits: int | None = Field(None, description="`data.bits`: of the values in images of 16 bits")
    preprocessing: str = Field(_PREPROCESSING, description="what to do with an image before")
    model: str = Field("", description="identity of the SavedModel that was converted, as in the manifest")
