"""The batching of a server, chosen from how many images a second the model answers in requests of several sizes.

TensorFlow Serving reads the text of a `BatchingParameters` message, and joins the requests of several clients so:
https://github.com/tensorflow/serving/blob/master/tensorflow_serving/batching/README.md
"""

from __future__ import annotations

import math
from collections.abc import Mapping

_ENOUGH = 0.95  # of the best throughput, for which nobody should wait longer. Chosen by hand; not measured.
_LARGEST_REQUEST = 1024  # images; larger ones are refused. Chosen by hand; not measured.
_WAITING = 4  # of the largest requests may wait, which bounds how long. Chosen by hand; not measured.

_TEXT = """\
# Written by imagegate for --batching_parameters_file, or --enable_per_model_batching_parameters.
# Images a second in one request at a time, on the machine that checked this model, with {cores} cores:
{measured}
# {size} is the smallest size with {enough:.0%} of the best. A batch waits for no further request (timeout 0): while the
# server is busy, requests come together without that.
max_execution_batch_size {{ value: {size} }}
batch_timeout_micros {{ value: 0 }}
# A client may send more images in one request, which are answered in several batches.
enable_large_batch_splitting {{ value: true }}
max_batch_size {{ value: {largest} }}
max_enqueued_batches {{ value: {waiting} }}
"""


def size(seconds: Mapping[int, float]) -> int:
    """The smallest number of images with nearly the best throughput.

    Args:
        seconds: images of a request -> how long it takes.

    >>> size({1: 0.010, 2: 0.012, 4: 0.020, 8: 0.039})  # 100, 167, 200 and 205 images a second
    4
    """
    throughput = {images: images / duration for images, duration in seconds.items()}
    best = max(throughput.values())
    return min(images for images, found in throughput.items() if found >= _ENOUGH * best)


def text(seconds: Mapping[int, float], cores: int) -> str:
    """The text of the message.

    The number of threads is left to the server, which takes that of its own cores.

    Args:
        seconds: images of a request -> how long it takes.
        cores: of the machine on which that was measured.
    """
    chosen = size(seconds)
    return _TEXT.format(
        cores=cores,
        measured="\n".join(f"#   {n:>4} images: {n / seconds[n]:,.1f}" for n in sorted(seconds)),
        size=chosen,
        enough=_ENOUGH,
        largest=_LARGEST_REQUEST,
        waiting=_WAITING * math.ceil(_LARGEST_REQUEST / chosen),
    )
