"""Slack, Teams and mail, as Apprise sends them, through a proxy that stands for the services, and a mail server."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from receivers import Mailbox, Script, authority, http, smtp

from components.notify import sending, services, webhook
from components.notify.errors import NotSent
from components.notify.message import Message
from components.notify.settings import Recipient

SLACK = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/PLANTEDlnazkcOXrIdevi7FQ"
TEAMS = (
    "https://prod-1.westus.logic.azure.com/workflows/0a1b/triggers/manual/paths/invoke"
    "?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=PLANTED-signature"
)
REFUSED = Message(
    name="pets",
    events=("refused",),
    exit_code=4,
    reason="accuracy 0.71 is below 0.8\n<!channel> <at>all</at> [free](http://evil.example)",
    metric="accuracy",
    value=0.71,
    served_version="6",
    served_value=0.83,
    report="/runs/pets/report.html",
)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def proxy(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """All https goes to the script's server, whose certificate for the services' names is trusted."""
    file, tls = authority(tmp_path, "hooks.slack.com", "prod-1.westus.logic.azure.com", "elsewhere.example")
    with http(script, tls) as address:
        monkeypatch.setenv("https_proxy", address)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
        monkeypatch.setattr(services, "_PAUSE", 0.01)
        yield script


def send(to: str, url: str, address: str | None = None, limit: float = 30.0, retry: bool = True) -> None:
    services.send(to, url, address, REFUSED, limit=limit, retry=retry)


def test_slack_gets_the_reason_the_metric_and_the_report(proxy: Script) -> None:
    send("slack", SLACK)
    [request] = proxy.seen
    assert (request.host, request.path) == ("hooks.slack.com:443", SLACK.removeprefix("https://hooks.slack.com"))
    [attachment] = json.loads(request.body)["attachments"]
    assert attachment["title"] == "imagegate: pets: the model gate refused"
    assert attachment["text"].split("\n\n") == [
        "accuracy 0.71 is below 0.8",
        # Escaped as Slack asks for: it notifies nobody, and is no link.
        "&lt;!channel&gt; &lt;at&gt;all&lt;/at&gt; [free](http://evil.example)",
        "accuracy 0.71 (version 6 on the same images: 0.83)",
        "report: /runs/pets/report.html",
    ]


def test_teams_gets_a_card_in_which_nothing_of_the_reason_is_markup(proxy: Script) -> None:
    send("teams", TEAMS)
    [request] = proxy.seen
    assert request.host == "prod-1.westus.logic.azure.com:443"
    assert "sig=PLANTED-signature" in request.path
    [attachment] = json.loads(request.body)["attachments"]
    title, text = attachment["content"]["body"]
    assert title["text"] == "imagegate: pets: the model gate refused"
    assert r"\[free\]\(http://evil" in text["text"]
    assert "entities" not in attachment["content"]["msteams"]  # nobody is mentioned
    assert "github" not in request.body.decode()  # no picture from Apprise's site


@pytest.mark.parametrize(("to", "url"), [("slack", SLACK), ("teams", TEAMS)])
def test_a_service_that_breaks_once_is_asked_again(proxy: Script, to: str, url: str) -> None:
    proxy.answers = [500, 200]
    send(to, url)
    assert len(proxy.seen) == 2


@pytest.mark.parametrize(("to", "url"), [("slack", SLACK), ("teams", TEAMS)])
def test_attempts_at_a_service_have_a_limit(proxy: Script, to: str, url: str) -> None:
    proxy.answers = [500]
    with pytest.raises(NotSent, match=r"^the server answered 500$"):
        send(to, url)
    assert len(proxy.seen) == 3


@pytest.mark.parametrize(("to", "url"), [("slack", f"{SLACK}?redirect=yes"), ("teams", TEAMS)])
def test_a_service_that_redirects_is_not_followed(proxy: Script, to: str, url: str) -> None:
    proxy.answers, proxy.location = [307], "https://elsewhere.example/taken"
    with pytest.raises(NotSent, match=r"^the server answered 307, a redirect, and none is followed"):
        send(to, url, retry=False)
    assert [request.host for request in proxy.seen] == [f"{url.split('/')[2]}:443"]


def test_a_certificate_of_an_unknown_authority_is_refused(proxy: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(NotSent):
        send("slack", SLACK, retry=False)
    with pytest.raises(NotSent, match=r"^the server's certificate is not trusted$"):
        webhook.send("https://elsewhere.example/hook", "secret", b"{}")
    assert proxy.seen == []


@pytest.mark.parametrize(
    ("to", "url"),
    [
        ("slack", "https://hooks.slack.com.evil.example/services/T1JJ3T3L2/A1BRTD4JD/PLANTED"),
        ("slack", TEAMS),
        ("teams", SLACK),
        ("email", SLACK),
        ("slack", "json://127.0.0.1/PLANTED"),
        ("teams", "PLANTED"),
    ],
)
def test_what_is_no_address_of_the_service_is_refused_without_being_shown(proxy: Script, to: str, url: str) -> None:
    with pytest.raises(NotSent, match=r"^it does not hold ") as caught:
        send(to, url, "ml@example.org" if to == "email" else None)
    assert "PLANTED" not in str(caught.value)
    assert proxy.seen == []


def test_a_mail_has_the_title_as_its_subject_and_goes_to_the_address() -> None:
    box = Mailbox()
    with smtp(box) as port:
        send("email", f"mailto://127.0.0.1:{port}?from=gate@example.org", "ml+night@example.org")
    [(sender, recipients, mail)] = box.mails
    assert (sender, recipients) == ("gate@example.org", ["ml+night@example.org"])
    assert (mail["Subject"], mail["To"]) == ("imagegate: pets: the model gate refused", "ml+night@example.org")
    text = mail.get_body(("plain", "html")).get_content()  # type: ignore[attr-defined]
    assert "accuracy 0.71 (version 6 on the same images: 0.83)" in text
    assert "<at>all</at>" not in text or mail.get_body(("html",)) is None  # type: ignore[attr-defined]


def test_a_mail_server_that_refuses_is_named_by_its_variable_alone() -> None:
    with smtp(Mailbox(refuse=True)) as port, pytest.raises(NotSent, match="did not take the message"):
        send("email", f"mailto://127.0.0.1:{port}?from=planted@example.org", "ml@example.org", retry=False)


def test_nothing_that_apprise_logs_reaches_the_log_of_the_run(
    proxy: Script,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("apprise", "urllib3"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
    proxy.answers = ["cut"]
    recipient = Recipient(to="slack", url_env="SLACK")
    [problem] = sending.send([recipient], REFUSED, {"SLACK": SLACK}, retry=False)
    assert problem == ("slack (SLACK): not sent: there was no connection, or the server did not take the message")
    assert len(proxy.seen) == 1
    assert "PLANTED" not in caplog.text + "".join(capfd.readouterr())
