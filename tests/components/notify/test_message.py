"""What people read of a run."""

import pytest

from components.notify.message import Message


@pytest.mark.parametrize(
    ("message", "title"),
    [
        (Message(name="a", events=("refused",), exit_code=3), "imagegate: a: the data gate refused"),
        (Message(name="a", events=("failed",), exit_code=1), "imagegate: a: the run failed"),
        (Message(name="a", events=("failed",), status="stopped"), "imagegate: a: the run was stopped"),
        (Message(name="a", events=("failed",), status="killed"), "imagegate: a: the run was killed"),
        (
            Message(name="a", events=("failed",), status="killed", command="tune"),
            "imagegate: a: the search for better settings was killed",
        ),
        (
            Message(name="a", events=("failed",), status="killed", command="compare"),
            "imagegate: a: the comparison of methods was killed",
        ),
        (Message(name="a", events=("refused", "failed")), "imagegate: a: refused or failed"),
        (Message(name="a", events=("pushed",), version="3"), "imagegate: a: pushed version 3"),
        (Message(name="a", events=("pushed",), version="3", challenger=True), "imagegate: a: pushed challenger 3"),
        (
            Message(name="a", events=("recovered",), version="3"),
            "imagegate: a: the run succeeded, after runs that did not",
        ),
        (Message(name="a", events=(), test=True), "imagegate: a: a test message"),
    ],
)
def test_the_title_says_what_happened(message: Message, title: str) -> None:
    assert message.title == title


def test_a_long_reason_is_cut_for_people_and_whole_for_programs() -> None:
    reason = "\n".join(f"recall of label {i} is below 0.5" for i in range(200))
    message = Message(name="a", events=("refused",), reason=reason, report="/r.html")
    assert len(message.text) < 1000  # what Teams takes
    assert message.text.endswith(" …\n\nreport: /r.html")
    assert Message.from_json(message.to_json()).reason == reason


def test_without_a_served_model_only_the_new_one_is_named() -> None:
    assert Message(name="a", events=("pushed",), metric="miou", value=0.5).text == "miou 0.5"
