"""The set-up on a machine without Python 3.11, and without a network: everything comes from a local archive."""

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from scripts import debian_root

ROOT = Path(__file__).parent.parent
# What scripts/setup.sh calls.
TOOLS = ("cat", "cksum", "cut", "dirname", "env", "grep", "mkdir", "rm", "sed", "sh", "sleep", "tail", "tr")
VERSION = platform.python_version()
SENTENCE = (
    "setup: Python 3.11 is needed, since TFX stops there and Pillow 13 starts there "
    "(looked for: python3.11 python3 python"
)

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "tiny"
version = "1"

[tool.setuptools]
py-modules = []
"""

pytestmark = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="the archive is made for Linux on x86-64"
)


# The local archive


def standalone(path: Path) -> str:
    """Packs this Python as python-build-standalone does, able to run in any folder; returns the SHA-256."""
    lief = pytest.importorskip("lief", reason="LIEF is installed on Linux only")
    program = lief.parse(str(Path(sys.base_prefix, "bin/python3.11")))
    for tag in (lief.ELF.DynamicEntry.TAG.RPATH, lief.ELF.DynamicEntry.TAG.RUNPATH):
        program.remove(tag)
    program.add(lief.ELF.DynamicEntryRunPath("$ORIGIN/../lib"))
    program.write(str(path.with_name("python3.11")))
    path.with_name("python3.11").chmod(0o755)
    leave_out = {"site-packages", "test", "tests", "idlelib", "lib2to3", "tkinter", "turtledemo", "__pycache__"}

    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = Path(member.name).name
        return None if name in leave_out or name.startswith(("config-3.11", "_test")) else member

    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        archive.add(path.with_name("python3.11"), "python/bin/python3.11")
        archive.add(sysconfig.get_path("stdlib"), "python/lib/python3.11", filter=wanted)
        for library in Path(sysconfig.get_config_var("LIBDIR")).glob("libpython3.11.so*"):
            archive.add(library, f"python/lib/{library.name}")
        for name in ("python", "python3"):
            link = tarfile.TarInfo(f"python/bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "python3.11"
            archive.addfile(link)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wheel(name: str, folder: Path) -> str:
    """Packs an installed package into a wheel again; returns its line of a lock file."""
    found = importlib.metadata.distribution(name)
    title = f"{name}-{found.version}"
    tag = "py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64" if name == "uv" else "py3-none-any"
    path = folder / f"{title}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file in found.files or []:
            target = file.as_posix()
            if target.endswith((".pyc", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json")):
                continue
            if "/bin/" in target:
                target = f"{title}.data/scripts/{file.name}"
            archive.write(file.locate(), target)
        archive.writestr(f"{title}.dist-info/RECORD", "")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{name}=={found.version} \\\n    --hash=sha256:{digest}\n    # via tiny\n"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Python, with what tells uv of it, with wheels, and with their lock file."""
    folder = tmp_path_factory.mktemp("archive")
    name = f"cpython-{VERSION}-x86_64-unknown-linux-gnu-install_only.tar.gz"
    (folder / "20260101").mkdir()
    major, minor, patch = sys.version_info[:3]
    known = {
        "name": "cpython", "arch": {"family": "x86_64", "variant": None}, "os": "linux", "libc": "gnu",
        "major": major, "minor": minor, "patch": patch, "prerelease": "", "variant": None, "build": "20260101",
        "url": f"https://github.com/astral-sh/python-build-standalone/releases/download/20260101/{name}",
        "sha256": standalone(folder / "20260101" / name),
    }  # fmt: skip
    (folder / "downloads.json").write_text(json.dumps({f"cpython-{VERSION}-linux-x86_64-gnu": known}))
    (folder / "requirements.lock").write_text("".join(wheel(name, folder) for name in ("setuptools", "uv")))
    return folder


def settings(archive: Path) -> dict[str, str]:
    """What a user sets who has a local archive."""
    return {
        "UV_PYTHON_INSTALL_MIRROR": archive.as_uri(),
        "UV_PYTHON_DOWNLOADS_JSON_URL": str(archive / "downloads.json"),
        "PIP_FIND_LINKS": str(archive),
        "PIP_NO_INDEX": "1",
        "UV_FIND_LINKS": str(archive),
        "UV_NO_INDEX": "1",
    }


# The machine


