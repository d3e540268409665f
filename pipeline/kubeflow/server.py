"""Connects to a Kubeflow Pipelines API: its address, the token, the certificates, the client."""

from __future__ import annotations

import contextlib
import io
import os
import re
import ssl
import types
import urllib.parse
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from components.base.errors import ConfigError, ImagegateError
from pipeline.kubeflow.api_errors import TOKEN, guard

# kfp's own names: of its client, and of its command line.
_HOST, _NAMESPACE = "KF_PIPELINES_ENDPOINT", "KFP_NAMESPACE"
API_VARIABLES = (_HOST, _NAMESPACE, TOKEN)
# Kubernetes sets them in the pods of the API's namespace.
_SERVICE = ("ML_PIPELINE_SERVICE_HOST", "ML_PIPELINE_SERVICE_PORT")

_MOST_RUNS = 1000  # that are looked through, in ten requests. Chosen by hand; not measured


@dataclass(frozen=True)
class Server:
    """Where the API is and who asks; `token()` is read anew for each request, since tokens in files are rotated."""

    host: str
    namespace: str | None = None
    token: Callable[[], str] | None = None
    ca: str | None = None

    def page(self, kind: str, identity: str) -> str:
        """Returns the address of one of the "runs", or of a "recurringrun", in Kubeflow's interface."""
        return f"{self.host}/#/{kind}/details/{urllib.parse.quote(identity, safe='')}"


def address(host: str | None, namespace: str | None, token_file: str | None, ca: str | None) -> Server:
    """Returns the server that the command line and the environment name; the command line wins.

    Raises:
        ConfigError: no host, a URL that is none or holds a password, a file that cannot be read.
    """
    if ca is not None:
        try:
            ssl.create_default_context(cafile=ca)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(f"--ca {ca}: expected certificates in PEM: {error.strerror or error}") from None
    token = None
    if token_file or TOKEN in os.environ:
        token = lambda: _token(token_file)  # noqa: E731
        token()
    return Server(_url(host or os.environ.get(_HOST, "")), namespace or os.environ.get(_NAMESPACE) or None, token, ca)


def in_pod() -> Server | None:
    """Returns the server that the environment names, or that of the pod's own namespace; None if there is neither.

    Raises:
        ConfigError: see `address`.
    """
    service = tuple(os.environ.get(name) for name in _SERVICE)
    own = f"http://{service[0]}:{service[1]}" if all(service) else None
    host = os.environ.get(_HOST) or own
    return address(host, None, None, None) if host else None


def _url(text: str) -> str:
    expected = "expected the URL of the Kubeflow Pipelines API, such as https://kubeflow.example/pipeline"
    if not text:
        raise ConfigError(f"--host: {expected}; or set {_HOST}")
    try:
        parts = urllib.parse.urlsplit(text)
        _ = parts.port
    except ValueError:  # whose words would repeat a part of it, which may be one of a password
        raise ConfigError(f"--host: the address or its port is not valid; {expected}") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"--host: the URL holds a user name or password; give --token-file, or set {TOKEN}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(f"--host {text!r}: {expected}")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError(f"--host {text!r}: holds a character that no URL has; {expected}")
    return text.rstrip("/")


def _token(file: str | None) -> str:
    where, text = f"--token-file {file}" if file else TOKEN, os.environ.get(TOKEN, "")
    if file:
        try:
            with open(file, encoding="ascii") as f:
                text = f.read()
        except OSError as error:
            raise ConfigError(f"{where}: {error.strerror}") from None
        except UnicodeDecodeError:
            text = ""
    if not re.fullmatch(r"[\x21-\x7e]+", text.strip()):  # what a header can hold; the text itself is never shown
        raise ConfigError(f"{where}: expected one token, without spaces")
    return text.strip()


def connect(server: Server) -> Any:
    """Returns a `kfp.Client` that connects to this server and nowhere else.

    kfp's own would look for Google accounts, clusters and cookies in the environment and the home folder, would wait
    for ever, and would take a login page for an answer that holds no pipelines.

    Raises:
        ImagegateError: kfp is not installed.
        ConfigError: the server keeps pipelines by namespace, and none was given.
        ServerError: see there.
    """
    try:
        import kfp
        import kfp_server_api
    except ImportError:
        raise ImagegateError("Kubeflow needs the package kfp: pip install 'imagegate[kubeflow]'") from None

    class Client(kfp.Client):
        """See `connect`."""

        def _load_config(self, *_: Any) -> Any:
            return _configuration(kfp_server_api.Configuration(), server)

        def _load_context_setting_or_default(self) -> None:
            self._context_setting = {"namespace": server.namespace or ""}

        def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
            return types.SimpleNamespace(multi_user=False)  # asked below, once, when the answer is safe to take

    with quietly():
        client = Client(server.host)
    guard(client._run_api.api_client, server.host, server.namespace)
    if not server.namespace and client._healthz_api.healthz_service_get_healthz().multi_user:
        raise ConfigError(f"{server.host} keeps pipelines by namespace: give --namespace, or set {_NAMESPACE}")
    return client


def latest_runs(client: Any, experiment: str) -> Iterator[Any]:
    """Yields the runs of an experiment, the latest first, `_MOST_RUNS` at most."""
    page, count = "", 0
    while True:
        answer = client.list_runs(page_token=page, page_size=100, experiment_id=experiment, sort_by="created_at desc")
        runs = answer.runs or []
        yield from runs
        page, count = answer.next_page_token, count + len(runs)
        if not page or not runs or count >= _MOST_RUNS:
            return


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Hides what kfp prints and warns of."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _configuration(configuration: Any, server: Server) -> Any:
    configuration.host, configuration.ssl_ca_cert, configuration.verify_ssl = server.host, server.ca, True
    configuration.retries = False  # and no redirects: the token goes to no other host
    token = server.token
    if token is not None:
        configuration.api_key = {"authorization": token()}
        configuration.api_key_prefix = {"authorization": "Bearer"}
        configuration.refresh_api_key_hook = lambda it: it.api_key.update(authorization=token())
    return configuration
