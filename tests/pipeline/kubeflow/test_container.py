"""The entry point in the container: from what the backend says to TFX's objects, and back."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.base.errors import ImagegateError
from pipeline.kubeflow import artifacts, container

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("uri", "path"),
    [("minio://bucket/a/b", "/minio/bucket/a/b"), ("s3://bucket/a", "/s3/bucket/a"), ("gs://b/c", "/gcs/b/c")],
)
def test_the_launcher_keeps_each_scheme_at_a_path(uri: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(artifacts.STAGING, raising=False)
    assert artifacts.local(uri) == path
    monkeypatch.setenv(artifacts.STAGING, "/tmp/x")
    assert artifacts.local(uri) == f"/tmp/x{path}"


@pytest.mark.parametrize("uri", ["https://x/a", "/minio/a", "oci://a", ""])
def test_paths_that_the_launcher_would_not_upload_are_refused(uri: str) -> None:
    with pytest.raises(ImagegateError, match="expected an artifact at one of minio://, s3://, gs://"):
        artifacts.local(uri)


def test_whole_numbers_come_as_doubles() -> None:
    told = {"inputs": {"parameterValues": {"keep": 5.0, "rate": 0.5, "task": "x"}}}
    spec = {"parameters": {"keep": {"parameterType": "NUMBER_INTEGER"}, "rate": {"parameterType": "NUMBER_DOUBLE"}}}
    found = container.parameters(told, spec, {})
    assert found == {"keep": 5, "rate": 0.5, "task": "x"}
    assert type(found["keep"]) is int


def test_a_parameter_may_belong_in_another() -> None:
    told = {"inputs": {"parameterValues": {"source": '{"data": {"root": "a"}, "task": "b"}', "data_root": "/c"}}}
    found = container.parameters(told, {}, {"data_root": ["source", "data", "root"]})
    assert {name: json.loads(value) for name, value in found.items()} == {
        "source": {"data": {"root": "/c"}, "task": "b"}
    }


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ({"instanceSchema": "title: tfx.Model\ntype: object\n"}, "tfx.Model"),
        ({"instanceSchema": "type: object\ntitle: imagegate.ClassBalance\n"}, "imagegate.ClassBalance"),
        ({"schemaTitle": "system.Metrics", "schemaVersion": "0.0.1"}, "system.Metrics"),
        ({"instanceSchema": ""}, ""),
        ({}, ""),
    ],
)
def test_the_name_of_a_type_is_its_title(kind: dict[str, str], title: str) -> None:
    assert artifacts.title(kind) == title


VALUES = st.text(max_size=5) | st.integers(-(2**53), 2**53)


@given(st.dictionaries(st.sampled_from("abcdef"), VALUES))
def test_properties_survive_the_metadata_store(properties: dict[str, Any]) -> None:
    """Out to the launcher, through ML Metadata, which knows doubles only, and in again."""
    made = artifacts.artifact("tfx.Model", "/x", properties)
    listed = {"artifacts": [{"uri": "minio://b/x", "type": {}}]}
    told = {"outputs": {"artifacts": {"model": listed}}}
    [out] = artifacts.result(told, {"model": [made]})["model"]["artifacts"]
    stored = {k: float(v) if isinstance(v, int) else v for k, v in json.loads(json.dumps(out["metadata"])).items()}
    stored |= {"display_name": "model", "store_session_info": "{}"}
    again = artifacts.artifact("tfx.Model", "/x", artifacts.metadata(stored))
    assert {key: again.get_custom_property(key) for key in properties} == properties
    assert set(again.mlmd_artifact.custom_properties) == set(properties)


def test_properties_of_every_kind_keep_their_types() -> None:
    """Whole numbers, lists and objects, of which the store wraps the latter two."""
    told = {"span": 3.0, "split_names": '["train"]', "blessed": {"struct": {"train": 1.0}}, "notes": {"list": ["a"]}}
    found = artifacts.artifact("tfx.ExampleAnomalies", "/x", artifacts.metadata(told))
    assert (found.span, found.split_names) == (3, '["train"]')
    assert dict(found.get_json_value_custom_property("blessed")) == {"train": 1.0}
    assert list(found.get_json_value_custom_property("notes")) == ["a"]
    listed = {"outputs": {"artifacts": {"anomalies": {"artifacts": [{"uri": "s3://b/x"}]}}}}
    [out] = artifacts.result(listed, {"anomalies": [found]})["anomalies"]["artifacts"]
    assert json.loads(json.dumps(out["metadata"])) == told | {"span": 3, "blessed": {"train": 1.0}, "notes": ["a"]}


def test_values_are_read(tmp_path: Path) -> None:
    (tmp_path / "value").write_text("7")
    assert artifacts.artifact("tfx.Integer", str(tmp_path / "value"), {}).value == 7


@pytest.mark.parametrize("name", ["", "Model", "tfx.Nothing", "system.Artifact", "os.path"])
def test_an_unknown_type_is_refused(name: str) -> None:
    with pytest.raises(ImagegateError, match="is no type of artifact that this image knows"):
        artifacts.artifact(name, "/x", {})


def test_inputs_are_of_the_types_that_the_stage_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(artifacts.STAGING, str(tmp_path))
    told = {"inputs": {"artifacts": {"model": {"artifacts": [{"uri": "s3://b/m", "type": {"instanceSchema": ""}}]}}}}
    spec = {"artifacts": {"model": {"artifactType": {"instanceSchema": "title: tfx.Model\n"}}}}
    [found] = artifacts.inputs(told, spec)["model"]
    assert (found.type_name, found.uri) == ("Model", f"{tmp_path}/s3/b/m")
    assert os.listdir(found.uri) == []  # the folder was empty, and so was lost in the object store


def test_outputs_of_kubeflows_own_types_are_not_tfxs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(artifacts.STAGING, str(tmp_path))
    types = {
        "model": {"instanceSchema": "title: tfx.Model\n"},
        "count": {"instanceSchema": "title: tfx.Integer\n"},
        "executor-logs": {"schemaTitle": "system.Artifact"},
        "metrics": {"schemaTitle": "system.Metrics"},
    }
    listed = {key: {"artifacts": [{"uri": f"gs://b/{key}", "type": kind}]} for key, kind in types.items()}
    assert set(artifacts.outputs({"outputs": {"artifacts": listed}})) == {"model", "count"}
    assert (tmp_path / "gcs" / "b" / "model").is_dir()
    assert not (tmp_path / "gcs" / "b" / "count").exists()


STAGE = """
import os, time
class Executor:
    def __init__(self, context): pass
    def Do(self, inputs, outputs, parameters):
        try:
            open("started", "w").close()
            if parameters["how"] == "wait":
                time.sleep(60)
            raise ValueError("all\\x1b is lost")
        finally:
            open("cleaned up", "w").close()
