"""A pod's view of this machine, in namespaces: the launcher's folders where it has them, all else read-only.

With it the simulated backend runs a command as it is, instead of with its paths below a folder. Needs Linux, no rights.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from simulator import Pod

SCRIPT = Path(__file__).parent / "pod.sh"
TOOLS = "/usr/sbin:/usr/bin:/sbin:/bin"
# As the image has it, and what the backend adds.
ENVIRONMENT = {"HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
ADDED = {"KFP_POD_NAME": "pod", "KFP_POD_UID": "uid"}


def why_not(folder: Path) -> str:
    """Why there can be none here; "" where there can."""
    if missing := [name for name in ("unshare", "setpriv", "pivot_root") if not shutil.which(name, path=TOOLS)]:
        return f"no {missing[0]}"
    done = _start(folder / "none", [], ["true"], {"PATH": TOOLS})
    return f"no pod here: {done.stdout.strip()}" if done.returncode else ""


def in_a_pod(source: Path, readable: Sequence[Path], writable: Sequence[Path]) -> Callable[[Pod], tuple[int, str]]:
    """Runs a pod's command with the packages below `source`; the folders are mounted where they are here."""
    python = {Path(sys.prefix), Path(sys.base_prefix)}  # which may lie below /tmp, as all else here does
    volumes = [f"ro:{path}" for path in (*sorted(python), source, *readable)] + [f"rw:{path}" for path in writable]

    def execute(pod: Pod) -> tuple[int, str]:
        given = {k: v for k, v in pod.environment.items() if k != "IMAGEGATE_STAGING"}
        path = {"PATH": f"{Path(sys.executable).parent}:{TOOLS}", "PYTHONPATH": str(source)}
        environment = ENVIRONMENT | ADDED | path | given
        done = _start(pod.folder, volumes, pod.command, environment)
        return done.returncode, done.stdout

    return execute


def _start(
    folder: Path, volumes: Sequence[str], command: list[str], environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    root = folder.parent / f"{folder.name}-root"
    alone = ["env", "-i", *(f"{name}={value}" for name, value in environment.items()), *command]
    root.mkdir(parents=True)
    try:
        return subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", "sh", SCRIPT, root, folder, *volumes, "--", *alone],
            env={"PATH": TOOLS},
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
    finally:
        root.rmdir()
