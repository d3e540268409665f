"""Signed webhooks, received by a real server that times out, breaks, redirects or cuts the connection."""

import base64
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from receivers import Script, http

from components.notify import webhook
from components.notify.errors import NotSent
from components.notify.message import Message

SECRET = "a secret of the team"


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def url(script: Script) -> Iterator[str]:
    with http(script) as address:
        yield f"{address}/hooks/planted-token"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that a test can wait for."""
    monkeypatch.setattr(webhook, "_PAUSE", 0.01)
    monkeypatch.setattr(webhook, "_TIMEOUT", (5.0, 0.5))


def test_the_signature_is_that_of_openssl_over_id_timestamp_and_body(script: Script, url: str) -> None:
    webhook.send(url, SECRET, b'{"name": "pets"}')
    [request] = script.seen
    assert (request.path, json.loads(request.body)) == ("/hooks/planted-token", {"name": "pets"})
    identity, timestamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    assert abs(time.time() - int(timestamp)) < 60
    assert request.headers["content-type"] == "application/json"
    signed = f"{identity}.{timestamp}.".encode() + request.body
    command = ["openssl", "dgst", "-sha256", "-hmac", SECRET, "-binary"]
    expected = subprocess.run(command, input=signed, capture_output=True, check=True).stdout
    assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"


def test_the_example_of_the_standard_webhooks_specification_has_its_signature() -> None:
    # The secret, ID, timestamp, body and signature are those in the specification's own test of its Python library.
    body, secret = b'{"test": 2432232314}', "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    found = webhook.headers(body, secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330)
    assert found["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_that_is_not_base64_after_its_prefix_is_named_without_being_shown() -> None:
    with pytest.raises(NotSent, match=r"^the secret begins with whsec_, but Base64 does not follow$"):
        webhook.headers(b"{}", "whsec_*planted*", "msg_1", 1)


def test_the_prefix_alone_is_no_secret() -> None:
    with pytest.raises(NotSent, match=r"^the secret begins with whsec_, but Base64 does not follow$"):
        webhook.headers(b"{}", "whsec_", "msg_1", 1)


@pytest.mark.parametrize("first", [500, 503, 429, "cut", "stall"])
def test_a_server_that_breaks_once_is_asked_again_with_the_same_id(script: Script, url: str, first: int | str) -> None:
    script.answers = [first, 200]
    webhook.send(url, SECRET, b"{}")
    assert len(script.seen) == 2
    assert script.seen[0].headers["webhook-id"] == script.seen[1].headers["webhook-id"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (500, "the server answered 500, 3 times"),
        ("cut", "there was no connection, or it was cut, 3 times"),
        ("stall", "the server did not answer in time, 3 times"),
    ],
)
def test_attempts_have_a_limit(script: Script, url: str, answer: int | str, reason: str) -> None:
    script.answers = [answer]
    with pytest.raises(NotSent, match=f"^{reason}$"):
        webhook.send(url, SECRET, b"{}")
    assert len(script.seen) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_a_request_that_is_refused_is_not_repeated(script: Script, url: str, status: int) -> None:
    script.answers = [status]
    with pytest.raises(NotSent, match=f"^the server answered {status}$"):
        webhook.send(url, SECRET, b"{}")
    assert len(script.seen) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(script: Script, url: str, status: int) -> None:
    elsewhere = Script()
    with http(elsewhere) as other:
        script.answers, script.location = [status], f"{other}/taken"
        with pytest.raises(NotSent, match=f"^the server answered {status}, a redirect, and none is followed"):
            webhook.send(url, SECRET, b"{}")
    assert (len(script.seen), elsewhere.seen) == (1, [])


@pytest.mark.parametrize("url", ["planted", "ftp://planted.example", "http://", "http://[planted", "http://a b\n/x"])
def test_what_is_no_address_is_not_shown(url: str) -> None:
    with pytest.raises(NotSent) as caught:
        webhook.send(url, SECRET, b"{}", attempts=1)
    assert "planted" not in str(caught.value)


def test_the_documented_receiver_takes_what_is_genuine_and_nothing_else(script: Script, url: str) -> None:
    page = (Path(__file__).parents[3] / "docs" / "notify.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    webhook.send(url, SECRET, b'{"name": "pets"}')
    [request] = script.seen
    genuine = names["is_genuine"]
    assert genuine(request.headers, request.body, SECRET)
    assert not genuine(request.headers, request.body + b" ", SECRET)
    assert not genuine(request.headers, request.body, "another secret")
    assert not genuine(request.headers | {"webhook-id": "msg_0"}, request.body, SECRET)
    late = webhook.headers(request.body, SECRET, "msg_1", int(time.time()) - 3600)
    assert not genuine(late, request.body, SECRET)


def test_the_documented_keys_are_those_of_the_body() -> None:
    page = (Path(__file__).parents[3] / "docs" / "notify.md").read_text()
    table = page.partition("| key of the body |")[2].partition("\n\n")[0]
    documented = {name for row in table.splitlines() for name in re.findall(r"`([a-z_]+)`", row.split(" | ")[0])}
    assert documented == set(json.loads(Message(name="pets", events=()).to_json()))
