"""Fixtures that all tests share, and the distribution of the tests over processes."""

import gc
import io
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported anywhere

ROOT = Path(__file__).parent.parent

# The same examples every time: what passes here passes there. No deadline, since other jobs share the processors.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True, max_examples=60, database=None)
hypothesis.settings.load_profile("tests")

# Fixtures that train a demo of a minute or more. Their tests stay in one process, so that each is trained once.
TRAINED = ("demo", "regions", "shapes")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups the tests for `--dist loadgroup`; `--no-loadscope-reorder` then hands the groups out in this order.

    Tests of one trained demo are a group, and so are the other tests of each file. The groups of whole pipelines come
    first: they take minutes, so the short ones at the end keep all processes busy until the last.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    for item in items:
        # The scheduler reads the group behind the "@" of the id. The marker xdist_group would put it there, but
        # pytest-xdist 3.8 writes it into an attribute that pytest 9.2 no longer reads, so that no group held.
        named = f"{item.nodeid}@{_trained(item) or item.path.relative_to(ROOT)}"
        item._id = type(item._id).parse(named)
        assert item.nodeid == named
    groups = (*TRAINED, None)
    items.sort(key=lambda item: (groups.index(_trained(item)), item.get_closest_marker("end_to_end") is None))


def pytest_collection_finish() -> None:
    """Keeps the garbage collector from the millions of objects that the imported libraries consist of.

    It would go through all of them again and again, which takes a tenth of the time that tracing a network takes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says which files take the time, since the whole run has to stay short."""
    seconds: Counter[str] = Counter()
    for report in itertools.chain.from_iterable(terminalreporter.stats.values()):
        if isinstance(report, pytest.TestReport):
            seconds[report.location[0]] += report.duration
    if seconds.total() > 600:
        terminalreporter.section("slowest files")
        for name, duration in seconds.most_common(40):
            terminalreporter.write_line(f"{duration:6.0f} s  {name}")
        terminalreporter.write_line(f"{seconds.total():6.0f} s  all {len(seconds)} files")


def _trained(item: pytest.Item) -> str | None:
    """The trained demo that a test takes, as a fixture or by a parameter with its name."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    names = {*getattr(item, "fixturenames", ()), *(value for value in parameters if isinstance(value, str))}
    return next((name for name in TRAINED if name in names), None)


@pytest.fixture(scope="session")
def real_images() -> Path:
    """The folder of real images, which no checkout contains: their licences do not allow it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real images is not here: ../shared/data")
    return folder


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    """`png(7)` is a PNG of 6 x 4 random pixels that no other number gives."""

    def make(seed: int, width: int = 6, height: int = 4) -> bytes:
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG")
        return out.getvalue()

    return make


@pytest.fixture(scope="session")
def undecided() -> Callable[[Any], Any]:
    """`undecided(parts)`: what decides for a network without changing its answers; a label applies from 0.5 on."""
    from components.model import decisions, familiarity
    from components.model.networks import network

    def make(parts: Any) -> decisions.Decisions:
        classes, width = parts.model.output.shape[-1], network.pooled(parts.extractor.output).shape[-1]
        rows = np.random.default_rng(0).normal(size=(3, width))
        reference = familiarity.fit(rows, rows)
        ones = np.ones(classes)
        return decisions.Decisions(
            scale=ones, bias=ones * 0, thresholds=ones / 2, reference=reference, abstain_below=0.0
        )

    return make


@pytest.fixture(scope="session")
def write_files() -> Callable[[Path, Mapping[str, bytes]], Path]:
    """`write_files(root, {"cat/1.png": b"…"})` writes files and the folders they need; returns the root."""

    def write(root: Path, files: Mapping[str, bytes]) -> Path:
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return root

    return write


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    import object_store

    with object_store.served(Path(tmp_path_factory.mktemp("s3")) / "log") as url:
        yield url


@pytest.fixture
def server(_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of an S3 server whose bucket `models` is empty; this process and its children use it."""
    import fsspec
    import object_store

    for name, value in (object_store.ENVIRONMENT | {"AWS_ENDPOINT_URL": _server}).items():
        monkeypatch.setenv(name, value)
    object_store.faults(_server)
    s3 = fsspec.get_filesystem_class("s3")
    s3.clear_instance_cache()
    yield _server
    object_store.faults(_server)
    files = fsspec.filesystem("s3", use_listings_cache=False)
    for path in files.find("models"):
        files.rm_file(path)
    s3.clear_instance_cache()


@pytest.fixture
def s3(server: str) -> str:
    """URL of a destination on that server."""
    return "s3://models/served/digits"


@pytest.fixture(scope="session")
def dark_and_light(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Images of 8 x 8 pixels, dark and light, as the stages before the Trainer leave them: a `Prepared`."""
    from prepared import prepare

    from components.ingest.layouts import folders

    counts_of = {"train": (12, 6), "eval": (4, 4), "test": (2, 2)}  # images of dark, of light
    base, random = tmp_path_factory.mktemp("dark_and_light"), np.random.default_rng(0)
    for split, counts in counts_of.items():
        for label, low, count in zip(("dark", "light"), (0, 150), counts, strict=True):
            (base / "images" / split / label).mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(low, low + 100, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(base / "images" / split / label / f"{i}.png")
    dataset = folders.read(str(base / "images"), {"train": 0.8, "eval": 0.1, "test": 0.1})
    return prepare(base, "single_label", dataset)


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of a convolution with four filters and its batch normalisation, for images of any size."""
    import keras

    keras.utils.set_random_seed(0)
    pixels = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(keras.layers.Rescaling(1 / 255)(pixels))
    path = str(tmp_path_factory.mktemp("backbone") / "backbone.keras")
    keras.Model(pixels, keras.layers.BatchNormalization(name="norm")(x)).save(path)
    return path
