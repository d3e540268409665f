"""`imagegate compile`: both documents are what the backend's schemas know, and say what the configuration says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from components.base.errors import ConfigError
from pipeline import cli, config
from pipeline.kubeflow import compiler, pods
from pipeline.stages import STAGES

IMAGE = "registry.example/imagegate@sha256:" + "0123456789abcdef" * 4
TASKS: dict[str, dict[str, Any]] = {
    "single_label": {"data": {"root": "/data/pets"}},
    "multi_label": {"data": {"root": "s3://bucket/scenes", "layout": "manifest", "manifest": "a.csv"}},
    "segmentation": {
        "data": {"root": "/data/roads", "layout": "masks", "images": "images", "masks": "masks"},
        "labels": {"names": ["sky", "road"]},
    },
}
# As much as the section takes.
FULL: dict[str, Any] = {
    "image": IMAGE,
    "gpu": {"resource": "amd.com/gpu", "count": 2},
    "memory": "32Gi",
    "shared_memory": "8Gi",
    "stages": {"Evaluator": {"cpu": 3, "memory": "12Gi"}, "Trainer": {"cpu": "6500m"}},
    "node_selector": {"pool": "gpu"},
    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "volumes": {"images": "/data", "models": "/models"},
    "secrets": [{"secret": "store", "key": "id", "env": "AWS_ACCESS_KEY_ID"}],
    "retries": 3,
}
OUTWARD = {"Preflight", "ImageExampleGen", "ClassBalance", "Baseline", "Pusher"}


def settings(folder: Path, task: str = "single_label", **sections: Any) -> config.Config:
    """None of whose paths is on this machine."""
    told = {"name": "Clothes_2.0", "task": task, "push": {"destination": "/models/x"}, "kubeflow": {"image": IMAGE}}
    (folder / "imagegate.yaml").write_text(yaml.safe_dump(told | TASKS[task] | sections))
    return config.load(str(folder / "imagegate.yaml"))


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return compiler.compile(settings(tmp_path_factory.mktemp("plain")))[0]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    return compiler.compile(settings(tmp_path_factory.mktemp("full"), kubeflow=FULL))


def tasks(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = spec["root"]["dag"]["tasks"]
    return found


def container(spec: dict[str, Any], stage: str) -> dict[str, Any]:
    found: dict[str, Any] = spec["deploymentSpec"]["executors"][f"{stage}_executor"]["container"]
    return found


def executors(platform: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By stage."""
    found = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return {label.removesuffix("_executor"): told for label, told in found.items()}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("section", [{"image": IMAGE}, FULL], ids=["least", "full"])
