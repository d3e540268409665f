"""Patches two extension modules that were built for glibc 2.39, so that they load with glibc 2.34 to 2.38.

ml-metadata and tensorflow-data-validation publish Linux wheels only for glibc 2.39. They need just six functions from
newer system libraries, and each has an older equivalent. This script replaces the names of these functions and of
their versions in the two files. All other packages are used as published.

``scripts/setup.sh`` runs this with the environment's own Python. It prints one line.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import lief

# package -> the extension module inside it
MODULES = {
    "ml_metadata": "metadata_store/pywrap/metadata_store_extension.so",
    "tensorflow_data_validation": "pywrap/tensorflow_data_validation_extension.so",
}


class Replacement(NamedTuple):
    """The replacement for a version that the host lacks, and for the functions imported under it."""

    version: str
    functions: dict[str, str]


REPLACEMENTS = {
    # The C23 number parsers differ from the older ones only in that they also accept "0b1".
    "GLIBC_2.38": Replacement(
        "GLIBC_2.2.5",
        {
            "__isoc23_strtol": "strtol",
            "__isoc23_strtoul": "strtoul",
            "__isoc23_strtoll": "strtoll",
            "__isoc23_strtoull": "strtoull",
        },
    ),
    # This function is never called. It is imported only to require a libstdc++ that initialises std::cout itself, and
    # neither module uses such a stream. Any function that every libstdc++ provides can replace it.
    "GLIBCXX_3.4.32": Replacement("GLIBCXX_3.4", {"_ZSt21ios_base_library_initv": "_ZSt18uncaught_exceptionv"}),
    # Both functions end the process if an exception leaves a function declared not to throw.
    "CXXABI_1.3.15": Replacement("CXXABI_1.3", {"__cxa_call_terminate": "__cxa_call_unexpected"}),
}


class CompatError(Exception):
    """The modules cannot be patched or loaded; the text is one sentence for the user."""


def host_glibc() -> tuple[int, int] | None:
    """Returns the version of the host's glibc, such as ``(2, 36)``, or None if the host has no glibc."""
    try:
        name = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError):
        return None
    major, minor = name.removeprefix("glibc ").split(".")[:2]
    return int(major), int(minor)


def read(path: Path) -> lief.ELF.Binary:
    binary = lief.ELF.parse(str(path))
    if binary is None:
        raise CompatError(f"{path} is not an ELF file.")
    return binary


@cache
def provided_versions(library: str) -> frozenset[str]:
    """Returns the symbol versions that the host's copy of a library defines, such as ``GLIBC_2.36``."""
    # Only the loader knows where a library is, so load it in another process and read that process's memory map.
    code = f"import ctypes; ctypes.CDLL({library!r}); print(open('/proc/self/maps').read())"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    # The map names the file itself: libstdc++.so.6 is a link to libstdc++.so.6.0.30, for example.
    mapped = [Path(word) for word in process.stdout.split() if word.startswith("/")]
    paths = [path for path in mapped if path.name == library or path.name.startswith(f"{library}.")]
    if not paths:
        raise CompatError(f"The system library {library} is missing.")
    binary = read(paths[0])  # keep a reference, because LIEF's objects do not outlive their binary
    return frozenset(
        str(symbol.name) for definition in binary.symbols_version_definition for symbol in definition.auxiliary_symbols
    )


def missing_versions(binary: lief.ELF.Binary) -> set[str]:
    """Returns the symbol versions that a module requires and the host lacks."""
    return {
        str(symbol.name)
        for requirement in binary.symbols_version_requirement
        for symbol in requirement.get_auxiliary_symbols()
        if symbol.name not in provided_versions(str(requirement.name))
    }


def rewrite(binary: lief.ELF.Binary, missing: set[str]) -> None:
    """Replaces missing versions, and the functions imported under them, in a parsed module."""
    if unknown := missing - REPLACEMENTS.keys():
        raise CompatError(f"No replacement is known for {', '.join(sorted(unknown))}.")
    # Functions first, because their versions identify them.
    for symbol in binary.dynamic_symbols:
        carried = symbol.symbol_version
        version = carried.symbol_version_auxiliary if carried and carried.has_auxiliary_version else None
        if version is None or version.name not in missing:
            continue
        functions = REPLACEMENTS[str(version.name)].functions
        if symbol.name not in functions:
            raise CompatError(f"No replacement is known for {symbol.name!s} of {version.name!s}.")
        symbol.name = functions[str(symbol.name)]
    for requirement in binary.symbols_version_requirement:
        for version in requirement.get_auxiliary_symbols():
            if version.name in missing:
                version.name = REPLACEMENTS[str(version.name)].version


def verify(path: Path, replaced: set[str]) -> None:
    """Reads a rewritten file again and checks that no version is missing and no replaced function is left."""
    binary = read(path)
    left = missing_versions(binary)
    functions = {function for version in replaced for function in REPLACEMENTS[version].functions}
    left |= functions & {str(symbol.name) for symbol in binary.dynamic_symbols}
    if left:
        raise CompatError(f"{path} still asks for {', '.join(sorted(left))}.")


def adapt(path: Path) -> bool:
    """Rewrites a module if the host requires it, and returns whether it did.

    The new file is written next to the old one and renamed over it. Installed files are hard links to the installer's
    cache, so a change in place would affect every other environment on the machine.
    """
    inside = path.parent.resolve().is_relative_to(Path(sys.prefix).resolve())
    if not inside or sys.prefix == sys.base_prefix:
        raise CompatError(f"{path} is not in this project's own environment, so it is not changed.")
    binary = read(path)
    missing = missing_versions(binary)
    if not missing:
        return False
    rewrite(binary, missing)
    new = path.with_name(f"{path.name}.new")
    try:
        binary.write(str(new))
        verify(new, missing)
        shutil.copymode(path, new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return True


def module_path(package: str) -> Path:
    """Returns the path of a package's extension module without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise CompatError(f"{package} is not installed.")
    return Path(spec.origin).parent / MODULES[package]


def try_import(package: str) -> None:
    """Imports a package in a new process that resolves all functions at load time instead of at their first call."""
    environment = os.environ | {"LD_BIND_NOW": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", f"import {package}"]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if process.returncode:
        reason = (process.stderr.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
        raise CompatError(f"{package} does not load: {reason}")


def run() -> str:
    """Patches both packages, tests that they load, and returns the line to print."""
    lief.logging.disable()  # it logs every hash that it updates
    glibc = host_glibc()
    if glibc is None or glibc >= (2, 39):
        return "this host needs no change"
    adapted = [package for package in MODULES if adapt(module_path(package))]
    for package in MODULES:
        try_import(package)
    what = f"made {' and '.join(adapted)} load" if adapted else "both modules load already"
    return f"{what} with glibc {glibc[0]}.{glibc[1]}"


def main() -> int:
    try:
        print(f"glibc_compat: {run()}")
    except CompatError as error:
        print(f"glibc_compat: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
