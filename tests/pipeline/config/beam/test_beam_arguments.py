"""What Beam gets is what the user wrote; what is added overrides none of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.beam import options, passed

IMAGE = "--sdk_container_image=none"
USERS = [
    ["--runner=FlinkRunner"],
    ["--runner", "SparkRunner"],
    ["--runner=DataflowRunner"],
    ["--runner=apache_beam.runners.dataflow.dataflow_runner.DataflowRunner"],
    ["--sdk_container_image=me/pets:1"],
    ["--sdk_container_image", "me/pets:2"],
    ["--sdk_container_image="],
    ["--worker_harness_container_image=me/pets:3"],
    ["--environment_type=DOCKER"],
    ["--environment_type", "PROCESS"],
    ["--environment_config=me/pets:4"],
    ["--prebuild_sdk_container_engine=local_docker"],
    ["--extra_package=pets.tar.gz"],
    ["--setup_file=setup.py"],
    ["--pipeline_type_check"],
    ["--parallelism=-1"],
    ["--object_reuse"],
]


def read(beam: list[str]) -> dict[str, Any]:
    return options.values(options.given(beam))


@given(st.lists(st.sampled_from(USERS), min_size=1, max_size=6))
def test_every_option_of_the_user_stands(chosen: list[list[str]]) -> None:
    beam = [entry for option in chosen for entry in option]
    got = passed(beam)
    start = got.index(beam[0])
    assert got[start : start + len(beam)] == beam
    told, reads = read(beam), read(got)
    named = {one.name.removeprefix("--") for one in options.given(beam)} & told.keys()
    assert {name: reads[name] for name in named} == {name: told[name] for name in named}


@pytest.mark.parametrize(
    ("beam", "added"),
    [
        (["--runner=FlinkRunner"], True),
        (["--runner=FlinkRunner", "--environment_type=DOCKER", "--environment_config=me/pets:1"], True),
        (["--runner=FlinkRunner", "--sdk_container_image=me/pets:1"], False),
        (["--runner=FlinkRunner", "--worker_harness_container_image", "me/pets:1"], False),
        (["--runner=FlinkRunner", "--extra_packages=pets.tar.gz"], False),
        (["--runner=FlinkRunner", "--prebuild_sdk_container_engine=local_docker"], False),
        (["--runner=dataflow"], False),
    ],
)
def test_the_packing_of_tfx_is_turned_off_where_that_can_do_no_harm(beam: list[str], added: bool) -> None:
    assert passed(beam) == [*beam, *([IMAGE] if added else [])]


def test_without_a_runner_beam_stays_in_the_process() -> None:
    assert passed([])[0].endswith(".FnApiRunner")
    assert passed(["--direct_num_workers=2"]) == [passed([])[0], "--direct_num_workers=2", IMAGE]
