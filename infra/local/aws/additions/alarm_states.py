"""How an alarm's state follows from the values of its metric. Pure.

Emulated: alarms on one metric with a simple statistic. As on AWS, a little more than the evaluation periods is looked
at, so that one late value changes nothing; how much more is AWS's own affair, and two periods here.

Source: Amazon CloudWatch User Guide, "Alarm evaluation" and "Configuring how CloudWatch alarms treat missing data".
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
Missing = Literal["breaching", "notBreaching", "ignore", "missing"]

_MORE_PERIODS = 2
_STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Sum": sum,
    "Maximum": max,
    "Minimum": min,
    "Average": lambda values: math.fsum(values) / len(values),
    "SampleCount": len,
}
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What an alarm watches for.

    Args:
        statistic: of the values of a period.
        comparison: with the threshold; where it holds, the period breaches.
        threshold: in the metric's unit.
        period: seconds.
        periods: how many are evaluated.
        to_alarm: how many of them must breach.
        missing: what a period without values counts as.
    """

    statistic: str
    comparison: str
    threshold: float
    period: int
    periods: int
    to_alarm: int
    missing: Missing = "missing"

    @property
    def is_emulated(self) -> bool:
        """Whether this emulator can evaluate it."""
        return self.statistic in _STATISTICS and self.comparison in _COMPARISONS


def state_of(rule: Rule, values: Iterable[tuple[float, float]], *, now: float, before: State) -> State:
    """Return an alarm's state.

    Args:
        rule: the alarm's; one that is emulated.
        values: (seconds since 1970, value) of its metric.
        now: seconds since 1970.
        before: the state until now.
    """
    last = math.floor(now / rule.period)
    first = last - (rule.periods + _MORE_PERIODS) + 1
    periods: dict[int, list[float]] = {}
    for at, value in values:
        number = math.floor(at / rule.period)
        if first <= number <= last:
            periods.setdefault(number, []).append(value)
    newest = [periods[number] for number in sorted(periods, reverse=True)][: rule.periods]
    statistic, compare = _STATISTICS[rule.statistic], _COMPARISONS[rule.comparison]
    breaching = sum(compare(statistic(found), rule.threshold) for found in newest)
    lacking = rule.periods - len(newest)
    if lacking and rule.missing == "missing":
        return "INSUFFICIENT_DATA" if not newest else "ALARM" if breaching == len(newest) else "OK"
    if lacking and rule.missing == "ignore" and (breaching or not newest):
        return before
    if rule.missing == "breaching":
        breaching += lacking
    return "ALARM" if breaching >= rule.to_alarm else "OK"
