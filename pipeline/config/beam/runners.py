"""What a Beam runner still needs, said before anything runs; each sentence says what to write.

Beam would find out after the data were listed, or download what is missing: a job server from Maven, Prism from GitHub,
an image from Docker Hub. Here, nothing is downloaded that no option names.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from components.base.errors import ConfigError
from components.data import storage
from pipeline.config.beam import arguments, java, options
from pipeline.config.beam.options import Given

if TYPE_CHECKING:
    from pipeline.config.config import Config

_ENVIRONMENTS = ("DOCKER", "PROCESS", "EXTERNAL", "LOOPBACK")
_REGION = "CLOUDSDK_COMPUTE_REGION"  # where Dataflow's runner looks for a region that no option names


def check(config: Config, kinds: Sequence[str], given: Sequence[Given], *, here: bool) -> Iterator[str]:
    """Yields notes and warnings.

    Args:
        config: the settings.
        kinds: names of the runner's class and its bases.
        given: the options, which Beam can read.
        here: whether the stages are started on this machine, so that its files can be looked at.

    Raises:
        ConfigError: the runner lacks something.
    """
    told = options.values(given)
    if here and config.artifacts:
        yield (
            "note: beam: with output.artifacts, the engine runs ingest and, where Beam reads such a store, the "
            "statistics; Transform and Evaluator run on this machine, because TensorFlow opens no models there"
        )
    if "DataflowRunner" in kinds:
        _dataflow(config, told, here=here)
        yield from _handed_on(here=here)
    elif "SwitchingDirectRunner" in kinds:
        _direct(told, here=here)
    elif "PrismRunner" in kinds:
        _prism(told, here=here)
    elif "PortableRunner" in kinds:
        yield from _portable(config, kinds, told, given, here=here)


def _dataflow(config: Config, told: dict[str, Any], *, here: bool) -> None:
    needed = {
        "--project=PROJECT": told["project"],
        f"--region=REGION, or set {_REGION}": told["region"] or os.environ.get(_REGION),
        "--temp_location=gs://BUCKET/FOLDER": told["temp_location"] or told["staging_location"],
        "--sdk_container_image=IMAGE, an image that holds imagegate": arguments.named_code(told),
    }
    for option, value in needed.items():
        if not value:
            raise ConfigError(f"beam: DataflowRunner lacks an option; add {option}")
    for key, path in _seen_by_workers(config, here=here):
        if not path.startswith("gs://"):
            what = "is not in Google Cloud Storage" if _is_remote(path) else "is a folder of this machine"
            place = "set output.artifacts to" if key == "output" else "name"
            raise ConfigError(
                f"{key}: {path} {what}, and the workers of Dataflow see nothing else; {place} a URL such as "
                "gs://BUCKET/FOLDER, or choose a runner whose workers see this place"
            )


def _direct(told: dict[str, Any], *, here: bool) -> None:
    if _missing_prism(told, here=here) is not None:
        raise ConfigError(
            "beam: DirectRunner first tries Prism, which Beam would download; remove --runner, and Beam runs in "
            "the process of the stage without it; or name the program: --prism_location=PATH"
        )


def _prism(told: dict[str, Any], *, here: bool) -> None:
    url = _missing_prism(told, here=here)
    if url is not None:
        raise ConfigError(
            f"beam: PrismRunner needs the program Prism, which Beam would download; download {url} and name it: "
            "--prism_location=PATH, or name one that runs: --job_endpoint=HOST:PORT"
        )


def _missing_prism(told: dict[str, Any], *, here: bool) -> str | None:
    """Returns where Beam would download Prism from, or None if it would not, or is told to.

    Raises:
        ConfigError: the path of the program is wrong.
    """
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.prism_runner import PrismJobServer
    from apache_beam.version import __version__

    if told["job_endpoint"] or told["prism_location"]:
        _exists("--prism_location", None if told["job_endpoint"] else told["prism_location"], here=here)
        return None
    release = told["prism_beam_version_override"] or f"v{__version__}"
    server = PrismJobServer(PipelineOptions([f"--prism_beam_version_override={release}"]))
    url: str = server.construct_download_url(release, platform.system(), platform.machine())
    cached = os.path.join(PrismJobServer.BIN_CACHE, os.path.basename(url))
    return None if here and os.path.exists(cached) else url


def _portable(
    config: Config, kinds: Sequence[str], told: dict[str, Any], given: Sequence[Given], *, here: bool
) -> Iterator[str]:
    """Checks a runner behind a job server: that of Flink, that of Spark, or whatever listens at `--job_endpoint`."""
    master, embedded = "", False
    if java.FLINK in kinds:
        master, embedded = "--flink_master=HOST:PORT", told["flink_master"].strip() in ("[auto]", "[local]")
        _job_server(java.FLINK, told, given, here=here)
    elif java.SPARK in kinds:
        master = "--spark_master_url=spark://HOST:PORT"
        embedded = re.fullmatch(r"local(\[.+\])?", told["spark_master_url"]) is not None
        _job_server(java.SPARK, told, given, here=here)
    elif kinds[0] == "PortableRunner" and not told["job_endpoint"]:
        raise ConfigError("beam: PortableRunner lacks an option; add --job_endpoint=HOST:PORT, where a job server runs")
    else:
        embedded = kinds[0] != "PortableRunner"  # a runner of its own, which starts what it needs
    environment = _environment(told, "LOOPBACK" if embedded else "DOCKER")
    if embedded and master and not told["job_endpoint"]:
        yield (
            f"note: beam: no cluster is named, so {kinds[0]} works on the machine that starts the stages; a cluster is "
            f"named as {master}"
        )
    if environment == "LOOPBACK" and (told["job_endpoint"] or not embedded):
        yield (
            "note: beam: with the environment type LOOPBACK, the machine that starts the stages does all of their "
            "work, and a runner on other machines does not reach it; DOCKER, PROCESS and EXTERNAL are the others"
        )
    if environment == "LOOPBACK" and told["environment_config"] and not told["environment_type"]:
        yield (
            "warning: beam: --environment_config has no effect, because the environment type is LOOPBACK here; add "
            "--environment_type=DOCKER if it names an image"
        )
    on_this_machine = embedded and not told["job_endpoint"] and environment == "PROCESS"
    if environment != "LOOPBACK" and not on_this_machine:
        for key, path in _local(config, here=here):
            yield (
                f"warning: beam: {key}: {path} is a folder of this machine; all workers must see it under the same "
                "path, as on a network file system"
            )
        yield from _handed_on(here=here)


def _job_server(runner: str, told: dict[str, Any], given: Sequence[Given], *, here: bool) -> None:
    """Raises ConfigError unless there is a job server, or the jar of one, which Beam would download."""
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.flink_runner import FlinkJarJobServer
    from apache_beam.runners.portability.spark_runner import SparkJarJobServer
    from apache_beam.utils.subprocess_server import JavaJarServer

    if told["job_endpoint"]:
        return
    engine = "flink" if runner == java.FLINK else "spark"
    option, jar = f"--{engine}_job_server_jar", told[f"{engine}_job_server_jar"]
    if told["spark_submit_uber_jar"] and runner == java.SPARK and not told["spark_rest_url"]:
        raise ConfigError("beam: --spark_submit_uber_jar needs --spark_rest_url=http://HOST:6066; add it")
    if jar:
        _exists(option, jar, here=here)
    else:
        server = FlinkJarJobServer if runner == java.FLINK else SparkJarJobServer
        url = server(PipelineOptions([a for one in given for a in one.arguments])).path_to_jar()
        cached = os.path.join(told["jar_cache_dir"] or JavaJarServer.JAR_CACHE, os.path.basename(url))
        if not here or not (os.path.exists(url) or os.path.exists(cached)):
            raise ConfigError(
                f"beam: {runner} needs a job server, which Beam would download; download {url} and name it: "
                f"{option}=PATH, or name one that runs: --job_endpoint=HOST:PORT"
            )
    launcher = told["job_server_java_launcher"]
    if here and shutil.which(launcher) is None and not told[f"{engine}_submit_uber_jar"]:
        raise ConfigError(
            f"beam: {runner} starts its job server with Java, and there is no program {launcher!r}; install Java, or "
            "name it: --job_server_java_launcher=PATH"
        )


def _environment(told: dict[str, Any], default: str) -> str:
    """Returns the type of the environment that workers run in.

    Raises:
        ConfigError: Beam knows no such type, or it lacks something.
    """
    from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions
    from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator

    kind: str = told["environment_type"] or default
    if kind not in _ENVIRONMENTS and not kind.startswith("beam:env:"):
        near = options.nearest(kind, _ENVIRONMENTS)
        hint = f"; did you mean {near}?" if near else ""
        raise ConfigError(f"beam: --environment_type: expected one of {', '.join(_ENVIRONMENTS)}; got {kind!r}{hint}")
    view = PipelineOptions([], **told).view_as(PortableOptions)
    image = told["environment_config"] or view.lookup_environment_option("docker_container_image")
    if kind == "DOCKER" and not image and not told["prebuild_sdk_container_engine"]:
        other = told["sdk_container_image"] or told["worker_harness_container_image"]
        raise ConfigError(
            "beam: workers would run in Beam's own image, which Beam would download and which holds no imagegate; "
            "write --environment_type=DOCKER and --environment_config=IMAGE, an image that holds imagegate, or choose "
            "another --environment_type: PROCESS, EXTERNAL or LOOPBACK"
            + (". This runner does not read --sdk_container_image" if other else "")
        )
    errors = PipelineOptionsValidator(view, None).validate_environment_options(view)
    if errors:
        raise ConfigError(f"beam: {' '.join(errors)} See --environment_config and --environment_options of Beam")
    return kind


def _exists(option: str, path: str | None, *, here: bool) -> None:
    """Raises ConfigError if a file of this machine is named that is not there; a URL is the user's own choice."""
    if here and path and not re.match(r"[A-Za-z][\w+.-]*:", path) and not os.path.exists(path):
        raise ConfigError(f"beam: {option}: {os.path.abspath(path)} does not exist; expected the path or URL of a file")


def _local(config: Config, *, here: bool) -> Iterator[tuple[str, str]]:
    """Yields (key, path) of what lies on this machine and workers read or write."""
    return ((key, path) for key, path in _seen_by_workers(config, here=here) if not _is_remote(path))


def _seen_by_workers(config: Config, *, here: bool) -> Iterator[tuple[str, str]]:
    """Yields (key, path or URL) of what workers read or write; on Kubeflow, `output` is not used."""
    yield "data.root", config.data_root
    if config.unlabelled_images is not None:
        yield "data.unlabelled", config.unlabelled_images.root
    if here and config.artifacts:
        yield "output.artifacts", config.artifacts
    elif here:
        yield "output", config.output_folder


def _is_remote(path: str) -> bool:
    return storage.is_url(re.sub("^(file|local)://", "", path))


def _handed_on(*, here: bool) -> Iterator[str]:
    """Yields a warning where the stages run in pods."""
    if not here:
        yield (
            "warning: beam: a stage in a pod reads and writes folders of its pod; workers outside of the pod do not "
            "see them"
        )