class Machine:
    """A project of two packages in a folder, and a PATH with nothing on it but the tools that the set-up needs."""

    def __init__(self, folder: Path, archive: Path) -> None:
        self.project, self.bin, self.archive = folder / "project", folder / "bin", archive
        for made in (self.project / "scripts", self.bin, folder / "home"):
            made.mkdir(parents=True)
        for name in ("setup.sh", "unpack_uv.py"):
            shutil.copy(ROOT / "scripts" / name, self.project / "scripts")
        (self.project / "scripts/glibc_compat.py").write_text("")  # there is nothing to adapt
        (self.project / "pyproject.toml").write_text(PYPROJECT)
        shutil.copy(archive / "requirements.lock", self.project)
        for name in TOOLS:
            found = shutil.which(name)
            assert found, name
            (self.bin / name).symlink_to(found)
        self.environment = {"PATH": str(self.bin), "HOME": str(folder / "home"), **settings(archive)}

    def add_uv(self) -> None:
        (self.bin / "uv").symlink_to(Path(sys.executable).parent / "uv")

    def add_python(self, *without: str) -> None:
        """Adds a python3 that calls itself 3.13 and lacks some modules, as in Debian, where packages bring them."""
        folder = self.bin.parent / "standin"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(
            "import collections, sys\n"
            "fields = 'major minor micro releaselevel serial'\n"
            "sys.version_info = collections.namedtuple('version_info', fields)(3, 13, 5, 'final', 0)\n"
        )
        for name in without:
            (folder / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module named {name}')\n")
        script = f'#!/bin/sh\nPYTHONPATH={folder} exec {Path(sys.base_prefix, "bin/python3.11")} "$@"\n'
        (self.bin / "python3").write_text(script)
        (self.bin / "python3").chmod(0o755)

    def start(self, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*without_network(), "/bin/sh", str(self.project / "scripts/setup.sh")],
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell that runs the tests in the background ignores SIGINT, and so would everything that it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  this is the only thread
        )

    def setup(self, **environment: str) -> tuple[int, str, str]:
        process = self.start(**environment)
        out, err = process.communicate()
        return process.returncode, out, err

    def python(self, code: str) -> str:
        command = [str(self.project / ".venv/bin/python"), "-c", code]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@functools.cache
def without_network() -> tuple[str, ...]:
    """The beginning of a command that runs without any network, if such a thing can be started here."""
    command = (shutil.which("unshare") or "unshare", "--user", "--map-root-user", "--net")
    try:
        return () if subprocess.run([*command, "true"], check=False, capture_output=True).returncode else command
    except OSError:
        return ()


@pytest.fixture
def machine(tmp_path: Path, archive: Path) -> Machine:
    return Machine(tmp_path, archive)


def assert_set_up(machine: Machine, result: tuple[int, str, str]) -> None:
    """Both packages and the project are in .venv, whose Python lies below the project."""
    code, out, err = result
    assert (code, err) == (0, "")
    first, *_, last = out.splitlines()
    assert first.startswith("setup: there is no Python 3.11 here (looked for: python3.11 python3 python")
    assert first.endswith("so uv installs one into .python (about 30 MB to download)")
    assert last == "setup: done"
    assert machine.python("import sys, setuptools; print(sys.version.split()[0])") == VERSION
    assert Path(machine.python("import sys; print(sys.base_prefix)")).parent == machine.project / ".python"
    assert machine.python("import importlib.metadata as m; print(m.version('tiny'))") == "1"


# Tests


def test_uv_on_the_path_installs_a_python_below_the_project_also_after_an_interruption(machine: Machine) -> None:
    uv, started = machine.bin / "uv", machine.bin / "started"
    uv.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exit\necho > {started}\nsleep 60\n')
    uv.chmod(0o755)
    process = machine.start()
    while not started.exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate()
    assert (process.returncode, err) == (1, "setup: Interrupted; the next make goes on from here.\n")
    uv.unlink()
    machine.add_uv()
    assert_set_up(machine, machine.setup())
    # Nothing is put into the user's own folders, and a second call finds everything done.
    assert not (machine.bin.parent / "home/.local").exists()
    assert machine.setup() == (0, "", "")


def test_another_python_without_venv_and_pip_brings_uv(machine: Machine) -> None:
    machine.add_python("venv", "ensurepip", "pip")
    assert_set_up(machine, machine.setup())


@pytest.mark.slow  # two more ways to the same
@pytest.mark.parametrize("without", [("venv", "ensurepip"), ()], ids=["pip", "venv"])
def test_another_python_brings_uv_with_pip(machine: Machine, without: tuple[str, ...]) -> None:
    machine.add_python(*without)
    (machine.project / "scripts/unpack_uv.py").write_text("raise SystemExit('pip is there')")
    assert_set_up(machine, machine.setup())


