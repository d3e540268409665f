"""Entries of the section `notify`: names of variables, never their values."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.base.errors import ConfigError
from pipeline import config

PLAIN = {"name": "pets", "task": "single_label", "data": {"root": "data"}, "push": {"destination": "models"}}
SECRET = "https://hooks.slack.com/services/T0/B0/planted"


def load(*entries: dict[str, Any]) -> config.Config:
    return config.validated(PLAIN | {"notify": list(entries), "folder": "/project"})


def test_all_events_are_sent_unless_some_are_named() -> None:
    one, other = load({"to": "slack", "url_env": "A"}, {"to": "slack", "url_env": "B", "on": ["failed"]}).notify
    assert one.on == ("refused", "failed", "pushed", "recovered")
    assert other.on == ("failed",)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"to": "slack"}, "url_env: this key is missing"),
        ({"to": "webhook", "url_env": "A"}, "secret_env: this key is missing"),
        ({"to": "email", "url_env": "A"}, "address: this key is missing"),
        ({"to": "slack", "url_env": "A", "address": "a@b"}, "address: has no effect with to: slack; remove it"),
        ({"to": "teams", "url_env": "A", "secret_env": "B"}, "secret_env: has no effect with to: teams; remove it"),
        ({"to": "email", "url_env": "A", "address": "a@b,c@d"}, "address: expected one address"),
        ({"to": "slack", "url_env": "A", "on": []}, "expected at least 1 item"),
        ({"to": "slack", "url_env": "A", "on": ["failed", "failed"]}, "on: names an event twice"),
        ({"to": "slack", "url_env": "A", "on": ["never"]}, "'refused', 'failed', 'pushed' or 'recovered'"),
    ],
)
def test_a_wrong_entry_names_its_key(entry: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(entry)
    assert "notify.0" in str(caught.value)
    assert problem in str(caught.value)


@pytest.mark.parametrize("key", ["url_env", "secret_env"])
def test_a_secret_in_place_of_the_name_of_its_variable_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigError, match="expected the name of an environment variable") as caught:
        load({"to": "webhook", "url_env": "A", "secret_env": "B"} | {key: SECRET})
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("address", ["mailtos://u:planted@example.org", "u:planted@example.org", "planted@host/x"])
def test_a_mail_server_in_place_of_an_address_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(ConfigError, match="the mail server belongs in the variable of url_env") as caught:
        load({"to": "email", "url_env": "A", "address": address})
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"notify": SECRET}, "notify: expected a list, got another value"),
        ({"notify": [SECRET]}, "notify.0: expected "),
        ({"notify": [{"to": SECRET, "url_env": "A"}]}, "notify.0.to: expected "),
        ({"notify": [{"to": "slack", SECRET: None}]}, "notify.0.…: unknown key"),
        ({"sinks": SECRET}, "sinks: expected "),
        ({"sinks": {"mlflow": "postgresql://u:planted@h/db"}}, "sinks.mlflow: expected "),
    ],
)
def test_a_secret_in_place_of_anything_else_there_is_not_shown_either(section: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.validated(PLAIN | section | {"folder": "/project"})
    assert problem in str(caught.value)
    assert "planted" not in str(caught.value)


def test_who_is_told_changes_no_result_and_does_not_travel() -> None:
    told = load({"to": "slack", "url_env": "A"})
    assert told.fingerprint() == load().fingerprint()
    assert "notify" not in told.portable()


def test_yaml_takes_the_key_on_as_text(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"{json.dumps(PLAIN)[:-1]}, notify: [{{to: slack, url_env: A, on: [failed]}}]}}\n")
    assert config.load(str(tmp_path / "a.yaml")).notify[0].on == ("failed",)
