"""What CloudWatch Logs makes of a line in the embedded metric format: metrics of the account that has the log. Pure.

Source: Amazon CloudWatch User Guide, "Specification: Embedded metric format". Emulated: targets with a unit and
dimensions, numbers and lists of numbers. A line that is not to the letter of it is a line of the log and nothing else,
as on AWS.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_MOST_METRICS = 100


@dataclass(frozen=True, slots=True)
class Datum:
    """One value of a metric.

    Args:
        namespace: of the metric.
        name: of the metric.
        unit: CloudWatch's word.
        dimensions: name to value.
        at: when it was true; UTC, without a zone, as moto keeps it.
        values: one or several.
    """

    namespace: str
    name: str
    unit: str
    dimensions: dict[str, str]
    at: datetime
    values: tuple[float, ...]

    def for_moto(self) -> dict[str, Any]:
        """Return it as PutMetricData takes it."""
        return {
            "MetricName": self.name,
            "Unit": self.unit,
            "Dimensions": [{"Name": name, "Value": value} for name, value in self.dimensions.items()],
            "Timestamp": self.at,
            "Values": list(self.values),
        }


def extracted(message: str) -> list[Datum]:
    """Return the values in a line of a log; none where it is no line of embedded metrics."""
    if '"_aws"' not in message:
        return []
    try:
        told = json.loads(message)
        at = datetime.fromtimestamp(int(told["_aws"]["Timestamp"]) / 1000, UTC).replace(tzinfo=None)
        return [datum for directive in told["_aws"]["CloudWatchMetrics"] for datum in _of(directive, told, at)]
    except (ValueError, KeyError, TypeError, OverflowError):
        return []


def _of(directive: dict[str, Any], told: dict[str, Any], at: datetime) -> list[Datum]:
    metrics = directive["Metrics"]
    if len(metrics) > _MOST_METRICS:
        raise ValueError("more than 100 metrics in one directive")
    found = []
    for names in directive["Dimensions"]:
        dimensions = {name: told[name] for name in names}
        if not all(isinstance(value, str) for value in dimensions.values()):
            raise TypeError("a dimension is not a text")
        for metric in metrics:
            value = told[metric["Name"]]
            values = tuple(float(one) for one in (value if isinstance(value, list) else [value]))
            found.append(
                Datum(directive["Namespace"], metric["Name"], metric.get("Unit", "None"), dimensions, at, values)
            )
    return found
