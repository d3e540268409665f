"""The Dockerfile, what goes into the image, and the script that runs its steps without a container engine."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scripts import container_root, dockerfile
from scripts.dockerfile import DockerfileError, Instruction, Stage

ROOT = Path(__file__).parent.parent
TOOLS = Path(sys.executable).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    return dockerfile.stages(dockerfile.instructions((ROOT / "Dockerfile").read_text()), {})


# The Dockerfile


def test_hadolint_finds_nothing(tmp_path: Path) -> None:
    text = (ROOT / "Dockerfile").read_text()
    process = run(TOOLS / "hadolint", "--no-color", "--config", os.devnull, "Dockerfile")
    assert (process.returncode, process.stdout) == (0, "")
    assert "hadolint ignore" not in text
    # It does look: the same file as root is found fault with.
    (tmp_path / "Dockerfile").write_text(text.replace("USER 10001:10001", "USER root"))
    process = run(TOOLS / "hadolint", "--no-color", "--config", os.devnull, tmp_path / "Dockerfile")
    assert process.returncode == 1
    assert "DL3002" in process.stdout


def test_the_image_stands_on_pythons_slim_image_of_debian_13_and_takes_only_results_from_the_build(
    stages: list[Stage],
) -> None:
    build, image = stages
    assert (build.base, build.name) == ("python:3.11-slim-trixie", "build")
    assert (image.base, image.name) == ("python:3.11-slim-trixie", "")
    assert [text.split()[:2] for text in image.texts("COPY")] == [
        ["--from=build", "/build/sbom.cdx.json"],
        ["--from=build", "/opt/venv"],
    ]


def test_another_base_may_be_given_such_as_a_digest() -> None:
    found = dockerfile.instructions((ROOT / "Dockerfile").read_text())
    base = "mirror.example/python:3.11-slim-trixie@sha256:" + 64 * "0"
    assert {stage.base for stage in dockerfile.stages(found, {"BASE": base})} == {base}


def test_the_user_is_a_number_and_not_root(stages: list[Stage]) -> None:
    # Kubernetes' runAsNonRoot refuses names, since it cannot tell whose they are.
    (user,) = stages[-1].texts("USER")
    assert re.fullmatch(r"[1-9]\d{4}:[1-9]\d{4}", user)
    keywords = [instruction.keyword for instruction in stages[-1].instructions]
    assert not {"RUN", "COPY"} & set(keywords[keywords.index("USER") :])


def test_every_package_from_outside_comes_by_its_hash(stages: list[Stage]) -> None:
    commands = [part for stage in stages for text in stage.texts("RUN") for part in text.split("&&")]
    installs = [command for command in commands if re.search(r"\b(pip|uv) .*(install|sync)\b", command)]
    installs = [command for command in installs if "uninstall" not in command]
    outside = [command for command in installs if "--offline" not in command]
    assert len(outside) == 3  # uv, the packages, the tool for the SBOM
    assert all("--require-hashes" in command for command in outside)
    assert len(installs) - len(outside) == 1  # this project
    assert not re.search(r"\b(apt|apt-get|curl|wget)\b", " ".join(commands))


def test_the_labels_repeat_pyproject(stages: list[Stage]) -> None:
    known = {"VERSION": "", "REVISION": "abc", "SOURCE": "https://example.org"}
    for text in stages[-1].texts("ARG"):
        known |= {"VERSION": text.partition("=")[2]} if text.startswith("VERSION=") else {}
    (text,) = stages[-1].texts("LABEL")
    labels = {name.removeprefix("org.opencontainers.image."): v for name, v in dockerfile.pairs(text, known).items()}
    assert labels == {
        "title": PROJECT["name"],
        "description": PROJECT["description"],
        "licenses": PROJECT["license"],
        "version": PROJECT["version"],
        "revision": "abc",
        "source": "https://example.org",
    }


def test_the_entry_point_is_the_command(stages: list[Stage]) -> None:
    (entry,) = stages[-1].texts("ENTRYPOINT")
    assert dockerfile.words(entry) == list(PROJECT["scripts"])


def gpu_step(stages: list[Stage], folder: Path, gpu: str) -> subprocess.CompletedProcess[str]:
    """Runs the part of the build that chooses NVIDIA's packages; leaves nvidia.lock."""
    (text,) = [text for text in stages[0].texts("RUN") if text.startswith("case ")]
    shutil.copy(ROOT / "requirements-gpu.lock", folder)
    command = ["/bin/sh", "-c", text.partition("&&")[0]]
    environment = {"GPU": gpu, "PATH": os.environ["PATH"]}
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


