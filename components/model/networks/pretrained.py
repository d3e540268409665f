"""Pretrained backbones: a short list of good ones, and their weights in Keras's cache. Needs no TensorFlow.

The weights are those of `keras.applications` without a head, under the names, addresses and digests that Keras states,
so that Keras finds them in its cache and checks them again.
"""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from dataclasses import dataclass

from components.base import progress
from components.base.errors import ConfigError, ImagegateError
from components.base.files import replacing

ADDRESS = "IMAGEGATE_WEIGHTS_URL"  # environment variable: a server with the same paths as Keras's
_SERVER = "https://storage.googleapis.com"
_HOME = "KERAS_HOME"
_SECONDS = 30.0  # without an answer
_BLOCK = 1 << 20
_MD5 = 32  # hexadecimal digits; Keras states MD5 or SHA-256


@dataclass(frozen=True)
class Pretrained:
    """Weights that were trained on ImageNet.

    Attributes:
        name: of the network in `keras.applications`.
        path: of the file on the server.
        digest: hexadecimal MD5 or SHA-256 of the file.
        megabytes: of the weights.
        accuracy: share of ImageNet's validation images that are answered correctly, as its authors or Keras state it.
        speed: images per second relative to MobileNetV3Small, on one core at 224 x 224 pixels; see
            `benchmarks.backbones`.
        licence: of the weights, as their authors state it.
    """

    name: str
    path: str
    digest: str
    megabytes: int
    accuracy: float
    speed: float
    licence: str

    @property
    def file(self) -> str:
        """Name of the file, in Keras's cache as well."""
        return self.path.rpartition("/")[2]


_MOBILE = "tensorflow/keras-applications/mobilenet_v3/weights_mobilenet_v3_{}_224_1.0_float_no_top_v2.h5"
_B0 = "keras-applications/efficientnetb0_notop.h5"
_V2 = "tensorflow/keras-applications/efficientnet_v2/efficientnetv2-{}_notop.h5"
_CONVNEXT = "tensorflow/keras-applications/convnext/convnext_tiny_notop.h5"
_CONVNEXT_DIGEST = "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1"
_FREE = "Apache-2.0"
LISTED = (
    Pretrained("MobileNetV3Small", _MOBILE.format("small"), "d3e8ec802a04aa4fc771ee12a9a9b836", 4, 0.681, 1.0, _FREE),
    Pretrained("MobileNetV3Large", _MOBILE.format("large"), "07fb09a5933dd0c8eaafa16978110389", 12, 0.756, 0.44, _FREE),
    Pretrained("EfficientNetB0", _B0, "50bc09e76180e00e4465e1a485ddc09d", 17, 0.771, 0.22, _FREE),
    Pretrained("EfficientNetV2B0", _V2.format("b0"), "893217f2bb855e2983157299931e43ff", 24, 0.787, 0.20, _FREE),
    Pretrained("EfficientNetV2B1", _V2.format("b1"), "0e80663031ca32d657f9caa404b6ec37", 28, 0.798, 0.16, _FREE),
    Pretrained("EfficientNetV2B2", _V2.format("b2"), "1dfe2e7a5d45b6632553a8961ea609eb", 36, 0.805, 0.13, _FREE),
    Pretrained("EfficientNetV2B3", _V2.format("b3"), "f6abf7b5849ac99a89b50dd3fd532856", 52, 0.820, 0.10, _FREE),
    Pretrained("EfficientNetV2S", _V2.format("s"), "af0682fb74e8c54910f2d4393339c070", 82, 0.839, 0.06, _FREE),
    Pretrained("ConvNeXtTiny", _CONVNEXT, _CONVNEXT_DIGEST, 112, 0.813, 0.01, "MIT"),
)
BY_NAME = {each.name: each for each in LISTED}


def folder() -> str:
    """The folder of Keras's cache that holds weights."""
    home = os.path.expanduser("~")
    home = home if os.access(home, os.W_OK) else "/tmp"  # noqa: S108 - as Keras does
    return os.path.join(os.path.expanduser(os.environ.get(_HOME) or os.path.join(home, ".keras")), "models")


def path(network: Pretrained) -> str:
    """Where Keras looks for the weights."""
    return os.path.join(folder(), network.file)


def is_there(network: Pretrained) -> bool:
    """Whether the cache holds the weights, unchanged."""
    try:
        return _digest(network, path(network)) == network.digest
    except OSError:
        return False


def fetch(network: Pretrained) -> str:
    """Downloads the weights to Keras's cache, unless they are there; returns their path.

    Raises:
        ImagegateError: they cannot be downloaded, differ from what Keras states, or cannot be written.
    """
    if is_there(network):
        return path(network)
    server = (os.environ.get(ADDRESS) or _SERVER).rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise ConfigError(f"{ADDRESS}: expected an address that begins with https:// or http://, got {server!r}")
    address = f"{server}/{network.path}"
    try:
        os.makedirs(folder(), exist_ok=True)
        with replacing(path(network)) as temporary:
            _download(address, temporary, network)
            found = _digest(network, temporary)
            if found != network.digest:
                raise ImagegateError(
                    f"{address} is not what Keras states: expected the digest {network.digest}, got {found}; "
                    "nothing was kept"
                )
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", None) or error.strerror or error
        raise ImagegateError(f"{address} cannot be fetched: {reason}") from None
    return path(network)


def ensure(name: str) -> None:
    """Has the weights of a listed network in Keras's cache before anything needs them.

    Raises:
        ConfigError: they are not there and cannot be fetched; it says what else is possible.
    """
    network = BY_NAME.get(name)
    if network is None:
        return
    try:
        fetch(network)
    except ImagegateError as error:
        raise ConfigError(
            f"training.backbone: the weights of {name} are not on this machine, and {error}. Run imagegate backbone "
            f"fetch {name} where the network reaches them and copy {network.file} to {folder()}, or choose weights: "
            "null or the path of a .keras file"
        ) from None


def _download(address: str, target: str, network: Pretrained) -> None:
    # The address begins with http.
    with urllib.request.urlopen(address, timeout=_SECONDS) as answer, open(target, "wb") as f:  # noqa: S310
        size, done = int(answer.headers.get("Content-Length") or 0), 0
        while block := answer.read(_BLOCK):
            f.write(block)
            done += len(block)
            progress.report(f"fetching {network.name}", done / 1e6, size / 1e6 or None, "MB")
        if done < size:
            raise OSError(f"the connection ended after {done} of {size} bytes")


def _digest(network: Pretrained, file: str) -> str:
    told = hashlib.md5(usedforsecurity=False) if len(network.digest) == _MD5 else hashlib.sha256()
    with open(file, "rb") as f:
        while block := f.read(_BLOCK):
            told.update(block)
    return told.hexdigest()