def test_both_documents_hold_nothing_that_the_backend_does_not_know(
    tmp_path: Path, task: str, section: dict[str, Any]
) -> None:
    from kfp.kubernetes import kubernetes_executor_config_pb2
    from kfp.pipeline_spec import pipeline_spec_pb2

    compiler.write(settings(tmp_path, task, kubeflow=section), str(tmp_path / "p.yaml"))
    spec, platform = yaml.safe_load_all((tmp_path / "p.yaml").read_text())
    parsed = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    assert (parsed.schema_version, parsed.pipeline_info.name) == ("2.1.0", "clothes-2-0")
    assert parsed.default_pipeline_root == "minio://mlpipeline/v2/artifacts"
    # What stands in a Struct is parsed as what the backend takes it for.
    json_format.ParseDict(spec["deploymentSpec"], pipeline_spec_pb2.PipelineDeploymentConfig())
    json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    for told in executors(platform).values():
        json_format.ParseDict(told, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


def test_the_same_settings_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yml"):
        compiler.write(settings(tmp_path), str(tmp_path / name))
    assert (tmp_path / "a.yaml").read_bytes() == (tmp_path / "b.yml").read_bytes()


def test_every_stage_of_the_table_runs_the_entry_point_in_the_image(spec: dict[str, Any]) -> None:
    assert set(tasks(spec)) == {stage.name for stage in STAGES if stage.in_every_graph}
    for stage in tasks(spec):
        assert container(spec, stage)["image"] == IMAGE
        assert container(spec, stage)["command"] == ["python", "-m", "pipeline.kubeflow.container"]


def test_a_search_is_a_stage_before_the_trainer_with_what_a_trainer_needs(tmp_path: Path) -> None:
    spec, platform = compiler.compile(settings(tmp_path, kubeflow=FULL, tuning={"trials": 3}))
    assert tasks(spec)["Trainer"]["inputs"]["artifacts"]["hyperparameters"] == {
        "taskOutputArtifact": {"producerTask": "Tuner", "outputArtifactKey": "best_hyperparameters"}
    }
    needs = container(spec, "Tuner")["resources"]
    assert (needs["resourceMemoryLimit"], needs["accelerator"]["resourceCount"]) == ("32Gi", "2")
    assert executors(platform)["Tuner"]["nodeSelector"] == {"labels": {"pool": "gpu"}}
    told = json.loads(tasks(spec)["Tuner"]["inputs"]["parameters"]["custom_config"]["runtimeValue"]["constant"])
    assert (told["tuning"]["trials"], told["checkpoints"], told["trainer"]["features"]) == (3, "", "")
    assert tasks(spec)["Tuner"]["inputs"]["parameters"]["epochs"] == {"componentInputParameter": "epochs"}


def test_images_without_labels_are_read_by_a_gate_of_their_own(tmp_path: Path) -> None:
    data = TASKS["single_label"]["data"] | {"unlabelled": "/data/others"}
    spec, platform = compiler.compile(settings(tmp_path, kubeflow=FULL, data=data))
    reader = tasks(spec)["UnlabelledExampleGen"]
    assert "retryPolicy" not in reader
    source = {"taskOutputParameter": {"producerTask": "Preflight", "outputParameterKey": "files_version"}}
    assert reader["inputs"]["parameters"]["files_version"] == source
    assert json.loads(reader["inputs"]["parameters"]["pool"]["runtimeValue"]["constant"])["root"] == "/data/others"
    produced = {"taskOutputArtifact": {"producerTask": "UnlabelledExampleGen", "outputArtifactKey": "unlabelled"}}
    for stage in ("Trainer", "ModelReport"):
        assert tasks(spec)[stage]["inputs"]["artifacts"]["unlabelled"] == produced
    assert executors(platform)["UnlabelledExampleGen"]["pvcMount"]


def test_synthetic_images_are_made_by_a_stage_that_trains(tmp_path: Path) -> None:
    spec, _ = compiler.compile(settings(tmp_path, kubeflow=FULL, training={"synthetic": {"method": "mixup"}}))
    told = json.loads(tasks(spec)["Synthesis"]["inputs"]["parameters"]["settings"]["runtimeValue"]["constant"])
    assert told["synthetic"] == {"method": "mixup", "labels": "rare", "up_to": "median"}
    assert "ClassBalance" in tasks(spec)["Transform"]["dependentTasks"]  # nothing is learnt from refused data
    produced = {"taskOutputArtifact": {"producerTask": "Synthesis", "outputArtifactKey": "synthetic"}}
    for stage in ("Trainer", "ModelReport"):
        assert tasks(spec)[stage]["inputs"]["artifacts"]["synthetic"] == produced
    needs, trains = (container(spec, stage)["resources"] for stage in ("Synthesis", "Trainer"))
    assert (needs["accelerator"], needs["resourceMemoryLimit"]) == (
        trains["accelerator"],
        trains["resourceMemoryLimit"],
    )


def test_the_entry_point_gets_the_inputs_that_the_stage_has(spec: dict[str, Any]) -> None:
    for stage in tasks(spec):
        arguments = container(spec, stage)["args"]
        told = json.loads(arguments[arguments.index("--json_serialized_inputs_spec_args") + 1])
        assert told == spec["components"][stage]["inputDefinitions"]
        assert set(told["parameters"]) == set(tasks(spec)[stage]["inputs"].get("parameters", {}))


def test_every_parameter_of_a_submission_has_a_default(spec: dict[str, Any]) -> None:
    assert spec["root"]["inputDefinitions"]["parameters"] == {
        "data_root": {"parameterType": "STRING", "defaultValue": "/data/pets"},
        "data_version": {"parameterType": "STRING", "defaultValue": ""},
        "epochs": {"parameterType": "NUMBER_INTEGER", "defaultValue": 20},
    }
    for stage, names in {
        "Preflight": {"data_root", "data_version", "epochs"},
        "ImageExampleGen": {"data_root"},
        "Trainer": {"epochs"},
    }.items():
        told = tasks(spec)[stage]["inputs"]["parameters"]
        assert {n for n, source in told.items() if source == {"componentInputParameter": n}} == names


def test_cache_keys_follow_what_preflight_finds(spec: dict[str, Any]) -> None:
    never = {name for name, task in tasks(spec).items() if task["cachingOptions"] == {}}
    assert never == {"Preflight", "Baseline", "Pusher", "ModelGate"}
    assert all(t["cachingOptions"] == {"enableCache": True} for name, t in tasks(spec).items() if name not in never)
    for stage, name in (
        ("ImageExampleGen", "data_fingerprint"),
        ("Baseline", "served_version"),
        ("ClassBalance", "served_version"),
        ("Trainer", "files_version"),
        ("Evaluator", "files_version"),
    ):
        source = {"taskOutputParameter": {"producerTask": "Preflight", "outputParameterKey": name}}
        assert tasks(spec)[stage]["inputs"]["parameters"][name] == source
        assert "Preflight" in tasks(spec)[stage]["dependentTasks"]


def test_the_model_gate_comes_after_everything(spec: dict[str, Any]) -> None:
    assert set(tasks(spec)["ModelGate"]["dependentTasks"]) == set(tasks(spec)) - {"Preflight", "ModelGate"}


def test_gates_are_never_tried_again(full: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path) -> None:
    found = tasks(full[0])
    policy = {"maxRetryCount": 3, "backoffDuration": "30s", "backoffFactor": 2.0, "backoffMaxDuration": "3600s"}
    once = {name for name, task in found.items() if "retryPolicy" not in task}
    assert once == {"Preflight", "ImageExampleGen", "ClassBalance", "ModelGate"}
    assert all(task["retryPolicy"] == policy for name, task in found.items() if name not in once)
    none = compiler.compile(settings(tmp_path, kubeflow={"image": IMAGE, "retries": 0}))[0]
    assert not any("retryPolicy" in task for task in tasks(none).values())


def test_the_gpu_is_the_trainers_alone(full: tuple[dict[str, Any], dict[str, Any]], spec: dict[str, Any]) -> None:
    asked = {stage: container(full[0], stage)["resources"] for stage in tasks(full[0])}
    assert {stage for stage, resources in asked.items() if "accelerator" in resources} == {"Trainer"}
    accelerator = asked["Trainer"]["accelerator"]
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("amd.com/gpu", "2")
    assert not any("accelerator" in container(spec, stage)["resources"] for stage in tasks(spec))


def asked(spec: dict[str, Any], stage: str, what: str) -> tuple[str, str]:
    resources = container(spec, stage)["resources"]
    return resources[f"resourceCpu{what}"], resources[f"resourceMemory{what}"]


def test_every_stage_has_limits(full: tuple[dict[str, Any], dict[str, Any]], spec: dict[str, Any]) -> None:
    assert asked(spec, "Trainer", "Limit") == ("4", "16Gi")
    assert asked(full[0], "Trainer", "Limit") == ("6500m", "32Gi")
    assert asked(full[0], "Evaluator", "Limit") == ("3", "12Gi")
    assert asked(full[0], "Pusher", "Limit") == asked(spec, "Pusher", "Limit") == ("1", "2Gi")


def test_no_stage_asks_for_a_node_of_more_than_two_cores(spec: dict[str, Any]) -> None:
    """A node of 2 cores has about 1.9 to give, of which Kubernetes' and Kubeflow's own pods take some."""
    from kubernetes.utils import parse_quantity  # the client's own reading of an amount

    for stage in tasks(spec):
        (cpu, memory), limits = asked(spec, stage, "Request"), asked(spec, stage, "Limit")
        assert parse_quantity(cpu) <= min(1, parse_quantity(limits[0])), stage
        assert parse_quantity(memory) <= min(4 * 2**30, parse_quantity(limits[1])), stage


def test_requests_are_set_apart_from_limits_and_stay_below_them(tmp_path: Path) -> None:
    stages = {
        "Trainer": {"cpu_request": 3, "memory_request": "12Gi"},
        "Evaluator": {"cpu": "100m", "memory": "1500Mi"},  # below what it asks for by default: it asks for no more
    }
    spec = compiler.compile(settings(tmp_path, kubeflow={"image": IMAGE, "stages": stages}))[0]
    assert asked(spec, "Trainer", "Request") == ("3", "12Gi")
    assert asked(spec, "Trainer", "Limit") == ("4", "16Gi")
    assert asked(spec, "Evaluator", "Request") == asked(spec, "Evaluator", "Limit") == ("100m", "1500Mi")


def test_pods_get_what_kubernetes_has_for_them(full: tuple[dict[str, Any], dict[str, Any]]) -> None:
    told = executors(full[1])
    assert {stage for stage, one in told.items() if "pvcMount" in one} == OUTWARD
    assert {stage for stage, one in told.items() if "secretAsEnv" in one} == OUTWARD
    assert [(m["constant"], m["mountPath"]) for m in told["Pusher"]["pvcMount"]] == [
        ("images", "/data"),
        ("models", "/models"),
    ]
    [secret] = told["Baseline"]["secretAsEnv"]
    assert secret["keyToEnv"] == [{"secretKey": "id", "envVar": "AWS_ACCESS_KEY_ID"}]
    assert told["Trainer"] == {
        "securityContext": {"runAsNonRoot": True},
        "nodeSelector": {"labels": {"pool": "gpu"}},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "emptyDirMounts": [
            {"volumeName": "temporary", "mountPath": "/tmp"},
            {"volumeName": "shared-memory", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": "8Gi"},
        ],
    }


def test_no_pod_runs_as_root_and_each_has_a_place_for_temporary_files(tmp_path: Path) -> None:
    """What the platform document holds is read as the backend's own message, which has no field for more."""
    from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig, SecurityContext

    spec, platform = compiler.compile(settings(tmp_path))
    told = executors(platform)
    assert told.keys() == tasks(spec).keys()
    for stage, one in told.items():
        pod = json_format.ParseDict(one, KubernetesExecutorConfig())
        assert pod.security_context.run_as_non_root, stage
        assert [mount.mount_path for mount in pod.empty_dir_mounts] == ["/tmp"], stage
    assert set(SecurityContext.DESCRIPTOR.fields_by_name) == {"run_as_user", "run_as_group", "run_as_non_root"}


def test_stages_that_read_a_backbone_or_out_of_distribution_images_mount_the_volumes(tmp_path: Path) -> None:
    sections = {"training": {"backbone": "/data/b.keras"}, "evaluation": {"out_of_distribution": "/data/other"}}
    platform = compiler.compile(settings(tmp_path, kubeflow=FULL, **sections))[1]
    assert {s for s, one in executors(platform).items() if "pvcMount" in one} == OUTWARD | {"Trainer", "Evaluator"}


def test_the_user_interface_is_given_what_it_draws(tmp_path: Path) -> None:
    for task, drawn in (("segmentation", {"metrics", "confusion_matrix"}), ("multi_label", {"metrics"})):
        spec = compiler.compile(settings(tmp_path, task))[0]
        made = spec["components"]["Evaluator"]["outputDefinitions"]["artifacts"]
        assert {name for name, one in made.items() if "schemaTitle" in one["artifactType"]} == drawn


def test_the_trainer_gets_no_folder_of_this_machine(spec: dict[str, Any]) -> None:
    told = json.loads(tasks(spec)["Trainer"]["inputs"]["parameters"]["custom_config"]["runtimeValue"]["constant"])
    assert (told["checkpoints"], told["features"]) == ("", "")


def test_paths_outside_of_every_volume_are_reported(tmp_path: Path) -> None:
    volumes = {"image": IMAGE, "volumes": {"claim": "/data/"}}
    [told] = pods.outside_of_volumes(settings(tmp_path, kubeflow=volumes))
    assert told.startswith("push.destination: /models/x lies in none of kubeflow.volumes")
    assert pods.outside_of_volumes(settings(tmp_path, kubeflow=FULL)) == []
    assert len(pods.outside_of_volumes(settings(tmp_path, data={"root": "/database"}, kubeflow=volumes))) == 2
    assert len(pods.outside_of_volumes(settings(tmp_path, "multi_label"))) == 1  # the data are at a URL


def test_a_module_outside_of_every_volume_is_reported(tmp_path: Path) -> None:
    [told] = pods.notes(settings(tmp_path, training={"module": "net.py"}, kubeflow=FULL))
    assert told == (
        f"training.module: {tmp_path}/net.py lies in none of kubeflow.volumes, so that a pod looks for it in its image"
    )


def test_a_store_of_runs_on_this_machine_has_no_effect_in_pods(tmp_path: Path) -> None:
    told = settings(tmp_path, output={"artifacts": "s3://b/runs"}, kubeflow=FULL)
    [note] = pods.notes(told)
    assert note == (
        "output.artifacts: it has no effect on Kubeflow, whose stages write below kubeflow.pipeline_root "
        "minio://mlpipeline/v2/artifacts"
    )
    compiled = compiler.compile(told)[0]
    ingest = tasks(compiled)["ImageExampleGen"]["inputs"]["parameters"]
    assert ingest["artifacts"]["runtimeValue"]["constant"] == ""
    assert compiled["defaultPipelineRoot"] == "minio://mlpipeline/v2/artifacts"


def test_weights_that_pods_download_are_reported(tmp_path: Path) -> None:
    [told] = pods.notes(settings(tmp_path, training={"backbone": "VGG16"}, kubeflow=FULL))
    assert told.startswith(
        "training.weights: the pods of the data gate, the Trainer and the Evaluator download the ImageNet weights of "
        "VGG16, unless "
    )
    assert pods.notes(settings(tmp_path, training={"backbone": "VGG16", "weights": None}, kubeflow=FULL)) == []


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({}, "kubeflow.image: this key is missing"),
        ({"image": IMAGE, "stages": {"Trianer": {}}}, "kubeflow.stages: 'Trianer' is no stage; there are Baseline, "),
    ],
)
def test_settings_that_cannot_be_compiled_are_named(tmp_path: Path, section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        compiler.compile(settings(tmp_path, kubeflow=section))


@pytest.mark.parametrize(
    ("name", "message"),
    [("p.json", r"-o .*/p\.json: expected a name that ends in \.yaml"), ("no/p.yaml", "-o .*: No such file")],
)
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compiler.write(settings(tmp_path), str(tmp_path / name))


def test_the_command_writes_the_file_and_names_paths_that_pods_will_not_have(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings(tmp_path)
    path, file = str(tmp_path / "imagegate.yaml"), str(tmp_path / "p.yaml")
    assert cli.main(["compile", path, "-o", file]) == 0
    out, err = capfd.readouterr()
    assert out == f"wrote {file}\n"
    assert [line.partition(":")[0] for line in err.splitlines()] == ["note"] * 2
    assert len(list(yaml.safe_load_all(Path(file).read_text()))) == 2
    assert cli.main(["compile", path, "-o", file, "--set", "kubeflow.image=null"]) == 2


@given(st.from_regex(config.Config.model_fields["name"].metadata[0].pattern, fullmatch=True))
def test_every_name_has_a_form_that_kubeflow_takes(name: str) -> None:
    told = config.Config.model_construct(name=name)
    assert re.fullmatch("[a-z0-9][a-z0-9-]{0,127}", compiler.pipeline_name(told))


def test_the_data_gate_of_a_pod_has_the_backbone_and_keeps_no_features(tmp_path: Path) -> None:
    """Its cache key follows the backbone's file, as the Trainer's does."""
    found = tasks(compiler.compile(settings(tmp_path, training={"backbone": "/models/b.keras"}))[0])["ClassBalance"]
    parameters = found["inputs"]["parameters"]
    told = json.loads(parameters["features"]["runtimeValue"]["constant"])
    assert (told["backbone"], told["folder"]) == ("/models/b.keras", "")
    assert parameters["files_version"]["taskOutputParameter"]["producerTask"] == "Preflight"
