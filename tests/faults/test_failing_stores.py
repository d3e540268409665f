"""Object stores that fail, in every place that uses one: what passes is tried again, what stays is one sentence.

After that, what was served is served, and the same call goes through.
`make faults FAULTS=tests/faults/test_failing_stores.py PYTEST_ARGS="-n 8"` runs all of it: it waits most of the time.
"""

import io
import shutil
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import object_store
import pytest
from broken import table

from components.base.errors import ImagegateError
from components.data import storage
from components.data.storage import archive, remote
from components.ingest import shards
from components.ingest.layouts import folders
from components.push import history, promotion, pull, rollback, versions
from components.push.manifest import PushedManifest
from pipeline import cli
from pipeline.artifacts.store import ArtifactStore

COMMAND = "make faults FAULTS=tests/faults/test_failing_stores.py"
ROOT, RUNS, IMAGES = "s3://models/served/digits", "s3://models/runs", "s3://models/images"
METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD")
LONGEST = 420.0  # seconds after which a store that fails must have been given up


@dataclass(frozen=True)
class Scene:
    """What is in the store, and on this machine.

    Attributes:
        server: URL of the server.
        folder: on this machine, for whatever is written.
        model: a model that was not pushed yet.
        output: of the runs whose stages write to the store.
        earlier, served: versions.
        image: content of the images `cat/1.png`.
    """

    server: str
    folder: Path
    model: str
    output: Path
    earlier: str
    served: str
    image: bytes

    @property
    def store(self) -> ArtifactStore:
        return ArtifactStore(RUNS, str(self.output))

    @property
    def config(self) -> str:
        return str(self.folder / "imagegate.yaml")

    def fail(self, what: str, times: int, methods: tuple[str, ...] = METHODS) -> None:
        object_store.faults(self.server, *((method, "models", times, what) for method in methods))

    def mend(self) -> None:
        object_store.faults(self.server)


def artifact(output: Path, number: int) -> None:
    folder = output / "pipeline" / "Trainer" / "model" / str(number)
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "data").write_bytes(b"weights" * number)


@pytest.fixture
def scene(server: str, tmp_path: Path, png: Callable[..., bytes]) -> Scene:
    """Two versions and a challenger, an artifact, images, and an archive of them."""
    model, output = tmp_path / "model", tmp_path / "out"
    (model / "variables").mkdir(parents=True)
    pushed = []
    for content in ("one", "two"):
        (model / "saved_model.pb").write_text(content)
        (model / "variables" / "data").write_bytes(b"weights" * 1000)
        pushed.append(versions.push(str(model), ROOT, PushedManifest(name="digits"), {"MODEL_CARD.md": b"about"}))
    (model / "saved_model.pb").write_text("beside")
    versions.push(str(model), ROOT, PushedManifest(name="digits"), compared=pushed[1].version, as_challenger=True)
    (model / "saved_model.pb").write_text("three")
    output.mkdir()
    store = ArtifactStore(RUNS, str(output))
    store.begin("digits")
    artifact(output, 1)
    store.send(f"{RUNS}/Trainer/model/1")
    artifact(output, 2)
    files = fsspec.filesystem("s3", use_listings_cache=False)
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as packed:
        for i in range(4):
            files.pipe_file(f"{IMAGES[5:]}/cat/{i}.png", png(i))
            packed.writestr(f"cat/{i}.png", png(i))
    files.pipe_file("models/images.zip", bundle.getvalue())
    (tmp_path / "imagegate.yaml").write_text(
        f"name: digits\ntask: single_label\ndata: {{root: data}}\noutput: {{folder: out, artifacts: '{RUNS}'}}\n"
        f"push: {{destination: '{ROOT}', without_thresholds: true}}\n"
    )
    (tmp_path / "data").mkdir()
    remote.filesystem(ROOT)[0].invalidate_cache()
    return Scene(server, tmp_path, str(model), output, pushed[0].version, pushed[1].version, png(1))


def _served() -> versions.Served:
    served = versions.current(ROOT)
    assert served is not None
    return served


def push_(scene: Scene) -> object:
    pushed = versions.push(scene.model, ROOT, PushedManifest(name="digits"))
    return versions.content(pushed, "saved_model.pb")


def load(scene: Scene) -> object:
    with versions.local(_served()) as folder:
        return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


def roll_back(scene: Scene) -> object:
    return rollback.roll_back(ROOT, scene.earlier, name="digits")[0].manifest.rolled_back_to == scene.earlier


def promote(scene: Scene) -> object:
    return promotion.promote(ROOT, None, name="digits")[0].manifest.name


def pull_(scene: Scene) -> object:
    return pull.pull(ROOT, str(scene.folder / "pulled"), keep=2).version == _served().version


def tidy(scene: Scene) -> object:
    removed, problem = versions.tidy(ROOT, 1)
    if problem:
        raise ImagegateError(problem)
    return removed == [scene.earlier]


def list_history(scene: Scene) -> object:
    return [entry.version in (scene.earlier, scene.served) for entry in history.read(ROOT)]


def begin(scene: Scene) -> object:
    scene.store.begin("digits")
    return True


def send(scene: Scene) -> object:
    scene.store.send(f"{RUNS}/Trainer/model/2")
    return sorted(scene.store.artifacts())


def fetch(scene: Scene) -> object:
    shutil.rmtree(scene.output / "pipeline" / "Trainer" / "model" / "1", ignore_errors=True)
    return sorted(p.name for p in Path(scene.store.fetch(f"{RUNS}/Trainer/model/1")).rglob("*"))


