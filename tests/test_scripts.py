"""The scripts that build the environment."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
NEWER = "_ZSt21ios_base_library_initv", "GLIBCXX_3.4.32"  # as published
OLDER = "_ZSt18uncaught_exceptionv", "GLIBCXX_3.4"  # as glibc_compat.py leaves it


@pytest.fixture
def compat() -> ModuleType:
    module = pytest.importorskip("scripts.glibc_compat", reason="LIEF is installed on Linux only")
    glibc = module.host_glibc()
    if glibc is None or glibc >= (2, 39):
        pytest.skip("this host loads the modules as published")
    return module


@pytest.fixture
def published(compat: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes an extension module that asks for a newer libstdc++, in an environment of its own in tmp_path.

    The installed one has been adapted already, so a copy of it is turned back.
    """

    def make(version: str = NEWER[1]) -> Path:
        binary = compat.read(compat.module_path("ml_metadata"))
        for symbol in binary.dynamic_symbols:
            if symbol.name == OLDER[0]:
                symbol.name = NEWER[0]
                symbol.symbol_version.symbol_version_auxiliary.name = version
        path = tmp_path / "metadata_store_extension.so"
        binary.write(str(path))
        path.chmod(0o755)
        return path

    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    return make


def names(compat: ModuleType, path: Path) -> set[tuple[str, str]]:
    """The functions that a module imports, each with its version."""
    binary = compat.read(path)
    versions = [(symbol.name, symbol.symbol_version) for symbol in binary.dynamic_symbols]
    return {(name, v.symbol_version_auxiliary.name) for name, v in versions if v and v.has_auxiliary_version}


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def load(path: Path) -> subprocess.CompletedProcess[str]:
    """Loads a module's file as the interpreter would."""
    code = f"import _imp, importlib.util as u; s = u.spec_from_file_location({path.stem!r}, {str(path)!r}); "
    return run(sys.executable, "-c", f"{code}_imp.create_dynamic(s)", LD_BIND_NOW="1")


def test_adapt_makes_a_module_load(compat: ModuleType, published: Callable[..., Path]) -> None:
    path = published()
    assert NEWER in names(compat, path)
    assert "GLIBCXX_3.4.32' not found" in load(path).stderr

    assert compat.adapt(path)

    assert names(compat, path) >= {OLDER}
    assert NEWER not in names(compat, path)
    assert load(path).returncode == 0
    assert os.access(path, os.X_OK)


def test_adapt_leaves_the_installers_cache_alone(compat: ModuleType, published: Callable[..., Path]) -> None:
    path = published()
    cached = path.with_name("cached.so")
    cached.hardlink_to(path)
    before = cached.read_bytes()

    compat.adapt(path)

    assert cached.read_bytes() == before != path.read_bytes()


def test_adapt_changes_nothing_twice(compat: ModuleType, published: Callable[..., Path]) -> None:
    path = published()
    compat.adapt(path)
    before = path.stat()

    assert not compat.adapt(path)

    after = path.stat()  # reading it may change when it was last read, and nothing else
    for fact in ("st_ino", "st_size", "st_mtime_ns", "st_ctime_ns"):
        assert getattr(after, fact) == getattr(before, fact)


def test_adapt_refuses_a_version_it_does_not_know(compat: ModuleType, published: Callable[..., Path]) -> None:
    path = published("GLIBCXX_3.4.99")
    before = path.read_bytes()

    with pytest.raises(compat.CompatError, match=r"No replacement is known for GLIBCXX_3\.4\.99"):
        compat.adapt(path)

    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_adapt_refuses_files_of_others(
    compat: ModuleType, published: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = published()
    before = path.read_bytes()
    monkeypatch.undo()  # the real environment, which the file is not in

    with pytest.raises(compat.CompatError, match="is not changed"):
        compat.adapt(path)
    # A folder that leads out of the environment does not help.
    monkeypatch.setattr(sys, "prefix", str(path.parent / "environment"))
    with pytest.raises(compat.CompatError, match="is not changed"):
        compat.adapt(path.parent / "environment" / ".." / path.name)
    # Nor does a Python that has no environment of its own.
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    with pytest.raises(compat.CompatError, match="is not changed"):
        compat.adapt(path)

    assert path.read_bytes() == before


def test_both_packages_load_here(compat: ModuleType) -> None:
    """Runs the script as setup does: a second run finds nothing to do, and imports both packages."""
    paths = [compat.module_path(package) for package in compat.MODULES]
    before = [path.stat() for path in paths]

    process = run(sys.executable, "scripts/glibc_compat.py")

    assert re.fullmatch(r"glibc_compat: both modules load already with glibc 2\.\d+\n", process.stdout)
    assert (process.returncode, process.stderr) == (0, "")
    assert [path.stat() for path in paths] == before


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("3.12 Linux x86_64 2.41", "Python 3.11 is needed"),
        ("3.11 Linux aarch64 2.41", "Linux aarch64 is not supported: ml-metadata and tensorflow-data-"),
        ("3.11 Darwin x86_64 none", "Darwin x86_64 is not supported: ml-metadata and tensorflow-data-"),
        ("3.11 Linux x86_64 none", "This Linux has no glibc, but ml-metadata and tensorflow-data-"),
        ("3.11 Linux x86_64 2.31", "glibc 2.31 is too old"),
    ],
)
def test_setup_refuses_other_hosts_in_one_sentence(tmp_path: Path, host: str, message: str) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python3.11"
    python.write_text(f"#!/bin/sh\necho '{host}'\n")
    python.chmod(0o755)

    process = run("sh", tmp_path / "scripts/setup.sh", PYTHON=str(python), LOCK="")

    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr.startswith(f"setup: {message}")
    assert process.stderr.count("\n") == 1
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("name", [f"requirements{kind}.lock" for kind in ("", "-gpu", "-container", "-audit")])
def test_every_locked_package_has_a_hash_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    packages = re.findall(r"^[a-z0-9-]+==.*(?:\n    .*)*", text, re.MULTILINE)
    assert len(packages) > (20 if name == "requirements-audit.lock" else 200)
    assert all("--hash=sha256:" in package for package in packages)
    assert "://" not in text


def test_the_locks_agree() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[^\s#]+==\S+", (ROOT / name).read_text(), re.MULTILINE))

    only_gpu = pins("requirements-gpu.lock") - pins("requirements.lock")
    assert pins("requirements.lock") < pins("requirements-gpu.lock")
    assert pins("requirements-container.lock") < pins("requirements-gpu.lock")
    assert all(pin.startswith("nvidia-") for pin in only_gpu)
