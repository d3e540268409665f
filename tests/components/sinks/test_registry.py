"""Kubeflow's Model Registry gets a version for each push; a real one can be named in MODEL_REGISTRY."""

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import registry_api
import requests
from registry_api import Registry

from components.report.run_summary import DataSummary, Pushed, RunSummary
from pipeline import config, sinks

PLAIN: dict[str, Any] = {"name": "pets", "task": "single_label", "output": "out"}
PLAIN |= {"data": {"root": "data"}, "push": {"destination": "models"}}
PLAIN |= {"sinks": {"model_registry": {"url_env": "REGISTRY", "token_env": "TOKEN"}}}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    with registry_api.running() as server:
        monkeypatch.setenv("REGISTRY", server.url)
        monkeypatch.setenv("TOKEN", "planted-token")
        yield server


@pytest.fixture
def settings(tmp_path: Path) -> config.Config:
    return config.validated(PLAIN | {"folder": str(tmp_path)})


def send(settings: config.Config, run: RunSummary) -> list[str]:
    return sinks.send(settings.sinks, settings.name, settings.output_folder, run)


def summary(**values: object) -> RunSummary:
    known = {
        "name": "pets",
        "task": "single_label",
        "run_id": "20260101T000000-abcdef",
        "status": "pushed",
        "exit_code": 0,
        "metrics": {"accuracy": 0.875, "loss": None},
        "per_label": {"猫": {"recall": 0.5}},
        "data": DataSummary(fingerprint="da7a"),
        "pushed": Pushed(path="s3://models/pets/8", version="8"),
    }
    return RunSummary.model_validate(known | values)


def plain(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: value.get("double_value", value.get("string_value")) for name, value in properties.items()}


PROPERTIES = {
    "accuracy": 0.875,
    "recall/猫": 0.5,
    "imagegate.run_id": "20260101T000000-abcdef",
    "imagegate.status": "pushed",
    "imagegate.exit_code": "0",
    "imagegate.task": "single_label",
    "imagegate.data.fingerprint": "da7a",
}


@pytest.mark.parametrize("version", ["v1", "v1alpha3"])
def test_a_push_is_a_version_of_the_registered_model(registry: Registry, settings: config.Config, version: str) -> None:
    registry.version = version
    assert send(settings, summary()) == []
    assert send(settings, summary(run_id="later", pushed=Pushed(path="s3://models/pets/9", version="9"))) == []
    [model] = registry.models.values()
    assert (model["name"], model["owner"]) == ("pets", "imagegate")
    first, second = registry.versions.values()
    assert (first["name"], second["name"], first["registeredModelId"]) == ("8", "9", model["id"])
    assert plain(first["customProperties"]) == PROPERTIES
    artifacts = [(one["uri"], one["modelFormatName"], one["modelFormatVersion"]) for one in registry.artifacts.values()]
    assert artifacts == [("s3://models/pets/8", "tensorflow", "2"), ("s3://models/pets/9", "tensorflow", "2")]
    assert {token for *_, token in registry.seen} == {"Bearer planted-token"}


def test_a_version_that_is_there_already_is_a_sentence(registry: Registry, settings: config.Config) -> None:
    assert send(settings, summary()) == []
    [problem] = send(settings, summary(run_id="another"))
    assert problem == "model registry (REGISTRY): not recorded: pets has a version 8 already"
    assert (len(registry.versions), len(registry.artifacts)) == (1, 1)


def test_what_broke_off_is_completed_by_the_next_attempt_of_the_run(
    registry: Registry, settings: config.Config
) -> None:
    registry.trouble = {r"POST .*/artifacts": (500, "")}
    [problem] = send(settings, summary())
    assert problem.endswith("the server answered 500 to POST model_versions/2/artifacts")
    registry.trouble = {}
    for _ in range(2):  # a third attempt finds everything there
        assert send(settings, summary()) == []
        assert [one["uri"] for one in registry.artifacts.values()] == ["s3://models/pets/8"]
    assert len(registry.versions) == 1


@pytest.mark.parametrize("identity", ['"1/../../admin"', '".."', '"7\\nimagegate: exit code 3\\n"', "7", '""', "null"])
def test_an_identity_that_is_none_goes_into_no_path_and_no_message(
    registry: Registry, settings: config.Config, identity: str
) -> None:
    registry.trouble = {r"GET .*/registered_model": (200, f'{{"id": {identity}}}')}
    not_one = "the server answers, but not as a Model Registry does; look at the URL"
    assert send(settings, summary()) == [f"model registry (REGISTRY): not recorded: {not_one}"]
    assert [method for method, *_ in registry.seen if method == "POST"] == []