def test_a_gpu_build_adds_nvidias_packages_and_nothing_else(stages: list[Stage], tmp_path: Path) -> None:
    assert gpu_step(stages, tmp_path, "1").returncode == 0
    assert (
        pins(tmp_path / "nvidia.lock").items()
        == pins("requirements-gpu.lock").items() - pins("requirements.lock").items()
    )
    assert "nvidia-cudnn-cu12" in pins(tmp_path / "nvidia.lock")

    assert gpu_step(stages, tmp_path, "0").returncode == 0
    assert (tmp_path / "nvidia.lock").read_text() == ""

    process = gpu_step(stages, tmp_path, "yes")
    assert (process.returncode, process.stderr) == (1, "GPU is 0 or 1, not 'yes'\n")


# What goes in


def pins(name: str | Path) -> dict[str, str]:
    """Each package of a lock file -> its version, marker and hashes."""
    text = (ROOT / name).read_text()
    found = re.findall(r"^([a-z0-9-]+)(==.*(?:\n    --hash=.*)+)", text, re.MULTILINE)
    assert len(found) == len(re.findall(r"^[a-z0-9-]+==", text, re.MULTILINE))
    return dict(found)


def test_the_image_has_the_same_packages_as_development_without_its_tools() -> None:
    image, development = pins("requirements-container.lock"), pins("requirements.lock")
    assert image.items() < development.items()
    tools = {re.split(r"[^\w-]", text)[0].lower() for text in PROJECT["optional-dependencies"]["dev"]}
    assert {"pytest", "uv", "lief", "types-pyyaml"} < tools
    # TensorFlow itself needs setuptools.
    assert tools & image.keys() == {"setuptools"}
    wanted = {re.split(r"[^\w.-]", text)[0].replace(".", "-") for text in PROJECT["dependencies"]}
    wanted |= {re.split(r"[^\w.-]", text)[0].replace(".", "-") for text in PROJECT["optional-dependencies"]["kubeflow"]}
    assert wanted <= image.keys()


def files(folder: str) -> set[str]:
    """All files of a folder of the project, but for bytecode."""
    paths = [path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()]
    return {path.as_posix() for path in paths if "__pycache__" not in path.parts}


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        ".venv/bin/python",
        "components/__pycache__/gates.cpython-311.pyc",
        "data/digits/7/000.png",
        "demo/imagegate.yaml",
        "models/digits/1/saved_model.pb",
        "runs/digits/latest",
        "service-account.json",
        "tests/test_dockerfile.py",
    ],
)
def test_the_build_does_not_see_ignored_files(path: str) -> None:
    assert dockerfile.ignored(path, dockerfile.patterns((ROOT / ".dockerignore").read_text()))


def test_the_build_sees_every_file_of_the_packages_and_what_the_dockerfile_copies(stages: list[Stage]) -> None:
    lines = dockerfile.patterns((ROOT / ".dockerignore").read_text())
    packages = files("components") | files("pipeline") | files("schemas")
    assert "components/report/page.html" in packages
    copied = [word for text in stages[0].texts("COPY") for word in text.split()[:-1]]
    assert {"pyproject.toml", "LICENSE", "requirements-container.lock", "components"} <= set(copied)
    assert [path for path in [*packages, *copied] if dockerfile.ignored(path, lines)] == []


