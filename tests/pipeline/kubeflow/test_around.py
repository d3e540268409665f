"""The tasks around the graph: what cache keys follow, and how a refusal ends a run."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from components.base.artifact_files import SERVING, VERDICTS
from components.base.errors import ConfigError
from components.base.verdict import Verdict
from components.data import known_images
from components.data.manifest import Assigned, KnownData, PropertyHistograms
from components.gates.errors import DataRejected, ModelRefused
from components.gates.judge import Rule, judge
from components.ingest import earlier
from components.ingest.counts import census
from components.push import versions
from components.push.manifest import PushedManifest
from pipeline import config
from pipeline.kubeflow import around
from pipeline.stages import MODEL_GATE

Write = Callable[[Path, Mapping[str, bytes]], Path]
Preflight = Callable[..., dict[str, str]]


@pytest.fixture
def preflight(tmp_path: Path, write_files: Write, png: Callable[..., bytes]) -> Preflight:
    """Runs it as the task does, over two images; `sections` are the configuration's."""
    write_files(tmp_path / "images", {"cat/1.png": png(1), "dog/1.png": png(2)})

    def run(data_root: str = "", data_version: str = "", epochs: int = 1, **sections: Any) -> dict[str, str]:
        told = {
            "name": "pets",
            "task": "single_label",
            "data": {"root": "/elsewhere"},
            "push": {"destination": "served"},
        }
        raw = config.validated(told | sections | {"folder": str(tmp_path)})
        unset = raw.model_dump(mode="json", exclude_unset=True) | {"folder": str(tmp_path)}
        return around.preflight(json.dumps(unset), data_root or str(tmp_path / "images"), data_version, epochs)

    return run


def test_the_fingerprint_follows_the_data(preflight: Preflight, tmp_path: Path, png: Callable[..., bytes]) -> None:
    first = preflight()
    nothing = {"served_version": "", "earlier_splits": "", "files_version": ""}
    assert first == {"data_fingerprint": first["data_fingerprint"], **nothing}
    assert preflight() == first
    (tmp_path / "images" / "cat" / "2.png").write_bytes(png(3))
    assert preflight()["data_fingerprint"] != first["data_fingerprint"]


def test_a_given_version_replaces_the_fingerprint(preflight: Preflight) -> None:
    assert preflight(data_version="2025-01")["data_fingerprint"] == "2025-01"


def test_the_version_served_now_is_read(preflight: Preflight, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"a")
    served = versions.push(str(tmp_path / "model"), str(tmp_path / "served"), PushedManifest())
    assert preflight()["served_version"] == served.version


def test_the_splits_of_the_served_model_count_only_where_other_data_follow(
    preflight: Preflight, tmp_path: Path, png: Callable[..., bytes]
) -> None:
    first = preflight()
    rows = np.zeros(1, census.ROW)
    settings = config.validated(
        {"name": "pets", "task": "single_label", "folder": str(tmp_path)}
        | {"data": {"root": str(tmp_path / "images")}, "push": {"destination": "served"}}
    )
    assigned = Assigned(
        fractions={"train": 0.8, "eval": 0.1, "test": 0.1},
        origin=earlier.origin(settings.source, first["data_fingerprint"]),
        earlier=first["earlier_splits"],
    )
    data = KnownData(counts={}, label_counts={}, unknown={}, pixels={}, properties=PropertyHistograms())
    manifest = PushedManifest(name="pets", task="single_label", data=data.model_copy(update={"assigned": assigned}))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"a")
    beside = {"images.npy": known_images.to_bytes(rows)}
    version = versions.push(str(tmp_path / "model"), str(tmp_path / "served"), manifest, beside).version
    assert preflight() == first | {"served_version": version}  # so nothing is ingested again
    (tmp_path / "images" / "cat" / "2.png").write_bytes(png(3))
    later = preflight()
    assert later["earlier_splits"] != ""
    assert preflight() == later


