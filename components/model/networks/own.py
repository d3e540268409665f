"""A network of the user's own: `training.module`, a Python file whose function `build` returns a Keras model.

It is code, so it runs only where a network is built: in the Trainer and the Tuner. What can be seen without running it
is checked before, see `pipeline.config.backbones`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from components.base.errors import ConfigError, OwnCodeError, print_trace
from components.base.text import truncated_list

FUNCTION = "build"
_RANKS = {4: "feature maps [batch, h, w, channels]", 2: "pooled features [batch, features]"}
_TOLERANCE = 1e-3  # of features that are computed in another batch, relative to the largest


@dataclass(frozen=True)
class Request:
    """What `build` is given, to make the network from.

    Attributes:
        image_size: height and width in pixels.
        labels: their names.
        task: such as "single_label".
        seed: of all random choices; Keras's global seed is set to it already.
    """

    image_size: tuple[int, int]
    labels: tuple[str, ...]
    task: str
    seed: int


def build(path: str, request: Request, *, maps: bool) -> keras.Model:
    """Runs the file, has its function build the network, and tries that on two batches.

    Args:
        path: of the file.
        request: for the function.
        maps: whether the network must give feature maps that a decoder can find, for masks.

    Returns:
        images float32 [batch, H, W, 3] with values from 0 to 255 -> feature maps, or pooled features.

    Raises:
        OwnCodeError: the code broke; its trace is printed.
        ConfigError: the network is not as described.
    """
    with _broken(path, "it cannot be run"):
        spec = importlib.util.spec_from_file_location("imagegate_own_model", path)
        if spec is None or spec.loader is None:
            raise ImportError("it is no Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    function = getattr(module, FUNCTION, None)
    if not callable(function):
        raise ConfigError(f"training.module: {path} has no function {FUNCTION}(settings)")
    with _broken(path, f"{FUNCTION} broke"):
        network = function(request)
    _check(network, path, request, maps=maps)
    return network


@contextlib.contextmanager
def _broken(path: str, what: str) -> Iterator[None]:
    """Turns an exception of the user's code into one sentence; the trace is printed, which is to the log in a run."""
    try:
        yield
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever the code does
        print_trace()
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        line = f", line {lines[-1]}" if lines else ""
        first = next((text.strip() for text in str(error).splitlines() if text.strip()), "no message")
        raise OwnCodeError(f"training.module: {path}{line}: {what}: {type(error).__name__}: {first}") from None


def _check(network: Any, path: str, request: Request, *, maps: bool) -> None:
    """Tries the network on two batches of random images, of two and of three; its weights stay as they are."""
    where = f"training.module: {path}: the network that {FUNCTION} returned"
    if not isinstance(network, keras.Model):
        raise ConfigError(f"{where} is of the type {type(network).__name__}; expected a keras.Model")
    if maps and not getattr(network, "inputs", None):
        raise ConfigError(
            f"{where} shows no layers; for masks, expected a functional one, keras.Model(inputs, outputs)"
        )
    shape = (3, *request.image_size, 3)
    images = np.random.default_rng(request.seed).uniform(0, 255, shape).astype(np.float32)
    with _broken(path, f"the network does not take images float32 {list(shape)}"):
        three, two = _once(lambda: (network(images, training=False), network(images[:2], training=False)))
        before = network.get_weights()
        learning, unreached = _once(lambda: _learning(network, images))
        network.set_weights(before)
    for found, size in ((three, 3), (two, 2), (learning, 3)):
        _check_features(found, size, where, maps=maps)
    alone, together = _numbers(two), _numbers(three)[:2]
    if np.abs(alone - together).max() > _TOLERANCE * max(1.0, float(np.abs(alone).max())):
        raise ConfigError(
            f"{where} answers an image differently when other images are in its batch; expected the same answer"
        )
    if unreached:
        raise ConfigError(
            f"{where} has trainable weights that its output does not depend on: {truncated_list(unreached)}; remove "
            "them, or make their layers not trainable"
        )


def _once(call: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any]:
    """What the call returns on the first device; a network on several devices answers only on each of them."""
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    one, other = strategy.run(call)
    return strategy.experimental_local_results(one)[0], strategy.experimental_local_results(other)[0]


def _check_features(found: Any, size: int, where: str, *, maps: bool) -> None:
    expected = _RANKS[4] if maps else " or ".join(_RANKS.values())
    shape = getattr(found, "shape", None)
    if shape is None or len(shape) not in _RANKS or (maps and len(shape) != 4) or shape[0] != size:
        came = f"the type {type(found).__name__}" if shape is None else f"the shape {list(shape)}"
        raise ConfigError(f"{where} answers {size} images with {came}; expected {expected}")
    dtype = keras.backend.standardize_dtype(found.dtype)
    if "float" not in dtype:
        raise ConfigError(f"{where} answers with numbers of the type {dtype}; expected floating point")
    if not np.isfinite(_numbers(found)).all():
        raise ConfigError(f"{where} answers random images with infinite numbers or NaN; expected finite ones")


def _learning(network: keras.Model, images: NDArray[np.float32]) -> tuple[Any, list[str]]:
    """Returns the output while training, and the names of trainable weights without a gradient."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        found = network(images, training=True)
        loss = sum(keras.ops.sum(keras.ops.cast(part, "float32")) for part in keras.tree.flatten(found))
    weights = network.trainable_variables
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    return found, [weight.path for weight, one in zip(weights, gradients, strict=True) if one is None]


def _numbers(found: Any) -> NDArray[np.float32]:
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(found, "float32")))
