"""Signed JSON for a program, as the Standard Webhooks specification (standardwebhooks.com) has it.

The signature is HMAC-SHA256 over `ID.TIMESTAMP.BODY`. The receiver computes it over the bytes of the body and refuses
a timestamp that is minutes old; the ID is the same for each attempt at one message.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
import uuid

from components.notify.errors import NotSent

ATTEMPTS = 3
_PAUSE = 1.0  # seconds before the second attempt, and twice as long before the third
_TIMEOUT = (5.0, 10.0)  # seconds to connect, and between two parts of the answer
_PREFIX = "whsec_"  # of a secret in Base64, as the specification writes it


def headers(body: bytes, secret: str, identity: str, timestamp: int) -> dict[str, str]:
    """Returns the headers of a message.

    Args:
        body: as it is sent.
        secret: text, or `whsec_` and Base64.
        identity: of the message.
        timestamp: seconds since 1970.

    Raises:
        NotSent: the secret is not Base64 after `whsec_`, or nothing.
    """
    signed = hmac.new(_key(secret), f"{identity}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "User-Agent": "imagegate",
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


def _key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        return secret.encode("utf-8", "surrogateescape")
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not key:  # with an empty one, anybody could sign
        raise NotSent("the secret begins with whsec_, but Base64 does not follow")
    return key


def send(url: str, secret: str, body: bytes, *, attempts: int = ATTEMPTS) -> None:
    """Posts a body, and tries again where the server breaks, is busy or does not answer. Redirects are not followed.

    Raises:
        NotSent: no attempt was answered with 2xx.
    """
    identity = f"msg_{uuid.uuid4().hex}"
    for attempt in range(1, attempts + 1):
        problem, again = _post(url, body, headers(body, secret, identity, int(time.time())))
        if not problem:
            return
        if not again or attempt == attempts:
            raise NotSent(f"{problem}{f', {attempt} times' if attempt > 1 else ''}")
        time.sleep(_PAUSE * 2 ** (attempt - 1))


def _post(url: str, body: bytes, head: dict[str, str]) -> tuple[str, bool]:
    """Returns what went wrong, or "", and whether another attempt may help. What requests says may hold the address."""
    import requests

    try:
        # The body of the answer is not read: whoever answers could send one without end.
        with requests.post(url, body, headers=head, timeout=_TIMEOUT, allow_redirects=False, stream=True) as answer:
            status = answer.status_code
    except requests.exceptions.SSLError:
        return "the server's certificate is not trusted", False
    except requests.Timeout:
        return "the server did not answer in time", True
    except requests.ConnectionError:
        return "there was no connection, or it was cut", True
    except (requests.RequestException, ValueError):  # ValueError: urllib3's own, of some addresses
        return "it holds no address that begins with https:// or http://", False
    if 300 <= status < 400:
        return f"the server answered {status}, a redirect, and none is followed; set the final address", False
    if 200 <= status < 300:
        return "", False
    return f"the server answered {status}", status == 429 or status >= 500