"""


@pytest.fixture
def stage(tmp_path: Path) -> Any:
    """Starts a stage that is given `how` it ends."""
    (tmp_path / "ours.py").write_text(STAGE)

    def start(how: str) -> subprocess.Popen[str]:
        told = {"inputs": {"parameterValues": {"how": how}}, "outputs": {"outputFile": "/out/output_metadata.json"}}
        command = [sys.executable, "-m", "pipeline.kubeflow.container", "--executor_class_path", "ours.Executor"]
        command += ["--json_serialized_invocation_args", json.dumps(told)]
        command += ["--json_serialized_inputs_spec_args", '{"parameters": {"how": {"parameterType": "STRING"}}}']
        environment = os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}", artifacts.STAGING: str(tmp_path)}
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)

    return start


def test_a_pod_that_is_stopped_cleans_up(stage: Any, tmp_path: Path) -> None:
    process = stage("wait")
    while not (tmp_path / "started").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err.splitlines()[-1]) == (143, "imagegate: stopped by SIGTERM")
    assert (tmp_path / "cleaned up").exists()


def test_a_bug_ends_in_its_gist(stage: Any, tmp_path: Path) -> None:
    process = stage("break")
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err.splitlines()[-1]) == (1, "imagegate: ValueError: all\\x1b is lost")
    assert "Traceback" in err
    assert not (tmp_path / "out").exists()
