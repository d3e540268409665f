"""An S3 server for the tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import object_store
import pytest


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with object_store.served(Path(tmp_path_factory.mktemp("s3")) / "log") as url:
        yield url


@pytest.fixture
def server(_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of an S3 server whose bucket `models` is empty; this process and its children use it."""
    for name, value in (object_store.ENVIRONMENT | {"AWS_ENDPOINT_URL": _server}).items():
        monkeypatch.setenv(name, value)
    object_store.faults(_server)
    s3 = fsspec.get_filesystem_class("s3")
    s3.clear_instance_cache()
    yield _server
    object_store.faults(_server)
    files = fsspec.filesystem("s3", use_listings_cache=False)
    for path in files.find("models"):
        files.rm_file(path)
    s3.clear_instance_cache()


@pytest.fixture
def s3(server: str) -> str:
    """URL of a destination on that server."""
    return "s3://models/served/digits"
