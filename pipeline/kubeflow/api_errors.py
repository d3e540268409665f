"""Errors of a Kubeflow Pipelines API, each as a sentence that says what to do."""

from __future__ import annotations

import json
import re
from typing import Any

from components.base.errors import ImagegateError

TOKEN = "KFP_EXISTING_TOKEN"  # noqa: S105  the environment variable's name, kfp's own
_SECONDS = (10.0, 60.0)  # to connect; between two bytes of an answer
_LONG = 400  # characters of a server's message


class ServerError(ImagegateError):
    """The server refused, or did not answer.

    Args:
        status: of HTTP; 0 where there was no answer.
        temporary: whether the same request may well succeed a little later.
        uncertain: whether the server may have done what it was asked all the same.
    """

    def __init__(self, message: str, *, status: int = 0, temporary: bool = False, uncertain: bool = False) -> None:
        super().__init__(message)
        self.status, self.temporary, self.uncertain = status, temporary, uncertain


def guard(api: Any, host: str, namespace: str | None) -> None:
    """Limits the time of every request of a client, and turns whatever goes wrong into a ServerError.

    Args:
        api: the client's `ApiClient`, which is changed.
        host: URL, for messages.
        namespace: likewise.
    """
    import kfp_server_api
    import urllib3

    request, deserialize = api.rest_client.request, api.deserialize

    def bounded(*args: Any, **kwargs: Any) -> Any:
        try:
            answer = request(*args, **kwargs | {"_request_timeout": _SECONDS})
        except kfp_server_api.ApiException as error:
            token = api.configuration.api_key.get("authorization", "").encode()
            # A proxy's error page may repeat the request.
            body = (error.body or b"").replace(token or b"\0", b"***")
            raise _refusal(host, namespace, error.status or 0, body, str(error.reason)) from None
        except urllib3.exceptions.HTTPError as error:
            raise _absence(host, error) from None
        return answer

    def checked(answer: Any, kind: str) -> Any:
        try:
            if not isinstance(json.loads(answer.data), dict):
                raise TypeError
            return deserialize(answer, kind)
        except (TypeError, ValueError, AttributeError, KeyError, kfp_server_api.ApiException):
            raise _not_kubeflow(host) from None

    api.rest_client.request, api.deserialize = bounded, checked


def required_id(identity: Any, host: str) -> str:
    """Returns an ID from an answer; kfp leaves it None where the server left it out."""
    if not isinstance(identity, str) or not identity:
        raise _not_kubeflow(host)
    return identity


def _not_kubeflow(host: str) -> ServerError:
    return ServerError(
        f"{host} answers, but not as a Kubeflow Pipelines API does; look at the URL: it may lead to a login "
        "page, or lack a path such as /pipeline",
        uncertain=True,
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
    return ServerError(
        f"{host}: {what}", temporary=True, uncertain=not isinstance(error, exceptions.ConnectTimeoutError)
    )


def _refusal(host: str, namespace: str | None, status: int, body: bytes, reason: str) -> ServerError:
    message = _message(body) or reason
    account = f"in namespace {namespace}" if namespace else "here"
    if status == 0:  # TLS
        untrusted = re.search(r"certificate verify failed: ([^(\n]+)", reason)
        what = f"no TLS connection: {_message(reason.encode())}; is it http://?"
        if untrusted:
            what = f"its TLS certificate is not trusted: {untrusted[1].strip()}; give its CA with --ca FILE"
    elif status == 401:
        what = f"it wants a token, or another one: give --token-file, or set {TOKEN}"
    elif status == 403:
        what = f"this account may not do that {account}: {message}"
    elif status == 404:
        what = f"not found: {message}; look at the URL and --namespace"
    elif status == 409:
        what = f"in conflict with what is there already: {message}; try again"
    elif 300 <= status < 400:
        what = f"it redirects, mostly to a login page: give --token-file, or set {TOKEN}, or the URL that it leads to"
    elif status >= 500:
        what = f"it failed: {message}; try again later, or see the API server's log"
    else:
        what = message
    return ServerError(
        f"{host}: {what} (HTTP {status})" if status else f"{host}: {what}",
        status=status,
        temporary=status == 429 or status >= 500,
        uncertain=status >= 500,
    )


def _message(body: bytes) -> str:
    """Returns the server's reason in one line of at most `_LONG` characters."""
    text = body.decode("utf-8", "replace")
    try:
        answer = json.loads(text)
        text = answer.get("message") or answer.get("error_message") or answer.get("error") or ""
    except (ValueError, AttributeError):
        text = "" if "<html" in text.lower() else text
    line = " ".join(str(text).split())
    return line if len(line) <= _LONG else line[:_LONG] + "…"
