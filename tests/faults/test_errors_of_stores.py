"""What the packages of stores raise, for one image of four: no image is left out because its store fails or refuses.

Only what is an object's own error counts as a file that cannot be read.
"""

import errno
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import fsspec
import gcsfs.retry
import google.auth.exceptions
import multidict
import pytest
import s3fs.errors
import yarl
from aiohttp.http_exceptions import ContentLengthError
from botocore import exceptions as botocore
from fsspec.implementations.memory import MemoryFileSystem

from components.base.errors import ImagegateError
from components.data import storage
from components.data.storage import calls, remote
from components.ingest import shards
from components.ingest.layouts import folders
from pipeline import cli

ROOT = "failing://images"
REFUSED, AWAY = "check the credentials and permissions", "run again once its store answers"


class Failing(MemoryFileSystem):
    """A store in memory that raises `error` for one object."""

    protocol = "failing"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    error: ClassVar[Callable[[], BaseException] | None] = None
    asked: ClassVar[int] = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(MemoryFileSystem._strip_protocol(path.removeprefix("failing:/")))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        self._fail(path)
        return super().cat_file(path, start, end, **options)

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        self._fail(path)
        return super().info(path, **options)

    def _fail(self, path: str) -> None:
        if path.endswith("1.png") and Failing.error is not None:
            Failing.asked += 1
            raise Failing.error()


class HttpResponseError(Exception):
    """azure-core's, which is not among the packages: its status and code have these names."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{code} of Azure")
        self.status_code, self.error_code = status, code


class ServiceRequestError(Exception):
    """azure-core's: no request was sent."""


def answered(status: int) -> aiohttp.ClientResponseError:
    url = yarl.URL("https://host/1.png")
    asked = aiohttp.RequestInfo(url, "GET", multidict.CIMultiDictProxy(multidict.CIMultiDict()), url)
    return aiohttp.ClientResponseError(asked, (), status=status, message=f"answer {status}")