def test_the_model_of_another_configuration_is_not_replaced_unless_it_is_taken_over(
    preflight: Preflight, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    served = versions.push(str(tmp_path / "model"), str(tmp_path / "served"), PushedManifest(name="birds"))
    with pytest.raises(ConfigError, match=f"version {served.version}, .* was pushed by 'birds', and .* is 'pets'"):
        preflight()
    assert preflight(push={"destination": "served", "take_over": True})["served_version"] == served.version


def test_files_beside_the_data_have_a_version(
    preflight: Preflight, tmp_path: Path, write_files: Write, png: Callable[..., bytes]
) -> None:
    write_files(tmp_path, {"b.keras": b"a", "other/1.png": png(4)})
    sections: dict[str, Any] = {"training": {"backbone": "b.keras"}, "evaluation": {"out_of_distribution": "other"}}
    first = preflight(**sections)["files_version"]
    write_files(tmp_path, {"b.keras": b"ab"})
    second = preflight(**sections)["files_version"]
    write_files(tmp_path, {"other/2.png": png(5)})
    assert len({"", first, second, preflight(**sections)["files_version"]}) == 4


def test_a_folder_without_an_image_is_refused(preflight: Preflight, tmp_path: Path) -> None:
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    with pytest.raises(DataRejected):
        preflight(str(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("root", "sections", "message"),
    [
        ("/none", {}, "data.root: /none does not exist"),
        ("", {"training": {"label_weights": {"cow": 2.0}}}, "training.label_weights: unknown label 'cow'"),
        ("served", {}, "push.destination: .* must not be data.root"),
        ("", {"training": {"backbone": "none.keras"}}, "training.backbone: .*none.keras does not exist"),
    ],
)
def test_contradictory_settings_are_named(
    preflight: Preflight, root: str, sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        preflight(root, **sections)


def test_a_root_of_this_run_that_holds_the_models_is_refused(preflight: Preflight, tmp_path: Path) -> None:
    """Ingest was compiled for a root without them, so it would take them for data."""
    with pytest.raises(ConfigError, match=r"^data_root: .* holds .*/served \(push\.destination\), which the compiled"):
        preflight(str(tmp_path))


def test_zero_epochs_are_refused(preflight: Preflight) -> None:
    with pytest.raises(ConfigError, match="epochs: expected 1 or more, or freeze_epochs"):
        preflight(epochs=0)


ACCURATE = Rule(gate="model_gate", metric="accuracy", minimum=0.5)


def test_a_model_that_is_served_passes() -> None:
    around.model_gate([], "3", None)


@pytest.mark.parametrize(
    ("verdicts", "not_pushed", "message"),
    [
        ([judge(ACCURATE, 0.9), judge(ACCURATE, 0.1)], None, "^accuracy is 0.1, below the minimum 0.5$"),
        ([], "it was withdrawn", "^it was withdrawn$"),
        ([], "", "^no threshold is configured"),
    ],
)
def test_a_refusal_says_why(verdicts: list[Verdict], not_pushed: str | None, message: str) -> None:
    with pytest.raises(ModelRefused, match=message) as caught:
        around.model_gate(verdicts, "", not_pushed)
    assert caught.value.exit_code == 4


def test_a_report_that_cannot_be_read_does_not_decide_how_the_run_ends(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / VERDICTS).write_text("[]")
    (tmp_path / SERVING).write_text("[]")
    properties = {"pushed_version": "3", "not_pushed": ""}
    artifact = SimpleNamespace(uri=str(tmp_path), get_string_custom_property=properties.get)
    inputs = {key: [artifact] for key in ("evaluation", "serving_check", "pushed_model", "report")}
    assert around.run(MODEL_GATE.name, {}, inputs) == {}  # the folder holds no summary
    assert capfd.readouterr().err == "warning: the outcome cannot be read or told: FileNotFoundError\n"
