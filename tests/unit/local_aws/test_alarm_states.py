"""An alarm's state, by the examples of CloudWatch's own documentation: 3 of 3 periods, the oldest value first."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from infra.local.aws.additions.alarm_states import Missing, Rule, State, state_of

RULE = Rule("Maximum", "GreaterThanThreshold", 10, 60, 3, 3)
NOW = 1_790_000_000.0
GOOD, BAD = 5.0, 15.0


def values(picture: str) -> list[tuple[float, float]]:
    """Read ``0`` as a good period, ``X`` as one that breaches, ``-`` as one without values; the last is the present."""
    signs = picture.split()
    return [
        (NOW - 60 * (len(signs) - 1 - index), BAD if sign == "X" else GOOD)
        for index, sign in enumerate(signs)
        if sign != "-"
    ]


@pytest.mark.parametrize(
    ("picture", "missing", "ignore", "breaching", "not_breaching"),
    [
        ("0 - X - X", "OK", "OK", "OK", "OK"),
        ("0 - - - -", "OK", "OK", "OK", "OK"),
        ("- - - - -", "INSUFFICIENT_DATA", "as before", "ALARM", "OK"),
        ("0 X X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
        ("- - X - -", "ALARM", "as before", "ALARM", "OK"),
    ],
)
def test_missing_periods_count_as_the_alarm_says(
    picture: str, missing: str, ignore: str, breaching: str, not_breaching: str
) -> None:
    expected = {"missing": missing, "ignore": ignore, "breaching": breaching, "notBreaching": not_breaching}
    for treat, state in expected.items():
        for before in cast(tuple[State, ...], ("OK", "ALARM")):
            found = state_of(replace(RULE, missing=cast(Missing, treat)), values(picture), now=NOW, before=before)
            assert found == (before if state == "as before" else state), (treat, before)


@pytest.mark.parametrize(
    ("statistic", "threshold", "state"),
    [("Sum", 29, "ALARM"), ("Sum", 30, "OK"), ("Average", 9, "ALARM"), ("Average", 10, "OK"), ("Minimum", 4, "ALARM")],
)
def test_the_statistic_is_of_the_values_of_one_period(statistic: str, threshold: float, state: str) -> None:
    rule = Rule(statistic, "GreaterThanThreshold", threshold, 60, 1, 1)
    period = NOW - NOW % 60
    told = [(period, 5.0), (period + 10, 10.0), (period + 59, 15.0), (period - 1, 500.0)]
    assert state_of(rule, told, now=period + 59, before="OK") == state


@pytest.mark.parametrize(
    ("comparison", "state"),
    [
        ("GreaterThanThreshold", "OK"),
        ("GreaterThanOrEqualToThreshold", "ALARM"),
        ("LessThanThreshold", "OK"),
        ("LessThanOrEqualToThreshold", "ALARM"),
    ],
)
def test_a_value_on_the_threshold(comparison: str, state: str) -> None:
    rule = Rule("Maximum", comparison, 10, 60, 1, 1)
    assert state_of(rule, [(NOW, 10.0)], now=NOW, before="INSUFFICIENT_DATA") == state


def test_one_good_period_of_three_holds_the_alarm_back_and_two_of_three_do_not_ask_for_the_third() -> None:
    assert state_of(RULE, values("X 0 X"), now=NOW, before="ALARM") == "OK"
    assert state_of(replace(RULE, to_alarm=2), values("X 0 X"), now=NOW, before="OK") == "ALARM"