def test_a_run_that_pushed_nothing_asks_nothing(registry: Registry, settings: config.Config) -> None:
    assert send(settings, summary(status="not_blessed", exit_code=4, pushed=None)) == []
    assert send(settings, summary(status="up_to_date")) == []
    assert registry.seen == []


@pytest.mark.parametrize(
    ("status", "text", "problem"),
    [
        (401, "no", "the server answered 401 to GET registered_models"),
        (302, "", "the server answered 302 to GET registered_models"),  # the token goes to no other host
        (500, "planted", "the server answered 500 to GET registered_models"),
        (404, "404 page not found", "the server answers, but has no API of a Model Registry; look at the URL"),
        (200, "[]", "the server answers, but not as a Model Registry does; look at the URL"),
        (200, "<html>", "JSONDecodeError"),
    ],
)
def test_what_a_server_refuses_is_one_sentence_without_its_address(
    registry: Registry, settings: config.Config, status: int, text: str, problem: str
) -> None:
    registry.trouble = {r"GET .*/registered_models": (status, text)}
    assert send(settings, summary()) == [f"model registry (REGISTRY): not recorded: {problem}"]


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("REGISTRY", "", "the environment variable REGISTRY is not set"),
        ("TOKEN", "", "the environment variable TOKEN is not set"),
        ("REGISTRY", "planted", "the variable holds no URL such as https://registry.example"),
        ("REGISTRY", "http://me:planted@127.0.0.1", "the variable holds no URL such as https://registry.example"),
        ("REGISTRY", "http://127.0.0.1:9", "ConnectionError"),
    ],
)
def test_an_address_that_is_none_is_one_sentence(
    registry: Registry,
    settings: config.Config,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    problem: str,
) -> None:
    monkeypatch.setenv(variable, value)
    assert send(settings, summary()) == [f"model registry (REGISTRY): not recorded: {problem}"]


def test_a_password_for_the_host_in_the_home_folder_is_not_sent(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password planted\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    without = PLAIN | {"sinks": {"model_registry": {"url_env": "REGISTRY"}}, "folder": str(tmp_path)}
    assert send(config.validated(without), summary()) == []
    assert {token for *_, token in registry.seen} == {None}


def test_both_sinks_are_tried_and_each_says_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGISTRY", raising=False)
    monkeypatch.delenv("TRACKING", raising=False)
    both = {"mlflow": {"url_env": "TRACKING"}, "model_registry": {"url_env": "REGISTRY"}}
    assert send(config.validated(PLAIN | {"sinks": both, "folder": str(tmp_path)}), summary()) == [
        "mlflow (TRACKING): not recorded: the environment variable TRACKING is not set",
        "model registry (REGISTRY): not recorded: the environment variable REGISTRY is not set",
    ]


def test_a_real_registry_reads_back_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry that MODEL_REGISTRY names, such as one that was built from its source."""
    if "MODEL_REGISTRY" not in os.environ:
        pytest.skip("no MODEL_REGISTRY")
    base, name = os.environ["MODEL_REGISTRY"], f"pets-{uuid.uuid4().hex}"
    monkeypatch.setenv("REGISTRY", base)
    told = PLAIN | {"sinks": {"model_registry": {"url_env": "REGISTRY", "model": name}}, "folder": str(tmp_path)}
    settings = config.validated(told)
    assert send(settings, summary()) == []
    assert send(settings, summary()) == []  # again
    taken = [f"model registry (REGISTRY): not recorded: {name} has a version 8 already"]
    assert send(settings, summary(run_id="another")) == taken
    api = f"{base}/api/model_registry/v1alpha3"

    def read(path: str) -> Any:
        return json.loads(requests.get(f"{api}/{path}", timeout=10).text)

    model = read(f"registered_model?name={name}")
    [version] = read(f"registered_models/{model['id']}/versions")["items"]
    assert (version["name"], plain(version["customProperties"])) == ("8", PROPERTIES)
    [artifact] = read(f"model_versions/{version['id']}/artifacts")["items"]
    assert (artifact["uri"], artifact["modelFormatName"]) == ("s3://models/pets/8", "tensorflow")
