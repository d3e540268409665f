"""A Debian 13 in a folder, with this Python in it: what the image python:3.11-slim-trixie would be."""

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

# What Debian's image and the interpreter of python:3.11-slim bring along.
_PACKAGES = [
    "ca-certificates",
    "libbz2-1.0",
    "libcrypt1",
    "libffi8",
    "liblzma5",
    "libncursesw6",
    "libnsl2",
    "libreadline8t64",
    "libsqlite3-0",
    "libssl3t64",
    "libuuid1",
    "netbase",
    "tzdata",
    "zlib1g",
]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class RootError(Exception):
    """It cannot be done here; the text is one sentence for the user."""


def call(*command: object, environment: Mapping[str, str] | None = None) -> None:
    """Runs a command to its end, and raises RootError if it fails."""
    done = subprocess.run([str(word) for word in command], env=environment, check=False)
    if done.returncode:
        line = " ".join(str(word) for word in command).partition("\n")[0]
        raise RootError(f"exit status {done.returncode}: {line[:300]}")


def mirror() -> str:
    """The address of the Debian archive that this machine's apt uses."""
    command = ["apt-get", "indextargets", "--format", "$(LABEL) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [line.split()[2] for line in lines if line.startswith("Debian main ")]
    if not found:
        raise RootError("apt names no Debian archive here; run apt-get update first")
    return found[0]


def make_base(root: Path) -> None:
    """A Debian 13 with this Python in /usr/local, in place of the image python:3.11-slim-trixie."""
    call("debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", "trixie", root, mirror())
    shutil.rmtree(root / "var/cache/apt")
    shutil.rmtree(root / "var/lib/apt/lists")
    standard = Path(sysconfig.get_path("stdlib"))
    # The official image comes without these, too.
    without = shutil.ignore_patterns("site-packages", "test", "tests", "idle_test", "__pycache__", "config-3.11*")
    shutil.copytree(standard, root / "usr/local/lib/python3.11", symlinks=True, ignore=without)
    (root / "usr/local/lib/python3.11/site-packages").mkdir()
    shutil.copy(Path(sys.base_prefix, "bin/python3.11"), root / "usr/local/bin")
    for library in Path(sysconfig.get_config_var("LIBDIR")).glob("libpython3.11.so*"):
        shutil.copy(library, root / "usr/local/lib", follow_symlinks=False)
    for name in ("python", "python3"):
        (root / "usr/local/bin" / name).symlink_to("python3.11")
    clean = {"PATH": PATH}
    call("chroot", root, "ldconfig", environment=clean)
    call("chroot", root, "python", "-m", "ensurepip", "--default-pip", environment=clean)


def size(root: Path) -> str:
    """For example "1.9 GB": what the files take."""
    command = ["du", "--summarize", "--bytes", "--one-file-system", str(root)]
    return f"{int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]) / 1e9:.2f} GB"
