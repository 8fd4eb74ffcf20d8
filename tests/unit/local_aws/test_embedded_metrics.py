"""Lines of a log become metrics exactly where they are in CloudWatch's embedded metric format."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from infra.local.aws.additions.embedded_metrics import Datum, extracted

AT_MS = 1_790_000_000_500  # 2026-09-21 14:13:20.5 UTC


def line(**change: Any) -> dict[str, Any]:
    directive = {
        "Namespace": "Own",
        "Dimensions": [["place"]],
        "Metrics": [{"Name": "Heat", "Unit": "Percent"}, {"Name": "Steps"}],
    }
    told = {
        "_aws": {"Timestamp": AT_MS, "CloudWatchMetrics": [directive]},
        "place": "here",
        "Heat": 7.5,
        "Steps": [1, 2],
    }
    return told | change


def test_each_metric_of_a_line_becomes_a_value_with_its_dimensions_at_its_time() -> None:
    at = datetime(2026, 9, 21, 14, 13, 20, 500_000)
    assert extracted(json.dumps(line())) == [
        Datum("Own", "Heat", "Percent", {"place": "here"}, at, (7.5,)),
        Datum("Own", "Steps", "None", {"place": "here"}, at, (1.0, 2.0)),
    ]


@pytest.mark.parametrize(
    "message",
    [
        "round 3 of 50",
        "{",
        '{"_aws": 1}',
        '"_aws"',
        json.dumps({name: value for name, value in line().items() if name != "Heat"}),
        json.dumps(line(Heat="hot")),
        json.dumps(line(place=3)),
        json.dumps(line(_aws={"CloudWatchMetrics": []})),
        json.dumps(line())[:-20],
    ],
)
def test_any_other_line_is_text(message: str) -> None:
    assert extracted(message) == []


def test_more_metrics_than_cloudwatch_takes_are_none() -> None:
    names = [f"m{number}" for number in range(101)]
    directive = {"Namespace": "Own", "Dimensions": [[]], "Metrics": [{"Name": name} for name in names]}
    told = {"_aws": {"Timestamp": AT_MS, "CloudWatchMetrics": [directive]}, **dict.fromkeys(names, 1)}
    assert extracted(json.dumps(told)) == []
