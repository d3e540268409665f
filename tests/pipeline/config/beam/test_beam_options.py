"""An option that Beam would pass over or stumble over is named before anything runs, and no secret is shown."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.base.errors import ConfigError
from pipeline.config.beam import java, options

KNOWN = sorted(name for name in options.parser()._option_string_actions if name not in ("-h", "--help"))
SECRET = "hunter2"


def notes(*beam: str, runners: tuple[str, ...] = ()) -> list[str]:
    return list(options.check(options.given(beam), runners))


@pytest.mark.parametrize(
    ("beam", "message"),
    [
        (["--paralelism=2"], "beam: --paralelism is no option of Beam; did you mean --parallelism?"),
        (["--job-endpoint=a:1"], "beam: --job-endpoint is no option of Beam; did you mean --job_endpoint?"),
        (["--numWorkers=2"], "did you mean --num_workers?"),
        (["--savepointPath=a"], "did you mean --savepoint_path?"),
        (["-runner=FlinkRunner"], "beam.0: expected an option, which begins with two dashes; did you mean --runner?"),
        (["--streaming", "runner=FlinkRunner"], "beam: --streaming: expected no value; write --streaming alone"),
        (["–runner=FlinkRunner"], "did you mean --runner?"),
        (["---runner=FlinkRunner"], "did you mean --runner?"),
        (["--runner FlinkRunner"], "beam.0: expected an equals sign between an option and its value, as in --runner="),
        (["--job_server_jvm_properties", "-Xmx4g"], "beam.1: expected the value of --job_server_jvm_properties; one"),
        (["--parallelism=2", "3"], "beam.1: expected an option, which begins with two dashes, such as --runner="),
        (["--parallelism=two"], "beam: --parallelism: expected a whole number; got 'two'"),
        (["--sdk_worker_parallelism=two"], "beam: --sdk_worker_parallelism: expected a whole number; got 'two'"),
        (["--profile_sample_rate=x"], "beam: --profile_sample_rate: expected a number; got 'x'"),
        (["--flink_version=1.18"], "beam: --flink_version: expected one of 1.19, 1.20, "),
        (["--flink_master"], "beam: --flink_master: expected a value; write --flink_master=VALUE"),
        (["--flink_master", "--streaming"], "beam: --flink_master: expected a value; write --flink_master=VALUE"),
        (["--streaming=true"], "beam: --streaming: expected no value; write --streaming alone"),
        (["--sdk_harness_log_level_overrides=[1]"], 'expected JSON, such as {"KEY": "VALUE"}'),
        (["--gcs_custom_audit_entries={"], 'expected JSON, such as {"KEY": "VALUE"}'),
        (["--help"], "beam: --help is no option of a pipeline; remove it"),
        (["-h"], "beam.0: expected an option"),
        (["--"], "beam.0: expected an option"),
        ([""], "beam.0: expected an option"),
    ],
)
def test_what_beam_would_misunderstand_is_refused(
    capsys: pytest.CaptureFixture[str], beam: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        notes(*beam)
    assert capsys.readouterr() == ("", "")  # argparse would print its usage, of 200 lines


@given(st.sampled_from(KNOWN + sorted(java.RUNNERS)), st.data())
def test_a_letter_too_few_is_a_near_miss(name: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(2, len(name) - 1))
    short = name[:at] + name[at + 1 :]
    if short in KNOWN or short in java.RUNNERS:
        return  # --label is one, beside --labels
    with pytest.raises(ConfigError, match=r"(did you mean|is no option of a pipeline)"):
        notes(f"{short}=1")


def test_the_java_runners_have_options_of_their_own() -> None:
    assert not java.RUNNERS.keys() & set(KNOWN)
    for name, runners in java.RUNNERS.items():
        [known] = notes(f"{name}=1", runners=(min(runners), "PortableRunner"))
        assert known == (
            f"note: beam: {name} is an option of the Java part of {' and '.join(sorted(runners))}, which alone can "
            "check its value"
        )
        [useless] = notes(f"{name}=1", runners=("PrismRunner", "PortableRunner"))
        assert useless.startswith(f"warning: beam: {name} has no effect with this runner: it is an option of the Java")


def test_other_unknown_options_are_passed_with_a_warning() -> None:
    assert notes("--color=red", "--shade", "dark") == [
        "warning: beam: Beam does not know the option --color",
        "warning: beam: Beam does not know the option --shade",
    ]


@pytest.mark.parametrize(
    "beam",
    [
        [f"--s3_secret_acces_key={SECRET}"],
        ["--s3_secret_acces_key", SECRET],
        [f"--password={SECRET}"],
        [f"--s3_secret_access_key {SECRET}"],
        [f"-s3_secret_access_key={SECRET}"],
        [SECRET],
        [f"s3_secret_access_key={SECRET}"],
        [f"--streaming={SECRET}"],
        [f"--beam_services={SECRET}"],
        [f"--gcs_custom_audit_entries={SECRET}"],
        ["--job_server_jvm_properties", f"-Dpassword={SECRET}"],
    ],
)
def test_no_message_holds_the_value_of_an_option(beam: list[str]) -> None:
    try:
        told = " ".join(notes(*beam))
    except ConfigError as error:
        told = str(error)
    assert told
    assert SECRET not in told
