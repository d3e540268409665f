"""Runs the Dockerfile's steps without a container engine, in Debian 13 roots, and then the demo in the result.

    .venv/bin/python -m scripts.container_root FOLDER [--build-arg NAME=VALUE]...

Needs root, debootstrap and util-linux. docs/container.md explains what this tests and what it does not. The script
writes only below FOLDER. Its mounts and processes live in their own namespaces, so they end with it, even if it is
killed.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts import dockerfile
from scripts.debian_root import PATH, RootError, call, make_base, size
from scripts.dockerfile import DockerfileError, Stage

_PROJECT = Path(__file__).parent.parent
_CERTIFICATES = "/run/certificates.pem"
_UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def say(text: str) -> None:
    print(f"container_root: {text}", flush=True)


def host_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Selects the variables that installers need while they run: proxy, package index and certificates."""
    kept = {
        name: value
        for name, value in environment.items()
        if name.startswith(("PIP_", "UV_")) or name.lower() in ("http_proxy", "https_proxy", "no_proxy")
    }
    return kept | dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE"), _CERTIFICATES)


def copy(text: str, root: Path, folder: str, built: Mapping[str, Path]) -> None:
    """Runs COPY [--from=STAGE] SOURCE... TARGET, leaving out project files that .dockerignore excludes."""
    *sources, target = text.split()
    origin = _PROJECT
    if sources[0].startswith("--from="):
        origin = built[sources.pop(0).removeprefix("--from=")]
    if any(source.startswith("--") for source in sources):
        raise DockerfileError(f"COPY: the only supported option is --from: {text}")
    place = root / Path("/", folder, target).relative_to("/")
    for source in sources:
        path = origin / source.lstrip("/")
        to = place / path.name if path.is_file() and (len(sources) > 1 or target.endswith("/")) else place
        to.parent.mkdir(parents=True, exist_ok=True)
        if origin != _PROJECT:
            call("cp", "--archive", "--no-target-directory", path, to)
        else:
            copy_from_project(path, to)


def copy_from_project(path: Path, to: Path) -> None:
    lines = dockerfile.patterns((_PROJECT / ".dockerignore").read_text())
    files = [path] if path.is_file() else [p for p in sorted(path.rglob("*")) if p.is_file()]
    kept = [p for p in files if not dockerfile.ignored(p.relative_to(_PROJECT).as_posix(), lines)]
    if not kept:
        raise DockerfileError(f".dockerignore excludes all of {path}")
    for file in kept:
        target = to / file.relative_to(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)


