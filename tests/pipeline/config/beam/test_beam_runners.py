"""What a runner lacks is said before anything runs, with what to write, and nothing is downloaded for it."""

import platform
import re
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from apache_beam.runners.portability.prism_runner import PrismJobServer
from apache_beam.utils.subprocess_server import JavaJarServer
from apache_beam.version import __version__

from components.base.errors import ConfigError
from pipeline import cli, config
from pipeline.config import beam

Checked = Callable[..., list[str]]
FLINK, SPARK, PORTABLE = "--runner=FlinkRunner", "--runner=SparkRunner", "--runner=PortableRunner"
JAVA = f"--job_server_java_launcher={sys.executable}"
ENDPOINT, URL_JAR = "--job_endpoint=jobs:8099", "--flink_job_server_jar=https://example.org/a.jar"
DATAFLOW = [
    "--runner=DataflowRunner",
    "--project=pets",
    "--region=europe-west1",
    "--temp_location=gs://pets/tmp",
    "--sdk_container_image=me/pets:1",
]


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders of a user for whom Beam has downloaded nothing, and who must not find it out by a download."""
    monkeypatch.setattr(JavaJarServer, "JAR_CACHE", str(tmp_path / "jars"))
    monkeypatch.setattr(PrismJobServer, "BIN_CACHE", str(tmp_path / "prism"))
    monkeypatch.delenv("CLOUDSDK_COMPUTE_REGION", raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("a download"))


@pytest.fixture
def checked(tmp_path: Path) -> Checked:
    """`checked(*options)` returns the notes."""

    def check(*options: str, here: bool = True, root: str = "images", artifacts: str | None = None) -> list[str]:
        told: dict[str, Any] = {"name": "pets", "task": "single_label", "data": {"root": root}}
        told |= {"output": {"artifacts": artifacts}, "push": {"destination": "served"}}
        loaded = config.validated(told | {"beam": list(options), "folder": str(tmp_path)})
        return beam.check(loaded, here=here)

    return check


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([FLINK], "download https://repo.maven.apache.org/maven2/org/apache/beam/beam-runners-flink-2.2-job-server/"),
        ([FLINK, "--flink_version=1.19"], "beam-runners-flink-1.19-job-server"),
        ([FLINK], "and name it: --flink_job_server_jar=PATH, or name one that runs: --job_endpoint=HOST:PORT"),
        ([SPARK], "and name it: --spark_job_server_jar=PATH, or name one that runs: --job_endpoint=HOST:PORT"),
        ([SPARK, "--spark_submit_uber_jar"], "--spark_submit_uber_jar needs --spark_rest_url=http://HOST:6066"),
        ([PORTABLE], "PortableRunner lacks an option; add --job_endpoint=HOST:PORT"),
        ([PORTABLE, ENDPOINT], "write --environment_type=DOCKER and --environment_config=IMAGE"),
        ([PORTABLE, ENDPOINT, "--environment_type=DOCKER", "--sdk_container_image=me/pets:1"],
         "This runner does not read --sdk_container_image"),
        ([FLINK, JAVA, URL_JAR, "--flink_master=cluster:8081"], "--environment_config=IMAGE, an image that holds"),
        ([SPARK, ENDPOINT, "--spark_master_url=spark://cluster:7077"], "--environment_config=IMAGE"),
        ([PORTABLE, ENDPOINT, "--environment_type=docker"], "got 'docker'; did you mean DOCKER?"),
        ([PORTABLE, ENDPOINT, "--environment_type=PROCESS"], "process_command is required for environment type PROC"),
        ([PORTABLE, ENDPOINT, "--environment_type=EXTERNAL"], "external_service_address is required"),
        (["--runner=PrismRunner"], "and name it: --prism_location=PATH, or name one that runs: --job_endpoint="),
        (["--runner=PrismRunner", "--prism_beam_version_override=v2.70.0"], "apache_beam-v2.70.0-prism-"),
        (["--runner=DirectRunner"], "DirectRunner first tries Prism, which Beam would download; remove --runner"),
        (["--runner=direct"], "DirectRunner first tries Prism"),
        (DATAFLOW[:1], "DataflowRunner lacks an option; add --project=PROJECT"),
        (DATAFLOW[:2], "add --region=REGION, or set CLOUDSDK_COMPUTE_REGION"),
        (DATAFLOW[:3], "add --temp_location=gs://BUCKET/FOLDER"),
        (DATAFLOW[:4], "add --sdk_container_image=IMAGE, an image that holds imagegate"),
        (DATAFLOW, "images is a folder of this machine, and the workers of Dataflow see nothing else; name a URL such"),
    ],
)  # fmt: skip
def test_what_a_runner_lacks_is_said(checked: Checked, options: list[str], message: str, here: bool) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        checked(*options, here=here)


def test_a_path_that_does_not_exist_is_named_where_the_stages_start_here(checked: Checked) -> None:
    for options, name in (
        ([FLINK, JAVA, "--flink_job_server_jar=/none.jar"], "--flink_job_server_jar: /none.jar"),
        (["--runner=PrismRunner", "--prism_location=/none"], "--prism_location: /none"),
        (["--runner=DirectRunner", "--prism_location=/none"], "--prism_location: /none"),
    ):
        with pytest.raises(ConfigError, match=f"{name} does not exist"):
            checked(*options)
        checked(*options, here=False)  # in the image of the pod, it may
    with pytest.raises(ConfigError, match=r"there is no program '/no/java'; install Java, or name it: --job_server_"):
        checked(FLINK, URL_JAR, "--job_server_java_launcher=/no/java")


def test_what_beam_has_downloaded_before_is_used(checked: Checked, tmp_path: Path) -> None:
    server = PrismJobServer.__new__(PrismJobServer)
    server._version = f"v{__version__}"
    program = server.construct_download_url(server._version, platform.system(), platform.machine()).split("/")[-1]
    (tmp_path / "jars").mkdir()
    (tmp_path / "prism").mkdir()
    (tmp_path / "jars" / f"beam-runners-spark-3-job-server-{__version__}.jar").write_bytes(b"")
    (tmp_path / "prism" / program).write_bytes(b"")
    assert checked("--runner=PrismRunner") == checked("--runner=DirectRunner") == []
    [note] = checked(SPARK, JAVA)
    assert note == (
        "note: beam: no cluster is named, so SparkRunner works on the machine that starts the stages; a cluster is "
        "named as --spark_master_url=spark://HOST:PORT"
    )
    with pytest.raises(ConfigError, match="download"):
        checked(SPARK, JAVA, here=False)  # nobody knows what a pod's image holds
    with pytest.raises(ConfigError, match="download"):
        checked(SPARK, JAVA, f"--jar_cache_dir={tmp_path}")


def test_folders_that_workers_elsewhere_must_see_are_named(checked: Checked, tmp_path: Path) -> None:
    remote = [PORTABLE, ENDPOINT, "--environment_config=me/pets:1"]
    tail = "is a folder of this machine; all workers must see it under the same path, as on a network file system"
    root, output = f"{tmp_path}/images", f"{tmp_path}/runs/pets"
    assert checked(*remote) == [f"warning: beam: data.root: {root} {tail}", f"warning: beam: output: {output} {tail}"]
    assert checked(*remote, root="s3://pets/images") == [f"warning: beam: output: {output} {tail}"]
    [note] = checked(*remote, root="s3://pets/images", artifacts="s3://pets/runs")
    assert note.endswith("Transform and Evaluator run on this machine, because TensorFlow opens no models there")
    pods = checked(*remote, here=False, root="s3://pets/images")
    assert pods[0].startswith("warning: beam: a stage in a pod reads and writes folders of its pod")
    process = ["--environment_type=PROCESS", "--environment_option=process_command=boot"]
    assert len(checked(FLINK, JAVA, URL_JAR, *process)) == 1  # on this machine, as the note says
    assert len(checked(FLINK, ENDPOINT, *process)) == 2


def test_an_environment_that_does_not_do_what_it_seems_to_is_named(checked: Checked) -> None:
    [loopback] = checked(PORTABLE, ENDPOINT, "--environment_type=LOOPBACK")
    assert loopback.startswith(
        "note: beam: with the environment type LOOPBACK, the machine that starts the stages does"
    )
    image = checked(FLINK, JAVA, URL_JAR, "--environment_config=me/pets:1")
    assert image[1].startswith("warning: beam: --environment_config has no effect, because the environment type is LOO")


def test_dataflow_takes_only_places_in_google_cloud_storage(checked: Checked) -> None:
    images, artifacts = "gs://pets/images", "gs://pets/runs"
    with pytest.raises(
        ConfigError, match=r"^output: .*/runs/pets is a folder of this machine, .*; set output\.artifac"
    ):
        checked(*DATAFLOW, root=images)
    with pytest.raises(
        ConfigError, match=r"^output\.artifacts: s3://pets/runs is not in Google Cloud Storage, and the"
    ):
        checked(*DATAFLOW, root=images, artifacts="s3://pets/runs")
    with pytest.raises(
        ConfigError, match=r"^data\.root: .*/images is a folder of this machine, .*; name a URL such as"
    ):
        checked(*DATAFLOW, artifacts=artifacts)
    [note] = checked(*DATAFLOW, root=images, artifacts=artifacts)
    assert note.startswith("note: beam: with output.artifacts, the engine runs ingest and, where Beam reads such a sto")
    assert len(checked(*DATAFLOW, root=images, here=False)) == 1  # on Kubeflow, `output` is not used


@pytest.mark.parametrize("runner", [[], ["--runner=FnApiRunner"], ["--runner=BundleBasedDirectRunner"]])
def test_this_machine_needs_nothing(checked: Checked, runner: list[str]) -> None:
    assert checked(*runner, "--direct_num_workers=2") == []


@pytest.mark.parametrize("command", ["check", "run", "tune", "compare", "compile"])
def test_every_command_says_so_before_it_writes_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    told: dict[str, Any] = {"name": "pets", "task": "single_label", "data": {"root": "images"}}
    told |= {"push": {"destination": "served"}, "kubeflow": {"image": "me/pets:1"}, "beam": [FLINK]}
    (tmp_path / "imagegate.yaml").write_text(yaml.safe_dump(told))
    arguments = ["-o", str(tmp_path / "compiled.yaml")] if command == "compile" else []
    assert cli.main([command, str(tmp_path / "imagegate.yaml"), *arguments]) == 2
    assert "beam: FlinkRunner needs a job server, which Beam would download" in " ".join(
        capsys.readouterr().err.split()
    )
    assert [path.name for path in tmp_path.iterdir()] == ["imagegate.yaml"]
