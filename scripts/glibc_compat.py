"""Makes two extension modules that were built for glibc 2.39 load on glibc 2.34 to 2.38.

ml-metadata and tensorflow-data-validation publish their Linux wheels for glibc 2.39 only. All that they
really ask of the newer host is six functions, each of which has an older equivalent, so the names of these
functions and of their versions are rewritten in the two files. Every other package is used as published.

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
    """What takes the place of a version that the host lacks, and of the functions imported under it."""

    version: str
    functions: dict[str, str]


REPLACEMENTS = {
    # C23's number parsers differ from the older ones only in that they also read "0b1".
    "GLIBC_2.38": Replacement(
        "GLIBC_2.2.5",
        {
            "__isoc23_strtol": "strtol",
            "__isoc23_strtoul": "strtoul",
            "__isoc23_strtoll": "strtoll",
            "__isoc23_strtoull": "strtoull",
        },
    ),
    # Never called: it is imported to insist on a libstdc++ that sets up std::cout by itself, and neither
    # module uses such a stream. Any function that every libstdc++ has can stand here.
    "GLIBCXX_3.4.32": Replacement("GLIBCXX_3.4", {"_ZSt21ios_base_library_initv": "_ZSt18uncaught_exceptionv"}),
    # Both end the process when an exception leaves a function that promised to throw none.
    "CXXABI_1.3.15": Replacement("CXXABI_1.3", {"__cxa_call_terminate": "__cxa_call_unexpected"}),
}


class CompatError(Exception):
    """The modules cannot be made to load; the text is one sentence for the user."""


def host_glibc() -> tuple[int, int] | None:
    """The host's glibc, such as ``(2, 36)``; None where there is none."""
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
    """The versions that the host's copy of a library defines, such as ``GLIBC_2.36``."""
    # Only the loader knows where it finds a library: load it, elsewhere, and look.
    code = f"import ctypes; ctypes.CDLL({library!r}); print(open('/proc/self/maps').read())"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    # The maps name the file itself, and libstdc++.so.6 is a link to libstdc++.so.6.0.30.
    mapped = [Path(word) for word in process.stdout.split() if word.startswith("/")]
    paths = [path for path in mapped if path.name == library or path.name.startswith(f"{library}.")]
    if not paths:
        raise CompatError(f"The system library {library} is missing.")
    binary = read(paths[0])  # keep it: what LIEF hands out does not outlive the file it is from
    return frozenset(
        str(symbol.name) for definition in binary.symbols_version_definition for symbol in definition.auxiliary_symbols
    )


def missing_versions(binary: lief.ELF.Binary) -> set[str]:
    """The versions that a module asks for and the host does not have."""
    return {
        str(symbol.name)
        for requirement in binary.symbols_version_requirement
        for symbol in requirement.get_auxiliary_symbols()
        if symbol.name not in provided_versions(str(requirement.name))
    }


def rewrite(binary: lief.ELF.Binary, missing: set[str]) -> None:
    """Replaces the missing versions, and the functions imported under them, in a parsed module."""
    if unknown := missing - REPLACEMENTS.keys():
        raise CompatError(f"No replacement is known for {', '.join(sorted(unknown))}.")
    # The functions first, since the version they carry tells which they are.
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
    """Reads a rewritten file again: no version may be missing, and no replaced function be left."""
    binary = read(path)
    left = missing_versions(binary)
    functions = {function for version in replaced for function in REPLACEMENTS[version].functions}
    left |= functions & {str(symbol.name) for symbol in binary.dynamic_symbols}
    if left:
        raise CompatError(f"{path} still asks for {', '.join(sorted(left))}.")


def adapt(path: Path) -> bool:
    """Rewrites a module where this host needs it, and says whether it did.

    The new file is written beside the old one and renamed over it: the installer hard-links what it installs
    to its cache, and a change in place would reach every other environment of this machine.
    """
    inside = path.parent.resolve().is_relative_to(Path(sys.prefix).resolve())
    if not inside or sys.prefix == sys.base_prefix:
        raise CompatError(f"{path} is not in an environment of this project's own, and is left alone.")
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
    """Where a package's extension module is; the package itself is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise CompatError(f"{package} is not installed.")
    return Path(spec.origin).parent / MODULES[package]


def try_import(package: str) -> None:
    """Imports a package in a process of its own, which looks up every function at once, not when called."""
    environment = os.environ | {"LD_BIND_NOW": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", f"import {package}"]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if process.returncode:
        reason = (process.stderr.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
        raise CompatError(f"{package} does not load: {reason}")


def run() -> str:
    """Adapts and tries both packages, and returns the line to print."""
    lief.logging.disable()  # it reports each hash that it brings up to date
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
