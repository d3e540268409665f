"""Keys of signed models on Kubeflow: the private one for the Pusher alone, and no key in what is compiled."""

from pathlib import Path

import pytest

from pipeline.config import Config, validated
from pipeline.kubeflow import pods
from pipeline.stages import STAGES

SECRETS = [
    {"secret": "signing", "key": "private", "env": "SIGNING_KEY"},
    {"secret": "signing", "key": "password", "env": "PASSWORD"},
    {"secret": "signing", "key": "public", "env": "TRUSTED"},
    {"secret": "store", "key": "id", "env": "AWS_ACCESS_KEY_ID"},
]
READERS = {"OnChange", "Preflight", "ImageExampleGen", "ClassBalance", "Baseline", "Pusher"}  # of the push destination


def settings(folder: Path, secrets: list[dict[str, str]], **push: object) -> Config:
    told = {
        "name": "clothes",
        "task": "single_label",
        "folder": str(folder),
        "data": {"root": "s3://photos/clothes"},
        "push": {"destination": "s3://models/clothes", **push},
        "kubeflow": {"image": "registry.example/imagegate:1", "secrets": secrets},
    }
    return validated(told)


@pytest.fixture
def variables() -> dict[str, object]:
    return {"sign": {"key_env": "SIGNING_KEY", "password_env": "PASSWORD"}, "verify": {"keys_env": "TRUSTED"}}


def test_the_private_key_is_for_the_pod_that_pushes_alone(tmp_path: Path, variables: dict[str, object]) -> None:
    labels = {stage.name: stage.name for stage in STAGES}
    platform = pods.platform(labels, settings(tmp_path, SECRETS, **variables))
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    given = {
        name: {one["keyToEnv"][0]["envVar"] for one in told.get("secretAsEnv", ())} for name, told in executors.items()
    }
    assert {name for name, names in given.items() if "SIGNING_KEY" in names} == {"Pusher"}
    assert given["Pusher"] == {"SIGNING_KEY", "PASSWORD", "TRUSTED", "AWS_ACCESS_KEY_ID"}
    assert {name for name, names in given.items() if "TRUSTED" in names} == READERS
    assert given["Baseline"] == {"TRUSTED", "AWS_ACCESS_KEY_ID"}


def test_what_pods_lack_is_said(tmp_path: Path, variables: dict[str, object]) -> None:
    assert not [note for note in pods.notes(settings(tmp_path, SECRETS, **variables)) if note.startswith("push.")]
    found = [note for note in pods.notes(settings(tmp_path, [], **variables)) if note.startswith("push.")]
    lacking = "no entry of kubeflow.secrets sets {}, so that it has to be set in the image"
    assert found == [
        f"push.sign: {lacking.format('SIGNING_KEY')}",
        f"push.sign: {lacking.format('PASSWORD')}",
        f"push.verify: {lacking.format('TRUSTED')}",
    ]
    files = settings(tmp_path, [], sign={"key": "a.pem"}, verify={"keys": ["a.pub"]})
    outside = "lies in none of kubeflow.volumes, so that a pod looks for it in its image"
    assert [note for note in pods.notes(files) if note.startswith("push.")] == [
        f"push.sign.key: {tmp_path}/a.pem {outside}",
        f"push.verify.keys: {tmp_path}/a.pub {outside}",
    ]
