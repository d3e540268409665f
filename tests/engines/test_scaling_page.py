"""docs/scaling.md names the versions and settings with which the engines are tested."""

import re
from pathlib import Path

import pytest

from engines import fetching, flink, java

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "scaling.md").read_text(encoding="utf-8")


def test_the_page_has_the_settings_of_flink() -> None:
    assert "\n".join(f"{key}: {value}" for key, value in flink.SETTINGS.items()) in PAGE


def test_the_page_opens_the_packages_that_the_tests_open() -> None:
    [listed] = re.findall(r"for p in ([^;]+); do", PAGE)
    assert listed.replace("\\", "").split() == java.OPENED


def test_the_page_installs_the_prism_of_the_tests() -> None:
    assert f"go install {fetching.PRISM}\n" in PAGE


@pytest.mark.parametrize(("engine", "artifact"), [("flink", "Flink 1.19.0"), ("spark", "Spark 3.5.0")])
def test_the_page_names_the_versions_of_the_class_paths(engine: str, artifact: str) -> None:
    runner = re.search(
        r"<artifactId>beam-runners-(?:flink|spark)\S*</artifactId>\s*<version>(.+)</version>", pom(engine)
    )
    assert runner
    assert f"{artifact} with Beam's runner {runner[1]}" in PAGE


def test_both_class_paths_hold_the_job_service_at_the_version_of_the_page() -> None:
    [version] = re.findall(r"`beam-runners-java-job-service` at ([\d.]+)\.\s", PAGE)
    for engine in ("flink", "spark"):
        assert re.search(rf"java-job-service</artifactId>\s*<version>{version}</version>", pom(engine))


def pom(engine: str) -> str:
    """The class path's POM."""
    return (HERE / f"{engine}.xml").read_text(encoding="utf-8")
