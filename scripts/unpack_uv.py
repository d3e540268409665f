"""Fetches the wheel of uv that a lock file names and unpacks its program. Runs on any Python from 3.8 on, without pip.

Usage: python scripts/unpack_uv.py UV.TXT FILE
"""

from __future__ import annotations

import base64
import configparser
import contextlib
import hashlib
import html.parser
import io
import os
import platform
import re
import sys
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDINGS = {("Linux", "x86_64"): ("manylinux", "_x86_64.whl"), ("Darwin", "arm64"): ("macosx", "_arm64.whl")}


class UnpackError(Exception):
    """uv cannot be had; the text is one sentence for the user."""


class _Links(html.parser.HTMLParser):
    """The addresses on a page of a package index, or of a folder that a server lists."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def sources() -> Iterator[str]:
    """Yields addresses of pages and folders with wheels of uv: those that pip's and uv's settings name, or PyPI's."""
    for place in _settings("UV_FIND_LINKS", "PIP_FIND_LINKS", "find-links"):
        yield place if "://" in place else Path(place).resolve().as_uri()
    if {"1", "true", "yes", "on"} & {word.lower() for word in _settings("UV_NO_INDEX", "PIP_NO_INDEX", "no-index")}:
        return
    indexes = _settings("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL", "index-url")[:1]
    more = _settings("UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL", "extra-index-url")
    for index in (*more, *(indexes or ["https://pypi.org/simple"])):
        # UV_INDEX may name an index: name=https://…
        yield re.sub(r"^[\w.-]+=(?=\w+://)", "", index).rstrip("/") + "/uv/"


def _settings(*names: str) -> list[str]:
    """The words of environment variables, and of a key in pip's configuration."""
    parser = configparser.RawConfigParser()
    home = Path.home()
    files = [Path("/etc/pip.conf"), home / ".pip/pip.conf", home / ".config/pip/pip.conf"]
    with contextlib.suppress(configparser.Error):
        parser.read([*files, os.environ.get("PIP_CONFIG_FILE", "")])
    found = [os.environ.get(name) or parser.get("global", name, fallback="") for name in names]
    return [word for text in found for word in re.split(r"[\s,]+", text) if word]


def _get(address: str) -> bytes:
    """Reads an address, with the password that it may contain."""
    parts = urllib.parse.urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    # S310: addresses are those that the user has set for pip and uv, of which folders (file:) are some.
    request = urllib.request.Request(parts._replace(netloc=host).geturl())  # noqa: S310  see above
    if at:
        secret = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        request.add_header("Authorization", f"Basic {secret}")
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  see above
        content: bytes = answer.read()
    return content


def _links(address: str) -> Iterator[str]:
    """Yields the addresses of the files that a page or folder lists."""
    folder = Path(urllib.request.url2pathname(urllib.parse.urlsplit(address).path))
    if address.startswith("file:") and not (folder / "index.html").exists():
        yield from (path.as_uri() for path in sorted(folder.glob("*.whl")))
        return
    page = address + "index.html" if address.startswith("file:") else address
    parser = _Links()
    parser.feed(_get(page).decode("utf-8", "replace"))
    yield from (urllib.parse.urljoin(page, link) for link in parser.found)


def wheel(requirements: str) -> bytes:
    """Returns the wheel for this machine of the version that `requirements` names, with one of its digests.

    Raises:
        UnpackError: no source has it.
    """
    version = "".join(re.findall(r"^uv==([\w.]+)", requirements, re.MULTILINE))
    digests = set(re.findall(r"--hash=sha256:(\w+)", requirements))
    system, ending = _ENDINGS.get((platform.system(), platform.machine()), ("?", "?"))
    problem = "no index is set"
    for source in sources():
        shown = re.sub(r"//[^/]*@", "//", source)
        problem = f"{shown} has no wheel of uv {version} for this machine"
        try:
            for link in _links(source):
                name = urllib.parse.urlsplit(link).path.rsplit("/", 1)[-1]
                if name.startswith(f"uv-{version}-") and system in name and name.endswith(ending):
                    content = _get(link)
                    if hashlib.sha256(content).hexdigest() in digests:
                        return content
                    problem = f"{name} of {shown} has another SHA-256 than the lock file says"
        except (OSError, ValueError) as error:
            problem = f"{shown}: {getattr(error, 'reason', None) or error}"
    raise UnpackError(problem)


def main(requirements: str, target: str) -> None:
    """Writes uv to `target`, complete or not at all."""
    try:
        with zipfile.ZipFile(io.BytesIO(wheel(Path(requirements).read_text(encoding="utf-8")))) as archive:
            (member,) = [name for name in archive.namelist() if name.endswith(".data/scripts/uv")]
            program = archive.read(member)
    except UnpackError as error:
        sys.exit(str(error))
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name("uv.part")
    part.write_bytes(program)
    part.chmod(0o755)
    part.replace(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