def test_without_uv_and_any_python_one_sentence_says_so(machine: Machine) -> None:
    code, out, err = machine.setup()
    assert code == 1
    assert out.count("\n") == 1
    assert err == (
        f"{SENTENCE}); install it, or name it with PYTHON=/path/to/python3.11. "
        "Here uv, which could bring one, is not here, and there is no other Python that could install it.\n"
    )
    assert not (machine.project / ".venv").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"UV_PYTHON_INSTALL_MIRROR": "http://127.0.0.1:9"}, "uv cannot install one either: "),
        ({"UV_PYTHON_DOWNLOADS_JSON_URL": "wrong.json"}, "uv cannot install one either: Hash mismatch"),
    ],
    ids=["offline", "wrong digest"],
)
def test_what_uv_cannot_install_is_said_in_one_sentence(
    machine: Machine, tmp_path: Path, change: Mapping[str, str], reason: str
) -> None:
    machine.add_uv()
    text = (machine.archive / "downloads.json").read_text()
    digest = next(iter(json.loads(text).values()))["sha256"]
    (tmp_path / "wrong.json").write_text(text.replace(digest, "0" * 64))
    change = {name: value.replace("wrong.json", str(tmp_path / "wrong.json")) for name, value in change.items()}
    code, _, err = machine.setup(UV_HTTP_RETRIES="0", **change)
    assert code == 1
    assert err.count("\n") == 1
    assert err.startswith(SENTENCE)
    assert reason in err
    assert err.endswith(" (see .python/setup.log).\n")


def test_a_wheel_with_another_digest_is_not_unpacked(machine: Machine) -> None:
    machine.add_python("venv", "ensurepip", "pip")
    lock = machine.project / "requirements.lock"
    head, _, tail = lock.read_text().rpartition("sha256:")
    lock.write_text(f"{head}sha256:{'0' * 64}{tail[64:]}")
    code, _, err = machine.setup()
    assert code == 1
    assert "of uv" not in err
    assert "has another SHA-256 than the lock file says (see .python/setup.log).\n" in err
    assert not (machine.project / ".python/uv").exists()


@pytest.mark.slow  # two more ways to the same
def test_an_environment_is_built_again_from_the_installed_python(machine: Machine) -> None:
    machine.add_uv()
    assert_set_up(machine, machine.setup())
    shutil.rmtree(machine.project / ".venv")
    (machine.bin / "uv").unlink()
    moved = machine.project.rename(machine.project.with_name("moved"))
    machine.project = moved
    code, out, err = machine.setup()
    assert (code, err) == (0, "")
    assert out.startswith(f"setup: making .venv with Python {VERSION}\n")


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Debian 13 with its own Python, which is 3.13 and has neither venv nor pip."""
    if os.geteuid() or not shutil.which("debootstrap"):
        pytest.skip("a Debian root needs root and debootstrap")
    root = tmp_path_factory.mktemp("debian") / "root"
    # What the archive's Python needs; a published one would need nothing. Certificates are not among it.
    packages = ",".join({"python3", *debian_root.PACKAGES} - {"ca-certificates"})
    try:
        debian_root.call(
            "debootstrap", "--variant=minbase", f"--include={packages}", "trixie", root, debian_root.mirror()
        )
    except (debian_root.RootError, OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"Debian's archive cannot be reached: {error}")
    return root


@pytest.mark.slow  # downloads a Debian
@pytest.mark.parametrize("uv", [True, False], ids=["uv", "python 3.13"])
def test_a_debian_13_without_network_is_set_up_from_a_local_archive(
    debian: Path, archive: Path, tmp_path: Path, uv: bool
) -> None:
    machine = Machine(tmp_path, archive)
    inside, program = Path(f"/home/{'uv' if uv else 'python'}"), debian / "usr/local/bin/uv"
    shutil.copytree(machine.project, debian / inside.relative_to("/"))
    shutil.copytree(archive, debian / "archive", dirs_exist_ok=True)
    program.unlink(missing_ok=True)
    if uv:
        shutil.copy(Path(sys.executable).parent / "uv", program)
    words = [f"{name}={value}" for name, value in settings(Path("/archive")).items()]
    command = ["chroot", debian, "env", "-i", f"PATH={debian_root.PATH}", "HOME=/root", *words]
    # The loader finds the libraries beside a program through /proc.
    alone = ["unshare", "--net", "--pid", "--fork", f"--mount-proc={debian / 'proc'}", *command]
    process = subprocess.run([*alone, "sh", inside / "scripts/setup.sh"], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")
    assert "python3 is 3.13), so uv installs one into .python" in process.stdout
    code = "import sys, setuptools, importlib.metadata as m; print(sys.base_prefix, m.version('tiny'))"
    answer = subprocess.run(
        [*alone, inside / ".venv/bin/python", "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.startswith(f"{inside}/.python/cpython-3.11")
