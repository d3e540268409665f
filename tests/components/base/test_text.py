"""Passwords in texts: which URLs hold one, and that hostile texts cost no more than their length."""

import time

import pytest

from components.base.text import holds_password, without_passwords


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket:obj/photo@2x.png",
        "memory://a:b/c@d",
        "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/name/a@b",
        "http://host:80/a@b",
        "sftp://me@host/models",
        "sftp://me@host:22/models@home",
        "abfs://container@account.dfs.core.windows.net:443/a@b",
        "see s3://bucket:obj/photo@2x.png and s3://bucket/a:b@c",
    ],
)
def test_honest_addresses_hold_no_password(text: str) -> None:
    assert not holds_password(text)
    assert without_passwords(text) == text


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("s3://me:se/cret@bucket/a", "s3://***@bucket/a"),
        ("s3://me:se//cret@bucket/a@2x.png", "s3://***@bucket/a@2x.png"),
        ("s3://me:a:b/c:d@bucket", "s3://***@bucket"),
        ("s3://me:se/cr@et@bucket/a", "s3://***@bucket/a"),
        ("s3://me:s@e/cret@bucket/a@2x.png", "s3://***@bucket/a@2x.png"),
        ("s3://AKIA:12/ab@cd/ef@bucket", "s3://***@bucket"),
        ("(s3://me:s@2x.png/e@bucket, http://a:b/c@d/e@f)", "(s3://***@bucket, http://***@f)"),
        ("https://to@ken@host/a", "https://***@host/a"),
        ("sftp://me@mail.org:se/c@ret@host/a", "sftp://***@host/a"),
        ("https://me@mail.org:secret@host/a", "https://***@host/a"),
        ("https://token@host/a", "https://***@host/a"),
        (f"https://me:{'t' * 5000}@host", "https://***@host"),
        ("s3://bucket:obj/photo@2x.png s3://me:a/b@c", "s3://bucket:obj/photo@2x.png s3://***@c"),
    ],
)
def test_passwords_are_found_and_hidden(text: str, hidden: str) -> None:
    assert holds_password(text)
    assert without_passwords(text) == hidden


@pytest.mark.parametrize(
    "part",
    ["://a:x", "://a:", "://", "://a:1/x", "https://a", "://a:" + ":" * 50, "a@://b:/", "@", "@2x.png", "https://@"],
)
@pytest.mark.parametrize("end", ["", "@"])
def test_a_megabyte_of_hostile_text_takes_less_than_a_second(part: str, end: str) -> None:
    text = part * (1_000_000 // len(part)) + end
    began = time.process_time()
    without_passwords(text)
    assert time.process_time() - began < 1
