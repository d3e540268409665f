"""`imagegate backbone list` and `fetch`, and what a run says of weights that are not at hand."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.model.networks import weights
from components.model.networks.catalogue import RECOMMENDED, WEIGHTS
from pipeline import cli, config, derived

CONTENT = b"\x89HDF"
FILE = "efficientnetv2-b0_notop.h5"
Png = Callable[..., bytes]
WriteFiles = Callable[..., Path]


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keras's folder of weights, which has none; no server is there either."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv(weights.MIRROR, "http://127.0.0.1:9")
    digest = hashlib.md5(CONTENT).hexdigest()
    monkeypatch.setitem(WEIGHTS, "EfficientNetV2B0", dataclasses.replace(WEIGHTS["EfficientNetV2B0"], digest=digest))
    (tmp_path / "keras" / "models").mkdir(parents=True)
    return tmp_path / "keras" / "models"


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    return (cli.main(arguments), *capsys.readouterr())


def test_the_list_shows_what_is_here(capsys: pytest.CaptureFixture[str], models: Path) -> None:
    (models / FILE).write_bytes(CONTENT)
    (models / WEIGHTS["EfficientNetB0"].file).write_bytes(b"damaged")
    (models / WEIGHTS["MobileNet"].at((224, 224)).file).write_bytes(b"\x89HDF\r\n\x1a\n")
    code, out, _ = call(capsys, "backbone", "list")
    rows = {words[0]: words for line in out.splitlines() if len(words := line.split()) > 9}
    assert code == 0
    assert {one.name for one in RECOMMENDED} <= set(rows)
    assert rows["EfficientNetV2B0"][1:8] == ["5.9", "M", "24", "MB", "78.7", "at", "224"]
    assert (rows["EfficientNetV2B0"][-1], rows["EfficientNetB0"][-1]) == ("yes", "no")
    assert f"here: in {models}, which works without a network\nalso here: MobileNet\n" in out


def test_what_is_there_is_not_fetched_again(capsys: pytest.CaptureFixture[str], models: Path) -> None:
    (models / FILE).write_bytes(CONTENT)
    code, out, _ = call(capsys, "backbone", "fetch", "EfficientNetV2B0")
    assert code == 0
    assert out == f"{models / FILE} is there already\nnext: below training:, backbone: EfficientNetV2B0\n"


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        (
            "efficientnetv2b0",
            2,
            "no network of keras.applications; did you mean EfficientNetV2B0?",
        ),
        ("tree", 2, "'tree' is no network of keras.applications, which has ConvNeXtBase, "),
        ("EfficientNetV2B0", 1, f"/efficientnet_v2/{FILE} cannot be reached: Connection refused\n"),
    ],
)
def test_what_cannot_be_fetched(capsys: pytest.CaptureFixture[str], name: str, code: int, message: str) -> None:
    found, out, error = call(capsys, "backbone", "fetch", name)
    assert (found, out) == (code, "")
    assert message in error


@pytest.fixture
def project(tmp_path: Path, write_files: WriteFiles, png: Png) -> Callable[..., str]:
    def write(**training: Any) -> str:
        write_files(tmp_path / "images", {f"{label}/{i}.png": png(i) for i, label in enumerate(["cat", "dog"])})
        told = {"name": "pets", "task": "single_label", "data": {"root": "images"}, "push": {"destination": "served"}}
        (tmp_path / "imagegate.yaml").write_text(yaml.safe_dump(told | {"training": training}))
        return str(tmp_path / "imagegate.yaml")

    return write


@pytest.mark.parametrize("command", ["check", "run"])
def test_weights_that_are_nowhere_are_known_before_ingest(
    command: str, project: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path, models: Path
) -> None:
    code, out, error = call(capsys, command, project(backbone="EfficientNetV2B0"))
    assert (code, out) == (2, "")
    assert error == (
        "imagegate: training.weights: the ImageNet weights of EfficientNetV2B0 are not on this machine: "
        f"http://127.0.0.1:9/tensorflow/keras-applications/efficientnet_v2/{FILE} cannot be reached: Connection "
        f"refused; on a machine with a network, run `imagegate backbone fetch EfficientNetV2B0` and copy {FILE} to "
        f"{models}, or set weights: null, or take the path of a .keras file as training.backbone\n"
    )
    assert not (tmp_path / "runs").exists()


def test_a_search_needs_the_weights_of_what_it_tries(project: Callable[..., str]) -> None:
    path = project()
    told = yaml.safe_load(Path(path).read_text())
    told |= {"tuning": {"over": {"backbone": ["small", "EfficientNetV2B0", "VGG16"]}}}
    Path(path).write_text(yaml.safe_dump(told))
    assert config.load(path).imagenet == ("EfficientNetV2B0", "VGG16")
    assert config.load(path, ["training.weights=null"]).imagenet == ()


def test_the_cache_key_follows_the_content_of_the_weights(project: Callable[..., str], models: Path) -> None:
    loaded = config.load(project(backbone="EfficientNetV2B0"))
    assert derived.files(loaded).backbone == hashlib.md5(CONTENT).hexdigest()  # not there yet, as in a pod
    (models / FILE).write_bytes(CONTENT)
    assert derived.files(loaded).backbone == hashlib.sha256(CONTENT).hexdigest()
    (models / FILE).write_bytes(b"other")
    assert derived.files(loaded).backbone == hashlib.sha256(b"other").hexdigest()
    assert derived.files(config.load(project(backbone="EfficientNetV2B0", weights=None))).backbone == ""
