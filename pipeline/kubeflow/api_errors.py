"""What can go wrong with a Kubeflow Pipelines API, each in a sentence that says what to do."""

from __future__ import annotations

import json
import re
from typing import Any

from components.base.errors import ImagegateError

TOKEN = "KFP_EXISTING_TOKEN"  # noqa: S105  the environment variable's name, kfp's own
_SECONDS = (10.0, 60.0)  # to connect; between two bytes of an answer
_LONG = 400  # characters of a server's message


class ServerError(ImagegateError):
    """The server refused, or was not there.

    Args:
        status: of HTTP; 0 where there was no answer.
        passing: whether the same may well succeed a little later.
        unsure: whether the server may have done what it was asked all the same.
    """

    def __init__(self, message: str, *, status: int = 0, passing: bool = False, unsure: bool = False) -> None:
        super().__init__(message)
        self.status, self.passing, self.unsure = status, passing, unsure


def guard(api: Any, host: str, namespace: str | None) -> None:
    """Bounds the time of every request, and turns all that goes wrong with it into a ServerError."""
    import kfp_server_api
    import urllib3

    request, deserialize = api.rest_client.request, api.deserialize

    def bounded(*args: Any, **kwargs: Any) -> Any:
        try:
            answer = request(*args, **kwargs | {"_request_timeout": _SECONDS})
        except kfp_server_api.ApiException as error:
            token = api.configuration.api_key.get("authorization", "").encode()
            said = (error.body or b"").replace(
                token or b"\0", b"***"
            )  # a proxy's error page may repeat what it was sent
            raise _refusal(host, namespace, error.status or 0, said, str(error.reason)) from None
        except urllib3.exceptions.HTTPError as error:
            raise _absence(host, error) from None
        return answer

    def checked(answer: Any, kind: str) -> Any:
        try:
            if not isinstance(json.loads(answer.data), dict):
                raise TypeError
            return deserialize(answer, kind)
        except (TypeError, ValueError, AttributeError, KeyError, kfp_server_api.ApiException):
            raise strange(host) from None

    api.rest_client.request, api.deserialize = bounded, checked


def known(identity: Any, host: str) -> str:
    """An identity in an answer, which kfp leaves None where the server left it out."""
    if not isinstance(identity, str) or not identity:
        raise strange(host)
    return identity


def strange(host: str) -> ServerError:
    return ServerError(
        f"{host} answers, but not as a Kubeflow Pipelines API does; look at the URL: it may lead to a login "
        "page, or lack a path such as /pipeline",
        unsure=True,
    )


def _absence(host: str, error: Exception) -> ServerError:
    from urllib3 import exceptions

    if isinstance(error, exceptions.NameResolutionError):
        what = "no such host; look at the URL, and whether this machine's DNS knows the name"
    elif isinstance(error, exceptions.NewConnectionError):
        reason = str(error).rpartition("] ")[2] or "no connection"
        what = f"{reason[:1].lower()}{reason[1:]}; does the server run there, and does its port-forward?"
    elif isinstance(error, exceptions.TimeoutError):
        seconds = _SECONDS[not isinstance(error, exceptions.ConnectTimeoutError)]
        what = f"no answer within {seconds:.0f} s; does the server run, does a firewall lie between?"
    else:
        what = "the connection broke off in the middle of an answer; try again"
    return ServerError(f"{host}: {what}", passing=True, unsure=not isinstance(error, exceptions.ConnectTimeoutError))


def _refusal(host: str, namespace: str | None, status: int, body: bytes, reason: str) -> ServerError:
    said = _message(body) or reason
    account = f"in namespace {namespace}" if namespace else "here"
    if status == 0:  # TLS
        found = re.search(r"certificate verify failed: ([^(\n]+)", reason)
        what = f"no TLS connection: {_message(reason.encode())}; is it http://?"
        if found:
            what = f"its TLS certificate is not trusted: {found[1].strip()}; give its CA with --ca FILE"
    elif status == 401:
        what = f"it wants a token, or another one: give --token-file, or set {TOKEN}"
    elif status == 403:
        what = f"this account may not do that {account}: {said}"
    elif status == 404:
        what = f"not found: {said}; look at the URL and --namespace"
    elif status == 409:
        what = f"in conflict with what is there already: {said}; try again"
    elif 300 <= status < 400:
        what = f"it redirects, mostly to a login page: give --token-file, or set {TOKEN}, or the URL that it leads to"
    elif status >= 500:
        what = f"it failed: {said}; try again later, or see the API server's log"
    else:
        what = said
    return ServerError(
        f"{host}: {what} (HTTP {status})" if status else f"{host}: {what}",
        status=status,
        passing=status == 429 or status >= 500,
        unsure=status >= 500,
    )


def _message(body: bytes) -> str:
    """What the server says of its refusal, in one line that is not too long."""
    text = body.decode("utf-8", "replace")
    try:
        said = json.loads(text)
        text = said.get("message") or said.get("error_message") or said.get("error") or ""
    except (ValueError, AttributeError):
        text = "" if "<html" in text.lower() else text
    line = " ".join(str(text).split())
    return line if len(line) <= _LONG else line[:_LONG] + "…"
