"""The backend's own programs: compiler, driver and launcher.

They are in the folder that `KFP_PROGRAMS` names, as `argo` (argo/main.go, linked with the backend), `driver` and
`launcher-v2`; or they are built from the backend's module, where the Go module proxy gives it.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

MODULE = "github.com/kubeflow/pipelines"
COMMIT = "4a3592cb2dd0a91a4652ab93893ec8beda1f3158"  # 2.17.0
NAMES = ("argo", "driver", "launcher-v2")


def found(folder: Path) -> Path:
    """A folder with all of `NAMES`; skips the test where there is none. `folder` is an empty one, to build in."""
    if "KFP_PROGRAMS" in os.environ:
        return Path(os.environ["KFP_PROGRAMS"])
    if shutil.which("go") is None:
        pytest.skip("no Go on PATH, and no KFP_PROGRAMS")
    told = json.loads(_go("mod", "download", "-json", f"{MODULE}@{COMMIT}", folder=folder).stdout or "{}")
    if "Dir" not in told:
        pytest.skip(f"the Go module proxy does not give {MODULE}; name a folder with its programs: KFP_PROGRAMS")
    source = Path(told["Dir"])
    # Our few lines around the backend's compiler, as if they lay in its module.
    ours, there = Path(__file__).parent / "argo" / "main.go", source / "backend/src/v2/cmd/argo/main.go"
    (folder / "overlay.json").write_text(json.dumps({"Replace": {str(there): str(ours)}}))
    for name in NAMES:
        arguments = ("-overlay", str(folder / "overlay.json"), "-o", str(folder / name), f"./backend/src/v2/cmd/{name}")
        built = _go("build", *arguments, folder=source)
        if "403 Forbidden" in built.stderr or "404 Not Found" in built.stderr:
            pytest.skip("the Go module proxy does not give all that the backend needs")
        assert built.returncode == 0, built.stderr[-2000:]
    return folder


def _go(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    # -mod=mod: what the proxy gave cannot be written to.
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -mod=mod"}
    return subprocess.run(
        ["go", *arguments], cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=900
    )
