"""A message goes to all who want it, whatever becomes of one of them, and within a limit."""

import json
import time

import pytest
from receivers import Mailbox, Script, http, smtp

from components.notify import sending
from components.notify.message import Message
from components.notify.settings import Recipient

PUSHED = Message(name="pets", events=("pushed", "recovered"), version="8")


def hook(number: int, *on: str) -> Recipient:
    events = {"on": on} if on else {}
    return Recipient(to="webhook", url_env=f"URL_{number}", secret_env="SECRET", **events)


def test_each_recipient_gets_the_events_that_it_wants_and_one_message_for_two() -> None:
    scripts = [Script(), Script(), Script()]
    with http(scripts[0]) as a, http(scripts[1]) as b, http(scripts[2]) as c:
        environment = {"URL_0": a, "URL_1": b, "URL_2": c, "SECRET": "s"}
        recipients = [hook(0, "refused", "failed"), hook(1, "recovered"), hook(2)]
        assert sending.send(recipients, PUSHED, environment) == []
    assert [len(script.seen) for script in scripts] == [0, 1, 1]
    body = json.loads(scripts[1].seen[0].body)
    assert body["events"] == ["pushed", "recovered"]
    assert (body["name"], body["version"], body["test"]) == ("pets", "8", False)


def test_a_test_message_goes_to_all() -> None:
    script = Script()
    with http(script) as url:
        test = Message(name="pets", events=(), test=True)
        assert sending.send([hook(0, "failed"), hook(0)], test, {"URL_0": url, "SECRET": "s"}) == []
    assert [json.loads(request.body)["test"] for request in script.seen] == [True, True]


def test_one_that_does_not_answer_delays_no_other_and_is_given_up() -> None:
    slow, quick, box = Script(["drip"]), Script(), Mailbox()
    with http(slow) as a, http(quick) as b, smtp(box) as port:
        environment = {"URL_0": a, "URL_1": b, "SECRET": "s", "MAIL": f"mailto://127.0.0.1:{port}?from=g@example.org"}
        mail = Recipient(to="email", url_env="MAIL", address="ml@example.org")
        started = time.monotonic()
        problems = sending.send([hook(0), hook(1), mail], PUSHED, environment, limit=8)
        assert time.monotonic() - started < 12
    assert problems == ["webhook (URL_0): not sent: no answer within 8 s"]
    assert (len(slow.seen), len(quick.seen), len(box.mails)) == (1, 1, 1)


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        ({}, "URL_0 and SECRET"),
        ({"URL_0": "http://planted.example"}, "SECRET"),
        ({"URL_0": " ", "SECRET": "s"}, "URL_0"),
    ],
)
def test_a_variable_that_is_not_set_is_named(environment: dict[str, str], missing: str) -> None:
    [problem] = sending.send([hook(0)], PUSHED, environment)
    assert problem == f"webhook (URL_0): not sent: the environment variable {missing} is not set"


def test_the_problem_holds_nothing_of_the_address_or_the_secret() -> None:
    environment = {"URL_0": "http://user:planted@127.0.0.1:9/planted?key=planted", "SECRET": "planted"}
    [problem] = sending.send([hook(0)], PUSHED, environment, retry=False)
    assert problem == "webhook (URL_0): not sent: there was no connection, or it was cut"


def test_names_of_files_with_any_bytes_can_be_sent() -> None:
    script, box = Script(), Mailbox()
    strange = Message(name="pets", events=("failed",), reason="cat/\udcff\x1b[31m.png")
    with http(script) as url, smtp(box) as port:
        environment = {"URL_0": url, "SECRET": "s", "MAIL": f"mailto://127.0.0.1:{port}?from=g@example.org"}
        mail = Recipient(to="email", url_env="MAIL", address="ml@example.org")
        assert sending.send([hook(0), mail], strange, environment) == []
    assert json.loads(script.seen[0].body)["reason"] == "cat/\udcff\x1b[31m.png"
    text = box.mails[0][2].get_body(("plain", "html")).get_content()  # type: ignore[attr-defined]
    assert r"\x1b[31m" in text
