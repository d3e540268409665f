"""Cron expressions: what is taken, what it is turned into, and that the times stay the same."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.base.errors import ConfigError
from pipeline.cron import expression as cron

NOON = datetime.datetime(2026, 1, 5, 12, tzinfo=datetime.UTC)  # a Monday


@pytest.mark.parametrize(
    ("expression", "plain"),
    [
        ("0 3 * * 1", "0 3 * * 1"),
        ("  0   3 * * *  ", "0 3 * * *"),
        ("*/15 * * * *", "*/15 * * * *"),
        ("0 3 * * 7", "0 3 * * 0"),
        ("0 3 * * 5-7", "0 3 * * 0,5,6"),
        ("0 3 * JAN,jul SUN", "0 3 * 1,7 0"),
        ("0 9-17/4 * * mon-fri", "0 9,13,17 * * 1,2,3,4,5"),
        ("0-59 * * * *", "* * * * *"),
        ("0 3 * * 5-5", "0 3 * * 5"),
        ("0 3 * * 5-5/2", "0 3 * * 5"),
        ("@daily", "0 0 * * *"),
        ("@Weekly", "0 0 * * 0"),
        ("0 0 29 2 *", "0 0 29 2 *"),
    ],
)
def test_an_expression_is_turned_into_numbers(expression: str, plain: str) -> None:
    assert cron.parse(expression) == plain


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("60 * * * *", "--cron: minute: '60': expected 0 to 59"),
        ("0 24 * * *", "--cron: hour: '24': expected 0 to 23"),
        ("0 0 0 * *", "--cron: day of month: '0': expected 1 to 31"),
        ("0 0 * MON *", "--cron: month: 'MON': expected 1 to 12 or JAN to DEC"),
        ("0 0 * * 8", "--cron: day of week: '8': expected 0 to 7 or SUN to SAT"),
        ("*/0 * * * *", "--cron: minute: '*/0': "),
        ("1,,2 * * * *", "--cron: minute: '1,,2': "),
        ("0 0 L * *", "--cron: day of month: 'L': "),
        ("0 0 ? * *", "--cron: day of month: '?': "),
        ("0 0 * * 1#2", "--cron: day of week: '1#2': "),
        ("R * * * *", "--cron: minute: 'R': "),
        ("5/15 * * * *", "--cron: minute: '5/15': "),
        ("*/20,5 * * * *", "--cron: minute: '*/20,5': "),
        ("0 0 1 * 0-6", "--cron: day of week: '0-6' is every day: write '*'"),
        ("0 0 31 2 *", "--cron '0 0 31 2 *': there is no such day"),
        (
            "0 0 3 * * *",
            "--cron '0 0 3 * * *': expected five fields, minute, hour, day of month, month and day of week",
        ),
        ("@reboot", "--cron '@reboot': expected five fields"),
        ("", "--cron '': expected five fields"),
    ],
)
def test_a_wrong_field_is_named(expression: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        cron.parse(expression)
    assert str(error.value).startswith(message)


@st.composite
def expressions(draw: st.DrawFn) -> str:
    """Stars, numbers, ranges, steps and lists; days of the month up to 28, which every month has."""
    fields = []
    for low, high in [(0, 59), (0, 23), (1, 28), (1, 12), (0, 6)]:
        first = draw(st.integers(low, high))
        last = draw(st.integers(first, high - (first == low)))
        step = draw(st.integers(1, 9))
        shapes = ["*", "*", f"*/{step}", str(first), f"{first}-{last}", f"{first}-{last}/{step}", f"{first},{last}"]
        fields.append(draw(st.sampled_from(shapes)))
    return " ".join(fields)


def numbers(field: str, low: int, high: int) -> set[int]:
    """What a field allows, by crontab(5)."""
    found = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.replace("*", f"{low}-{high}").partition("-")
        found |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


def first_after(expression: str, after: datetime.datetime) -> datetime.datetime:
    """crontab(5), day by day: where both day fields are restricted, which a field with a * is not, either will do."""
    fields = expression.split()
    minutes, hours, days, months, weekdays = (
        numbers(f, low, high)
        for f, (low, high) in zip(fields, [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)], strict=True)
    )
    both = "*" in fields[2] or "*" in fields[4]
    for ahead in range(800):
        date = (after + datetime.timedelta(days=ahead)).replace(hour=0, minute=0)
        fits = [date.day in days, date.isoweekday() % 7 in weekdays]
        if date.month in months and (all(fits) if both else any(fits)):
            for hour in sorted(hours):
                for minute in sorted(minutes):
                    if (at := date.replace(hour=hour, minute=minute)) > after:
                        return at
    raise AssertionError(expression)


@given(expressions())
def test_the_times_stay_those_of_crontab_5(expression: str) -> None:
    plain, at = cron.parse(expression), NOON
    for _ in range(4):
        assert cron.next_time(plain, at) == first_after(expression, at) == first_after(plain, at)
        at = cron.next_time(plain, at)
    assert cron.parse(plain) == plain


def test_the_next_time_is_computed() -> None:
    assert cron.next_time("0 3 * * 1", NOON) == NOON.replace(day=12, hour=3)  # this Monday's is over
    assert cron.next_time("0 0 29 2 *", NOON) == datetime.datetime(2028, 2, 29, tzinfo=datetime.UTC)