def of_s3(code: str, status: int) -> BaseException:
    """What s3fs raises for an answer of S3."""
    answer: Any = {"Error": {"Code": code, "Message": f"{code} of S3"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return s3fs.errors.translate_boto_error(botocore.ClientError(answer, "GetObject"))


def of_gcs(status: int) -> BaseException:
    """What gcsfs raises for an answer of Google's."""
    try:
        gcsfs.retry.validate_response(status, b'{"error": {"message": "not\\nso"}}', "b/images/1.png")
    except Exception as error:  # noqa: BLE001  whatever it is
        return error
    raise AssertionError("it raised nothing")


def missing(cause: BaseException) -> FileNotFoundError:
    """What fsspec's HTTP raises for whatever went wrong."""
    error = FileNotFoundError("https://host/1.png")
    error.__cause__ = cause
    return error


def cut() -> aiohttp.ClientPayloadError:
    """What aiohttp raises for an answer that ends too early: its cause has the code 400, which nobody answered."""
    error = aiohttp.ClientPayloadError("Response payload is not completed")
    error.__cause__ = ContentLengthError("received 4 of 8 bytes")
    return error


FAILURES: dict[str, Callable[[], BaseException]] = {
    **{f"HTTP {n}": lambda n=n: answered(n) for n in (408, 429, 500, 502, 503, 504)},  # type: ignore[misc]
    "HTTP 503 as a missing file": lambda: missing(answered(503)),
    "HTTP without a connection as a missing file": lambda: missing(aiohttp.ServerDisconnectedError()),
    "HTTP of a body that is cut": cut,
    "azure 503": lambda: HttpResponseError(503, "ServerBusy"),
    "azure without a request": lambda: ServiceRequestError("no route"),
    "google transport": lambda: google.auth.exceptions.TransportError("no answer"),
    "google refresh, for now": lambda: google.auth.exceptions.RefreshError("later", retryable=True),
    "google 503": lambda: of_gcs(503),
    "google 502": lambda: of_gcs(502),
    "DNS": lambda: socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
    "network down": lambda: OSError(errno.ENETDOWN, "Network is down"),
    "connection": lambda: botocore.EndpointConnectionError(endpoint_url="https://host"),
    "S3 IncompleteBody": lambda: of_s3("IncompleteBody", 400),
    "S3 RequestTimeout": lambda: of_s3("RequestTimeout", 400),
    "S3 InternalError": lambda: of_s3("InternalError", 500),
    "S3 of an unknown code": lambda: of_s3("Unheard", 503),
}
REFUSALS: dict[str, Callable[[], BaseException]] = {
    **{f"HTTP {n}": lambda n=n: answered(n) for n in (400, 401, 407)},  # type: ignore[misc]
    "azure 401": lambda: HttpResponseError(401, "NoAuthenticationInformation"),
    "azure with a wrong token": lambda: HttpResponseError(403, "AuthenticationFailed"),
    "google refresh": lambda: google.auth.exceptions.RefreshError("revoked"),
    "google 400": lambda: of_gcs(400),
    "google 401": lambda: of_gcs(401),
    "no credentials": botocore.NoCredentialsError,
    "credentials": lambda: botocore.CredentialRetrievalError(provider="role", error_msg="none"),
    **{
        f"S3 {code}": lambda code=code, status=status: of_s3(code, status)  # type: ignore[misc]
        for code, status in {
            "ExpiredToken": 400,
            "TokenRefreshRequired": 400,
            "RequestTimeTooSkewed": 403,
            "InvalidAccessKeyId": 403,
            "SignatureDoesNotMatch": 403,
            "KMS.DisabledException": 400,
            "NoSuchBucket": 404,
        }.items()
    },
}
OWN: dict[str, Callable[[], BaseException]] = {
    "missing": lambda: FileNotFoundError(errno.ENOENT, "No such file"),
    "name too long": lambda: OSError(errno.ENAMETOOLONG, "File name too long"),
    "HTTP 403": lambda: answered(403),
    "HTTP 404": lambda: answered(404),
    "azure 403": lambda: HttpResponseError(403, "AuthorizationPermissionMismatch"),
    "google 403": lambda: of_gcs(403),
    "google 404": lambda: of_gcs(404),
    "S3 AccessDenied": lambda: of_s3("AccessDenied", 403),
    "S3 InvalidObjectState": lambda: of_s3("InvalidObjectState", 403),
    "S3 NoSuchKey": lambda: of_s3("NoSuchKey", 404),
}


@pytest.fixture(autouse=True)
def images(monkeypatch: pytest.MonkeyPatch, png: Callable[..., bytes]) -> Iterator[None]:
    fsspec.register_implementation("failing", Failing, clobber=True)
    monkeypatch.setattr(calls, "_PAUSE_S", 0.001)
    files = fsspec.filesystem("failing")
    for i in range(4):
        files.pipe_file(f"/images/cat/{i}.png", png(i))
    monkeypatch.setattr(Failing, "asked", 0)
    yield
    files.rm("/images", recursive=True)


def problems() -> list[str]:
    """Ingests the four images; why each cannot be used."""
    dataset = folders.read(ROOT, {"train": 0.8, "eval": 0.1, "test": 0.1})
    return [item.problem for item in shards.examine(dataset.records, shards.job(dataset, 10_000))]


def test_a_store_that_answers_leaves_no_image_out() -> None:
    assert problems() == [""] * 4


@pytest.mark.parametrize(
    ("error", "advice", "asked"),
    [
        *(pytest.param(e, AWAY, 3, id=name) for name, e in FAILURES.items()),
        *(pytest.param(e, REFUSED, 1, id=name) for name, e in REFUSALS.items()),
    ],
)
def test_a_store_that_fails_or_refuses_leaves_no_image_out(
    monkeypatch: pytest.MonkeyPatch, error: Callable[[], BaseException], advice: str, asked: int
) -> None:
    monkeypatch.setattr(Failing, "error", staticmethod(error))
    with pytest.raises(
        ImagegateError, match=r"^failing://images/cat/1.png cannot be read: .+; " + advice + "$"
    ) as told:
        problems()
    assert "\n" not in str(told.value)
    assert Failing.asked == asked  # what does not pass is not tried again
    with pytest.raises(ImagegateError, match=advice):
        remote.is_file(f"{ROOT}/cat/1.png")


@pytest.mark.parametrize("error", [pytest.param(e, id=name) for name, e in OWN.items()])
def test_an_error_of_one_object_counts_as_that_file(
    monkeypatch: pytest.MonkeyPatch, error: Callable[[], BaseException]
) -> None:
    monkeypatch.setattr(Failing, "error", staticmethod(error))
    found = problems()
    assert [problem != "" for problem in found] == [False, True, False, False]
    assert found[1].startswith("cannot be read: ")
    assert "\n" not in found[1]
    assert Failing.asked == 2  # by the search for rare labels and by the ingest, each once
    assert not remote.is_file(f"{ROOT}/cat/1.png")


def test_a_command_ends_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "imagegate.yaml"
    config.write_text(
        f"name: digits\ntask: single_label\ndata: {{root: '{ROOT}'}}\noutput: out\n"
        "push: {destination: served, without_thresholds: true}\n"
    )
    monkeypatch.setattr(Failing, "error", staticmethod(lambda: of_s3("ExpiredToken", 400)))
    assert cli.main(["check", str(config)]) == 1
    [sentence] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("imagegate: ")]
    assert sentence == f"imagegate: {ROOT}/cat/1.png cannot be read: ExpiredToken of S3; {REFUSED}"


def test_a_name_with_a_line_break_is_no_second_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Failing, "error", staticmethod(lambda: answered(503)))
    with pytest.raises(ImagegateError) as error:
        storage.read(ROOT, "x\nimagegate: all is well \x1b[31m1.png")
    assert str(error.value).startswith(r"failing://images/x\nimagegate: all is well \x1b[31m1.png cannot be read: ")
    assert "\n" not in str(error.value)
