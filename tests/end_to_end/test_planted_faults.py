"""Faults planted in real photos are caught by name; chance is not taken for a fault."""

import copy
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from faults import FAULTS, SETS
from projects import Project

from components.base.artifact_files import KNOWN_IMAGES
from components.data.manifest import KnownData
from components.gates import data_gate
from components.gates.data_rules.base import GateInput
from components.gates.judge import failed
from components.gates.reference import Reference, remember
from components.ingest import settling, shards
from components.ingest.counts import census
from components.push import versions
from components.push.manifest import PushedManifest
from pipeline import cli, config
from pipeline.runs import data

pytestmark = [pytest.mark.end_to_end, pytest.mark.real_images]

Served = Callable[[str, Path], tuple[Path, Any]]


def counted(settings: config.Config) -> tuple[dict[str, Any], census.Images]:
    """As `imagegate check` counts."""
    dataset, rule = data.read_dataset(settings)
    job = shards.job(dataset, settings.data.max_pixels, rule, settings.data.bits)
    report = census.Report()
    for item in shards.examine(dataset.records, job):
        shards.enter(item, report)
    return settling.merge(dataset, [report], job, settings.source.near)


def write(folder: Path, told: dict[str, Any]) -> config.Config:
    told = copy.deepcopy(told) | {"push": {"destination": "served"}}
    (folder / "imagegate.yaml").write_text(yaml.safe_dump(told))
    return config.load(str(folder / "imagegate.yaml"))


@pytest.fixture(scope="module", params=SETS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def pushed(kind: Any, real_images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[PushedManifest, bytes]:
    """What a model that was trained on the sound data keeps of them."""
    folder = tmp_path_factory.mktemp(kind.__name__)
    kind(real_images, folder)
    kept, content = remember(*counted(write(folder, kind.config)))
    return PushedManifest(task=kind.config["task"], labels=kept.labels, data=kept), content


def serve(folder: Path, pushed: tuple[PushedManifest, bytes]) -> None:
    """Puts a version with that memory where the configuration looks for the served model."""
    (folder / "model").mkdir()
    (folder / "model" / "saved_model.pb").write_bytes(b"the data gate does not load it")
    versions.push(str(folder / "model"), str(folder / "served"), pushed[0], {KNOWN_IMAGES: pushed[1]})


def test_sound_data_pass(kind: Any, pushed: Any, real_images: Path, tmp_path: Path) -> None:
    kind(real_images, tmp_path)
    write(tmp_path, kind.config)
    serve(tmp_path, pushed)
    assert cli.main(["check", str(tmp_path / "imagegate.yaml")]) == 0


@pytest.mark.parametrize(
    "fault",
    [pytest.param(fault, marks=[] if fault in ("relabel", "leak") else pytest.mark.slow) for fault in FAULTS],
)
def test_a_planted_fault_is_caught_by_name(
    kind: Any, fault: str, pushed: Any, real_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = kind(real_images, tmp_path)
    data.config = copy.deepcopy(kind.config)
    getattr(data, fault)()
    write(tmp_path, data.config)
    serve(tmp_path, pushed)
    assert cli.main(["check", str(tmp_path / "imagegate.yaml")]) == 3
    out = capsys.readouterr().out
    assert re.search(f"refused: .*{FAULTS[fault][SETS.index(kind)]}", out), out


def test_a_run_gives_the_same_reasons_as_check_and_pushes_nothing(
    kind: Any, pushed: Any, real_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = kind(real_images, tmp_path)
    data.relabel()
    data.darken()
    write(tmp_path, kind.config)
    serve(tmp_path, pushed)
    project = Project(tmp_path, kind.config["name"])
    served = {p: p.read_bytes() for p in (tmp_path / "served").rglob("*") if p.is_file()}
    found = project.run()
    assert (found["status"], found["exit_code"]) == ("data_rejected", 3)
    assert {p: p.read_bytes() for p in (tmp_path / "served").rglob("*") if p.is_file()} == served

    assert cli.main(["check", project.config]) == 3
    said = [line.removeprefix("refused: ") for line in capsys.readouterr().out.splitlines() if "refused: " in line]
    assert said == found["error"].splitlines()
    assert len(said) >= 3


@pytest.mark.slow
def test_ten_random_samples_of_four_fifths_pass(kind: Any, real_images: Path, tmp_path: Path) -> None:
    """Each against the one before. With few photos of a label, a sample may fall short of `min_examples` in truth."""
    kind(real_images, tmp_path)
    settings = write(tmp_path, kind.config)
    dataset, rule = data.read_dataset(settings)
    job = shards.job(dataset, settings.data.max_pixels, rule, settings.data.bits)
    examined = list(shards.examine(dataset.records, job))
    limits = settings.data_gate_limits
    before = None
    for seed in range(11):
        report = census.Report()
        for item in random.Random(seed).sample(examined, len(examined) * 4 // 5):
            shards.enter(item, report)
        manifest, images = settling.merge(dataset, [report], job, settings.source.near)
        refused = failed(data_gate.check(GateInput(manifest, images, before), limits))
        short = [label for label, n in manifest.label_counts.items() if n["train"] < settings.balance.min_examples]
        gone = [label for label, n in manifest.label_counts.items() if not n["eval"] or not n["test"]]
        assert {v.label for v in refused} <= {*short, *gone}, [v.reason for v in refused]
        assert all("number of examples in" in v.rule for v in refused)
        kept, content = remember(manifest, images)
        before = read_back(kept, content)


def read_back(kept: KnownData, content: bytes) -> Reference:
    import io

    import numpy as np

    return Reference("1", kept, np.load(io.BytesIO(content), allow_pickle=False))
