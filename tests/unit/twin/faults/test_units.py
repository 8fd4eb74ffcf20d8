"""Quantities as a person writes them."""

from __future__ import annotations

import pytest

from infra.local.twin.faults import units
from infra.local.twin.faults.errors import FaultRefused


@pytest.mark.parametrize(("text", "value"), [("80ms", 80.0), ("0.5s", 500.0), ("0ms", 0.0), (".5 ms", 0.5)])
def test_a_time_has_its_unit(text, value):
    assert units.milliseconds("latency", text, most=10_000) == value


@pytest.mark.parametrize(
    ("text", "value"), [("100mbit", 100.0), ("512kbit", 0.512), ("1gbit", 1000.0), ("10Mbit/s", 10.0)]
)
def test_a_rate_has_its_unit(text, value):
    assert units.mbit("rate", text) == pytest.approx(value)


@pytest.mark.parametrize(("text", "value"), [("+2h", 7200.0), ("-30m", -1800.0), ("+1d", 86400.0), ("-1.5s", -1.5)])
def test_an_offset_has_sign_and_unit(text, value):
    assert units.offset_seconds("by", text) == value


def test_a_share_is_in_percent():
    assert units.percent("loss", "2.5%") == 2.5


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (lambda name, text: units.milliseconds(name, text, most=10_000), "80"),
        (lambda name, text: units.milliseconds(name, text, most=10_000), "-1ms"),
        (lambda name, text: units.milliseconds(name, text, most=10_000), "11s"),
        (units.mbit, "100"),
        (units.mbit, "100mb"),
        (units.mbit, "0mbit"),
        (units.percent, "2"),
        (units.percent, "100%"),
        (units.percent, "0%"),
        (units.offset_seconds, "2h"),
        (units.offset_seconds, "+2"),
        (units.offset_seconds, "+-2h"),
        (units.offset_seconds, "+0s"),
        (units.offset_seconds, ""),
    ],
)
def test_what_is_none_is_refused_with_what_is_allowed(read, text):
    with pytest.raises(FaultRefused) as refused:
        read("it", text)

    assert repr(text) in str(refused.value)
    assert "Allowed: " in refused.value.remedy