def test_the_sbom_lists_every_package(tmp_path: Path) -> None:
    """As the Dockerfile has it made, of this environment."""
    path = tmp_path / "sbom.cdx.json"
    options = ["--output-reproducible", "--pyproject", "pyproject.toml", "--output-file"]
    (step,) = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if "cyclonedx-py environment" in line]
    assert " ".join(options[:3]) in step

    process = run(TOOLS / "cyclonedx-py", "environment", *options, path, sys.executable)

    assert process.returncode == 0, process.stderr  # it checks the result against CycloneDX's schema itself
    sbom = json.loads(path.read_text())
    assert (sbom["bomFormat"], sbom["metadata"]["component"]["name"]) == ("CycloneDX", "imagegate")
    components = {component["name"].lower(): component for component in sbom["components"]}
    tensorflow = components["tensorflow"]
    version = pins("requirements.lock")["tensorflow"].split()[0].removeprefix("==")
    assert (tensorflow["version"], tensorflow["purl"]) == (version, f"pkg:pypi/tensorflow@{version}")
    assert tensorflow["licenses"]
    assert len([c for c in components.values() if c.get("licenses")]) > 0.9 * len(components)
    assert "file://" not in path.read_text()


STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Source: glibc
Version: 2.41-12+deb13u1
Description: GNU C Library: Shared libraries
 Version: 0 of a description is none.

Package: zlib1g
Status: install ok installed
Architecture: amd64
Version: 1:1.3.dfsg+really1.3.1-1+b1

Package: man-db
Status: install ok triggers-pending
Architecture: amd64
Version: 2.13.1-1

Package: cron
Status: install ok triggers-awaited
Architecture: amd64
Version: 3.0pl1-197