def run_stage(stage: Stage, root: Path, given: Mapping[str, str], built: Mapping[str, Path]) -> dict[str, str]:
    """Runs a stage's instructions in `root` and returns the resulting environment variables."""
    environment, arguments, folder, user = {"PATH": PATH}, dict[str, str](), "/", "0:0"
    call("mount", "-t", "tmpfs", "tmpfs", root / "run")
    shutil.copy(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"), root / _CERTIFICATES[1:])
    call("mount", "-t", "proc", "proc", root / "proc")
    for keyword, text in stage.instructions:
        say(f"{stage.name or 'image'}: {keyword} {text}")
        known = arguments | environment
        if keyword == "ARG":
            arguments |= dockerfile.argument(text, given, known)
        elif keyword == "ENV":
            environment |= dockerfile.pairs(text, known)
        elif keyword == "WORKDIR":
            folder = text
            (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif keyword == "COPY":
            copy(text, root, folder, built)
        elif keyword == "RUN":
            command = ["chroot", f"--userspec={user}", root, "env", f"--chdir={folder}", "/bin/sh", "-c", text]
            call(*command, environment=host_settings(os.environ) | known)
        elif keyword == "USER":
            user = text
    call("umount", root / "proc", root / "run")
    return environment


def build(folder: Path, given: Mapping[str, str]) -> tuple[Path, Stage, dict[str, str]]:
    """Builds all stages below `folder`. Returns the last stage's root, the stage itself and its environment."""
    stages = dockerfile.stages(dockerfile.instructions((_PROJECT / "Dockerfile").read_text()), given)
    say(f"using a Debian 13 with the Python of {sys.base_prefix} in place of {stages[0].base}")
    make_base(folder / "base")
    built: dict[str, Path] = {}
    for stage in stages:
        root = folder / (stage.name or "image")
        call("cp", "--archive", "--reflink=auto", folder / "base", root)
        environment = run_stage(stage, root, given, built)
        built[stage.name] = root
        say(f"{root}: {size(root)}, {size(folder / 'base')} of them from the base")
    return root, stages[-1], environment


# Every line must succeed. Only /work and /tmp are writable, and there is no network.
_DEMO = """
set -eu
fails() { if "$@" >/dev/null 2>&1; then echo "it should have failed: $*"; exit 1; fi; }
id
for folder in / /etc /opt/venv /gcs /minio /s3 /usr /var/tmp; do fails touch "$folder/file"; done
for tool in cc gcc make pip uv; do fails command -v "$tool"; done
for module in cyclonedx ensurepip mypy pip pytest; do fails python -c "import $module"; done
fails python -c 'import socket; socket.create_connection(("1.1.1.1", 53), 3)'
test -s /usr/share/doc/imagegate/sbom.cdx.json
set -x
imagegate init "demo-$(id -u)" --demo
cd "demo-$(id -u)"
imagegate run imagegate.yaml
imagegate predict models/digits data/digits/7/000.png
imagegate run imagegate.yaml
"""


def view_of(root: Path, folder: Path) -> Path:
    """Mounts `root` read-only, with a volume at /work and a tmpfs at /tmp, as `docker run --read-only` would."""
    work, view = folder / "work", folder / "view"
    view.mkdir()
    work.mkdir()
    work.chmod(0o1777)
    call("mount", "--bind", root, view)
    call("mount", "-o", "remount,bind,ro", view)
    call("mount", "--bind", work, view / "work")
    for place, kind in (("tmp", "tmpfs"), ("dev/shm", "tmpfs"), ("proc", "proc")):
        call("mount", "-t", kind, kind, view / place)
    return view


def demo(view: Path, user: str, folder: str, environment: Mapping[str, str]) -> None:
    """Runs the demo in `view` as `user` ("UID:GID"), without capabilities, as Kubeflow does."""
    uid, gid = user.split(":")
    drop = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
    inside = ["chroot", view, *drop, "--inh-caps=-all", "env", f"--chdir={folder}", "/bin/sh", "-c", _DEMO]
    call("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *inside, environment=environment)


def check_host(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise RootError(f"{folder} is not empty; remove it, or name another folder")
    if os.geteuid():
        raise RootError("only root may mount and change roots: run it with sudo")
    if missing := [name for name in ("debootstrap", "unshare", "chroot", "ip", "apt-get") if not shutil.which(name)]:
        raise RootError(f"{', '.join(missing)} is missing; on Debian: apt-get install debootstrap iproute2 util-linux")
    folder.mkdir(parents=True, exist_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="container_root", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="an empty or new folder; needs 8 GB, or 17 GB with GPU=1")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE", help="as for docker build")
    parser.add_argument("--unshared", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    folder = options.folder.absolute()
    try:
        check_host(folder)
        if not options.unshared:
            words = sys.argv[1:] if arguments is None else list(arguments)
            command = [*_UNSHARE, sys.executable, "-m", "scripts.container_root", "--unshared", *words]
            os.execvp("unshare", command)  # noqa: S606, S607  no shell is wanted; root's own PATH
        root, stage, environment = build(folder, dict(pair.split("=", 1) for pair in options.build_arg))
        view = view_of(root, folder)
        # A cluster may choose a user that does not exist in the image.
        for user in (stage.texts("USER")[-1], "20002:0"):
            demo(view, user, stage.texts("WORKDIR")[-1], environment)
    except (RootError, DockerfileError) as error:
        print(f"container_root: {error}", file=sys.stderr)
        return 1
    say(f"done: {root} is {size(root)}; remove everything with rm -rf {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