def clean(scene: Scene) -> object:
    code = cli.main(["clean", scene.config])
    if code:
        raise ImagegateError("see stderr")
    return sorted(scene.store.artifacts())


def list_images(scene: Scene) -> object:
    remote.filesystem(IMAGES)[0].invalidate_cache()
    return sorted(file.path for file in storage.files(IMAGES))


def read_image(scene: Scene) -> object:
    return storage.read(IMAGES, "cat/1.png") == scene.image


def ingest(scene: Scene) -> object:
    """A store that fails is no reason to leave images out."""
    remote.filesystem(IMAGES)[0].invalidate_cache()
    dataset = folders.read(IMAGES, {"train": 0.8, "eval": 0.1, "test": 0.1})
    return [item.problem for item in shards.examine(dataset.records, shards.job(dataset, 10_000))]


def read_archive(scene: Scene) -> object:
    remote.filesystem(IMAGES)[0].invalidate_cache()
    archive._state().opened.clear()
    return storage.read(f"{IMAGES}.zip", "cat/1.png") == scene.image


PLACES: dict[str, Callable[[Scene], object]] = {
    "push": push_,
    "the model that is served": load,
    "rollback": roll_back,
    "promote": promote,
    "pull": pull_,
    "removal of old versions": tidy,
    "the history of what was served": list_history,
    "begin of a run with output.artifacts": begin,
    "an artifact is stored": send,
    "an artifact is fetched": fetch,
    "clean": clean,
    "images are listed": list_images,
    "an image is read": read_image,
    "images are ingested": ingest,
    "an archive is read": read_archive,
}
# What each comes to.
EXPECTED: dict[str, object] = {
    "push": b"three",
    "the model that is served": ["MODEL_CARD.md", "imagegate.json", "saved_model.pb", "variables/data"],
    "rollback": True,
    "promote": "digits",
    "pull": True,
    "removal of old versions": True,
    "the history of what was served": [True, True],
    "begin of a run with output.artifacts": True,
    "an artifact is stored": ["pipeline/Trainer/model/1", "pipeline/Trainer/model/2"],
    "an artifact is fetched": ["data", "saved_model.pb", "variables"],
    "clean": [],
    "images are listed": [f"cat/{i}.png" for i in range(4)],
    "an image is read": True,
    "images are ingested": [""] * 4,
    "an archive is read": True,
}
FAST = {"push", "an image is read"}


def places() -> list[Any]:
    return [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in PLACES]


def attempt(action: Callable[[Scene], object], scene: Scene, capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    """What an action came to, or its sentence."""
    try:
        return action(scene), ""
    except ImagegateError as error:
        printed = capsys.readouterr().err.removeprefix("imagegate: ").strip()
        return None, printed if str(error) == "see stderr" else str(error)


def assert_mended(name: str, scene: Scene) -> None:
    """When the store answers again, what was served is served and whole, and the same call goes through."""
    scene.mend()
    remote.filesystem(ROOT)[0].invalidate_cache()
    if name not in ("push", "rollback", "promote"):
        assert _served().version == scene.served
    versions.verify(_served())
    assert PLACES[name](scene) == EXPECTED[name]
    versions.verify(_served())


@pytest.mark.parametrize("what", ["500", "503", "closed", "cut"])
@pytest.mark.parametrize("name", places())
def test_what_passes_is_tried_again(name: str, what: str, scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """Of each kind of request, the first fails; of GET, in the middle of its answer."""
    scene.fail(what, 1, ("GET",) if what == "cut" else METHODS)
    result, error = attempt(PLACES[name], scene, capsys)
    assert error == ""
    assert result == EXPECTED[name]
    versions.verify(_served())
    table.add(f"`{what}` once of each kind of request: {name}", 1, "goes through", COMMAND)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["500", "503", "cut", "closed"])
@pytest.mark.parametrize("name", PLACES)
def test_what_stays_is_one_sentence(name: str, what: str, scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.fail(what, 10**6, ("GET",) if what == "cut" else METHODS)
    began = time.monotonic()
    _, error = attempt(PLACES[name], scene, capsys)
    seconds = time.monotonic() - began
    assert error, "it went through without the store"
    assert "\n" not in error
    assert "s3://models" in error or RUNS in error, error
    assert "check the credentials and permissions" not in error, "no credentials are missing"
    assert seconds < LONGEST
    assert_mended(name, scene)
    table.add(f"`{what}` for good: {name}", 1, f"one sentence after {seconds:.0f} s; then goes through", COMMAND)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLACES)
def test_a_connection_that_is_lost_for_half_a_minute(
    name: str, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.fail("closed", 10**6)
    timer = threading.Timer(30, scene.mend)
    timer.start()
    began = time.monotonic()
    result, error = attempt(PLACES[name], scene, capsys)
    seconds = time.monotonic() - began
    timer.join()
    assert error == ""
    versions.verify(_served())
    assert result == EXPECTED[name]
    table.add(f"no connection for 30 s: {name}", 1, f"goes through after {seconds:.0f} s", COMMAND)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["push", "the model that is served", "an image is read", "an artifact is stored"])
def test_a_store_that_never_answers_is_given_up(name: str, scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.fail("silent", 10**6)
    began = time.monotonic()
    _, error = attempt(PLACES[name], scene, capsys)
    seconds = time.monotonic() - began
    assert error
    assert "\n" not in error
    assert seconds < LONGEST
    scene.mend()
    versions.verify(_served())
    table.add(f"no answer at all: {name}", 1, f"one sentence after {seconds:.0f} s", COMMAND)
