"""A Debian 13 with the current Python in a folder, as a stand-in for the image python:3.11-slim-trixie."""

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

# The packages in Debian's image, and those that the interpreter of python:3.11-slim needs.
PACKAGES = [
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
    """The root cannot be built on this machine; the text is one sentence for the user."""


def call(*command: object, environment: Mapping[str, str] | None = None) -> None:
    """Runs a command and waits for it. Raises RootError if it fails."""
    done = subprocess.run([str(word) for word in command], env=environment, check=False)
    if done.returncode:
        line = " ".join(str(word) for word in command).partition("\n")[0]
        raise RootError(f"exit status {done.returncode}: {line[:300]}")


def mirror() -> str:
    """Returns the address of the Debian archive that this machine's apt uses."""
    command = ["apt-get", "indextargets", "--format", "$(LABEL) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    addresses = [line.split()[2] for line in lines if line.startswith("Debian main ")]
    if not addresses:
        raise RootError("apt names no Debian archive here; run apt-get update first")
    return addresses[0]


def make_base(root: Path) -> None:
    """Creates a Debian 13 in `root`, with the current Python in /usr/local."""
    call("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", "trixie", root, mirror())
    shutil.rmtree(root / "var/cache/apt")
    shutil.rmtree(root / "var/lib/apt/lists")
    standard = Path(sysconfig.get_path("stdlib"))
    # The official image leaves these out too.
    ignore = shutil.ignore_patterns("site-packages", "test", "tests", "idle_test", "__pycache__", "config-3.11*")
    shutil.copytree(standard, root / "usr/local/lib/python3.11", symlinks=True, ignore=ignore)
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
    """Returns the size of all files below `root`, such as "1.90 GB"."""
    command = ["du", "--summarize", "--bytes", "--one-file-system", str(root)]
    return f"{int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]) / 1e9:.2f} GB"
