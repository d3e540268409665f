"""Adds Python and the packages of the operating system to a list of packages (CycloneDX), as the Dockerfile does it.

    python system_packages.py sbom.cdx.json [ROOT]

Reads the records that dpkg keeps below ROOT, so that neither dpkg nor its tools need to be there.
"""

from __future__ import annotations

import json
import platform
import shlex
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

# The last word of a package's status. One whose triggers have yet to run, of itself or of another, is unpacked and
# configured (https://manpages.debian.org/dpkg.1).
_INSTALLED = (["installed"], ["triggers-awaited"], ["triggers-pending"])
_STATUS, _RELEASE = "var/lib/dpkg/status", "etc/os-release"

Component = dict[str, str]


def packages(status: str, distribution: str, release: str) -> Iterator[Component]:
    """Yields a component for each package that dpkg's record lists as installed.

    Args:
        status: content of `/var/lib/dpkg/status`.
        distribution, release: ID and VERSION_ID of `/etc/os-release`.

    >>> text = "Package: libc6\\nStatus: install ok installed\\nArchitecture: amd64\\nVersion: 2.41-12+deb13u1\\n"
    >>> next(packages(text, "debian", "13"))["purl"]
    'pkg:deb/debian/libc6@2.41-12%2Bdeb13u1?arch=amd64&distro=debian-13'
    """
    for stanza in status.split("\n\n"):
        lines = (line.partition(": ") for line in stanza.splitlines() if line[:1].strip())
        fields = {name: value for name, _, value in lines}
        if fields.get("Status", "").split()[-1:] not in _INSTALLED:
            continue
        name, version = fields["Package"], fields["Version"]
        # https://github.com/package-url/purl-spec/blob/main/types-doc/deb-definition.md
        where = f"arch={fields['Architecture']}&distro={distribution}-{release}"
        purl = f"pkg:deb/{distribution}/{name}@{urllib.parse.quote(version, safe=':')}?{where}"
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def python() -> Component:
    """Returns the component of the Python that runs this, which no package of the official image brings."""
    version = platform.python_version()
    purl = f"pkg:generic/python@{version}"
    cpe = f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*"
    return {"type": "application", "bom-ref": purl, "name": "python", "version": version, "cpe": cpe, "purl": purl}


def main(path: str, root: str = "/") -> int:
    """Adds the components to the list in place; returns the exit code."""
    try:
        status = (Path(root) / _STATUS).read_text(encoding="utf-8")
        release = dict(
            word.split("=", 1)
            for word in shlex.split((Path(root) / _RELEASE).read_text(encoding="utf-8"), comments=True)
        )
        system = {"type": "operating-system", "name": release["ID"], "version": release["VERSION_ID"]}
    except (OSError, KeyError, ValueError) as error:
        print(f"{root}: expected {_STATUS} and {_RELEASE} of a Debian: {error!r}", file=sys.stderr)
        return 1
    found = sorted(packages(status, system["name"], system["version"]), key=lambda one: one["bom-ref"])
    if not found:
        print(f"{Path(root) / _STATUS}: expected installed packages, found none", file=sys.stderr)
        return 1
    file = Path(path)
    sbom = json.loads(file.read_text(encoding="utf-8"))
    sbom["components"] += [system | {"bom-ref": f"{system['name']}-{system['version']}"}, python(), *found]
    file.write_text(json.dumps(sbom, indent=2) + "\n", encoding="utf-8")
    print(
        f"{path}: {len(found)} packages of {system['name']} {system['version']}, and Python {platform.python_version()}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