Package: broken
Status: install ok half-configured
Architecture: amd64
Version: 1

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1.0
"""


def test_the_sbom_of_the_image_lists_python_and_the_packages_of_debian(stages: list[Stage], tmp_path: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS)
    (tmp_path / "etc/os-release").write_text('PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_ID="13"\n')
    path = tmp_path / "sbom.cdx.json"
    numpy = {"type": "library", "bom-ref": "numpy==2.2.6", "name": "numpy", "version": "2.2.6"}
    path.write_text(json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": [numpy]}))

    # By itself, as in the image, whose build has nothing else of this project yet.
    process = run(sys.executable, "-I", "scripts/system_packages.py", path, tmp_path)

    assert (process.returncode, process.stderr) == (0, "")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text()) is None
    python = platform.python_version()
    assert [(one["name"], one["version"], one.get("purl")) for one in json.loads(path.read_text())["components"]] == [
        ("numpy", "2.2.6", None),
        ("debian", "13", None),
        ("python", python, f"pkg:generic/python@{python}"),
        ("cron", "3.0pl1-197", "pkg:deb/debian/cron@3.0pl1-197?arch=amd64&distro=debian-13"),
        ("libc6", "2.41-12+deb13u1", "pkg:deb/debian/libc6@2.41-12%2Bdeb13u1?arch=amd64&distro=debian-13"),
        ("man-db", "2.13.1-1", "pkg:deb/debian/man-db@2.13.1-1?arch=amd64&distro=debian-13"),
        (
            "zlib1g",
            "1:1.3.dfsg+really1.3.1-1+b1",
            "pkg:deb/debian/zlib1g@1:1.3.dfsg%2Breally1.3.1-1%2Bb1?arch=amd64&distro=debian-13",
        ),
    ]
    # The last step of the stage that writes the list, which the image takes over; neither stage adds a package.
    (step,) = [text for text in stages[0].texts("RUN") if "system_packages.py" in text]
    assert step.endswith("&& python system_packages.py sbom.cdx.json")
    assert "scripts/system_packages.py ./" in stages[0].texts("COPY")


def test_a_system_without_dpkg_is_named_and_the_list_left_as_it_is(tmp_path: Path) -> None:
    process = run(sys.executable, "scripts/system_packages.py", tmp_path / "sbom.cdx.json", tmp_path)
    assert process.returncode == 1
    assert process.stderr.startswith(f"{tmp_path}: expected var/lib/dpkg/status and etc/os-release of a Debian: ")


# The script


def test_instructions_joins_lines_and_leaves_comments_out() -> None:
    text = "# one\nFROM a AS b\n\nRUN x \\\n    # two\n  && y\n"
    assert dockerfile.instructions(text) == [Instruction("FROM", "a AS b"), Instruction("RUN", "x  && y")]


def test_instructions_refuses_what_it_would_not_run() -> None:
    with pytest.raises(DockerfileError, match="ADD is not supported, only ARG, CMD, COPY"):
        dockerfile.instructions("FROM a\nADD b c\n")


def test_stages_are_split_at_from() -> None:
    found = dockerfile.instructions("ARG B=x:1\nFROM $B AS one\nARG G=0\nUSER 5\nFROM y\n")
    assert dockerfile.stages(found, {"B": "z"}) == [
        Stage("z", "one", [Instruction("ARG", "G=0"), Instruction("USER", "5")]),
        Stage("y", "", []),
    ]
    assert dockerfile.stages(found, {})[0].base == "x:1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("RUN a\nFROM b", "RUN precedes the first FROM; only ARG may"),
        ("FROM --platform=x b", r"expected FROM IMAGE \[AS NAME\], got FROM --platform=x b"),
        ("FROM $NONE", r"\$NONE has no value in: \$NONE"),
    ],
)
def test_stages_refuses_a_malformed_dockerfile(text: str, message: str) -> None:
    with pytest.raises(DockerfileError, match=message):
        dockerfile.stages(dockerfile.instructions(text), {})


def test_variables_are_expanded_in_pairs() -> None:
    known = {"PATH": "/bin", "B": "two words"}
    assert dockerfile.pairs('PATH=/opt/bin:$PATH C="${B}" D=$PATH', known) == {
        "PATH": "/opt/bin:/bin",
        "C": "two words",
        "D": "/bin",
    }


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a", True),
        ("keep", False),
        ("keep/x/y", False),
        ("keep/x/__pycache__/y", True),
        ("other/keep", True),
        ("r.lock", False),
        ("d/r.lock", True),
        ("rxlock", True),
    ],
)
def test_dockerignore_patterns_are_matched(path: str, expected: bool) -> None:
    assert dockerfile.ignored(path, ["*", "!keep", "!*.lock", "**/__pycache__"]) == expected


def test_copy_takes_from_the_project_what_dockerignore_lets_in(tmp_path: Path) -> None:
    container_root.copy("pyproject.toml LICENSE ./", tmp_path, "/build", {})
    container_root.copy("schemas schemas", tmp_path, "/build", {})

    copied = {path.relative_to(tmp_path / "build").as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert copied == {"pyproject.toml", "LICENSE", *files("schemas")}
    with pytest.raises(DockerfileError, match=r"\.dockerignore excludes all of .*tests"):
        container_root.copy("tests tests", tmp_path, "/build", {})
    with pytest.raises(DockerfileError, match=r"the only supported option is --from: --chown=1 a b"):
        container_root.copy("--chown=1 a b", tmp_path, "/build", {})


def test_copy_takes_from_another_stage(tmp_path: Path) -> None:
    (tmp_path / "build/opt/venv").mkdir(parents=True)
    (tmp_path / "build/opt/venv/python").symlink_to("/usr/local/bin/python")
    (tmp_path / "build/list.json").write_text("{}")

    for text in ("--from=build /opt/venv /opt/venv", "--from=build /list.json /doc/"):
        container_root.copy(text, tmp_path / "image", "/", {"build": tmp_path / "build"})

    assert os.readlink(tmp_path / "image/opt/venv/python") == "/usr/local/bin/python"
    assert (tmp_path / "image/doc/list.json").read_text() == "{}"


def test_installers_get_the_hosts_settings_and_nothing_else() -> None:
    host = {"PIP_INDEX_URL": "a", "UV_DEFAULT_INDEX": "b", "https_proxy": "c", "TOKEN": "d", "PIP_CERT": "/host.pem"}
    certificates = dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE"), "/run/certificates.pem")
    assert container_root.host_settings(host) == {
        "PIP_INDEX_URL": "a",
        "UV_DEFAULT_INDEX": "b",
        "https_proxy": "c",
        **certificates,
    }


def test_the_script_writes_only_into_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("")
    assert container_root.main([str(tmp_path)]) == 1
    assert capsys.readouterr().err == (f"container_root: {tmp_path} is not empty; remove it, or name another folder\n")
    assert os.listdir(tmp_path) == ["mine"]
