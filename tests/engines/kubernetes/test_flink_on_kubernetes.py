"""docs/flink-on-kubernetes.yaml: what the operator's schema takes, and what belongs together in it."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from engines import flink
from pipeline import config
from pipeline.config import beam

DOCS = Path(__file__).parents[3] / "docs"
FLINK, RUN = yaml.safe_load_all((DOCS / "flink-on-kubernetes.yaml").read_text(encoding="utf-8"))
POD = RUN["spec"]["template"]["spec"]
Json = dict[str, Any]


def closed(schema: Any) -> Any:
    """The schema, with no fields besides those that it names: Kubernetes would drop them without a word."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(part) for key, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found


SCHEMA = closed(yaml.safe_load(Path(__file__).with_name("flinkdeployment.yaml").read_text(encoding="utf-8")))


def errors(resource: Json, schema: Json = SCHEMA) -> list[str]:
    found = jsonschema.Draft202012Validator(schema).iter_errors(resource)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in found]


def container(pod: Json, name: str) -> Json:
    [found] = [one for kind in ("containers", "initContainers") for one in pod.get(kind, ()) if one["name"] == name]
    return dict(found)


MANAGER = FLINK["spec"]["taskManager"]["podTemplate"]["spec"]


def test_the_operator_takes_the_cluster() -> None:
    assert errors(FLINK) == []


def test_the_pod_of_the_run_is_one_of_kubernetes() -> None:
    pod = {**SCHEMA["$defs"]["podTemplate"]["properties"]["spec"], "$defs": SCHEMA["$defs"]}
    assert errors(POD, pod) == []
    assert errors({**POD, "restart": "Never"}, pod)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda spec: spec.update(flinkVersion="v1_12"), "spec.flinkVersion: 'v1_12' is not one of"),
        (lambda spec: spec.update(images="flink"), "spec: Additional properties are not allowed ('images'"),
        (lambda spec: spec["taskManager"]["resource"].update(cpu="1"), "spec.taskManager.resource.cpu: '1' is not of"),
        (
            lambda spec: spec["taskManager"]["podTemplate"]["spec"]["containers"][1].update(comand=["python"]),
            "spec.taskManager.podTemplate.spec.containers.1: Additional properties are not allowed ('comand'",
        ),
    ],
)
def test_the_schema_refuses_what_the_operator_would(change: Callable[[Json], None], error: str) -> None:
    changed = copy.deepcopy(FLINK)
    change(changed["spec"])
    [found] = errors(changed)
    assert found.startswith(error)


def test_flink_has_the_settings_of_the_tests_as_text() -> None:
    told = FLINK["spec"]["flinkConfiguration"]
    assert {key: told[key] for key in flink.SETTINGS} == {key: str(value) for key, value in flink.SETTINGS.items()}


def test_the_versions_are_those_of_the_tests() -> None:
    pom = (Path(flink.__file__).parent / "flink.xml").read_text(encoding="utf-8")
    assert FLINK["spec"]["image"].startswith("flink:1.19-java17")
    runner = pom.partition("beam-runners-flink-1.19</artifactId>")[2].partition("<version>")[2].partition("<")[0]
    assert container(POD, "job-server")["image"] == f"apache/beam_flink1.19_job_server:{runner}"


def test_workers_and_run_have_one_image_and_see_the_same_files() -> None:
    workers, run = container(MANAGER, "beam-workers"), container(POD, "imagegate")
    assert workers["image"] == run["image"]
    assert workers["volumeMounts"] == run["volumeMounts"]
    claims = [{one["name"]: one for one in pod["volumes"] if "persistentVolumeClaim" in one} for pod in (MANAGER, POD)]
    assert claims[0] == claims[1]
    assert {one["name"] for one in run["volumeMounts"]} == set(claims[0])


def test_the_configuration_of_the_page_belongs_to_it(tmp_path: Path) -> None:
    page = (DOCS / "scaling.md").read_text(encoding="utf-8").partition("\n## Flink on Kubernetes\n")[2]
    told = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    rest = {"name": "photos", "task": "single_label", "folder": str(tmp_path)}
    loaded = config.validated(rest | told)
    notes = beam.check(loaded)
    assert not [note for note in notes if "does not know" in note or "no effect" in note]
    [pool] = [part for part in container(MANAGER, "beam-workers")["command"] if part.startswith("--service_port=")]
    assert f"--environment_config=localhost:{pool.partition('=')[2]}" in loaded.beam
    server = container(POD, "job-server")
    [port] = [part.partition("=")[2] for part in server["args"] if part.startswith("--job-port=")]
    assert f"--job_endpoint=localhost:{port}" in loaded.beam
    assert server["startupProbe"]["tcpSocket"]["port"] == int(port)
    # The operator names the service of Flink's REST interface like this.
    assert f"--flink-master={FLINK['metadata']['name']}-rest:8081" in server["args"]
    for path in (loaded.data_root, loaded.output_folder, loaded.destination):
        assert any(path.startswith(f"{one['mountPath']}/") for one in container(POD, "imagegate")["volumeMounts"])
