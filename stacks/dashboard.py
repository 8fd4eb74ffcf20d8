"""The dashboard of one node, as CloudWatch takes it: its training, its machine, its alarms. Nothing imports CDK."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from infra.federation.derive import Node
from node_bootstrap import measures
from node_bootstrap.measures import Measure
from stacks.alarms import Alarm

_WIDTH, _HEIGHT, _ROW = 8, 6, 24
#: Title, measures, statistic of a period, and the limits of the axis.
_GRAPHS: tuple[tuple[str, tuple[Measure, ...], str, tuple[float | None, float | None]], ...] = (
    ("Round", (measures.ROUND, measures.SITES), "Maximum", (0, None)),
    ("Loss on held-out data", (measures.LOSS,), "Average", (None, None)),
    ("AUROC on held-out data", (measures.AUROC,), "Average", (None, 1)),
    ("Seconds a round", (measures.ROUND_SECONDS,), "Average", (0, None)),
    ("Seconds since the last round", (measures.SINCE_ROUND,), "Maximum", (0, None)),
    ("Bytes a minute", (measures.BYTES_SENT, measures.BYTES_RECEIVED), "Sum", (0, None)),
    ("GPU, %", (measures.GPU, measures.GPU_MEMORY), "Average", (0, 100)),
    ("Processors and memory, %", (measures.CPU, measures.MEMORY), "Average", (0, 100)),
    ("Disks, %", (measures.ROOT_DISK, measures.STATE_DISK), "Maximum", (0, 100)),
    ("Heartbeats a minute", (measures.HEARTBEAT,), "Sum", (0, None)),
    (
        "Failures",
        (measures.NODE_FAILED, measures.BOOTSTRAP_FAILED),
        "Maximum",
        (0, 1),
    ),
    ("Days until the certificate expires", (measures.CERTIFICATE_DAYS,), "Minimum", (None, None)),
)


def dashboard(node: Node, alarms: Sequence[Alarm]) -> str:
    """Return the dashboard's body; the same node gives the same text.

    Source: Amazon CloudWatch API Reference, "Dashboard body structure and syntax".
    """
    names = [f"arn:aws:cloudwatch:{node.region}:{node.account}:alarm:{alarm.name(node)}" for alarm in alarms]
    status = {
        "type": "alarm",
        "x": 0,
        "y": 0,
        "width": _ROW,
        "height": 3,
        "properties": {"title": f"{node.federation}: {node.id}", "alarms": names},
    }
    widgets = [status, *(_graph(node, index, *graph) for index, graph in enumerate(_GRAPHS))]
    return json.dumps({"widgets": widgets}, separators=(",", ":"))


def _graph(
    node: Node,
    index: int,
    title: str,
    shown: Sequence[Measure],
    statistic: str,
    limits: tuple[float | None, float | None],
) -> dict[str, Any]:
    per_row = _ROW // _WIDTH
    axis = {name: value for name, value in zip(("min", "max"), limits, strict=True) if value is not None}
    dimensions = [part for item in measures.dimensions(node.federation, node.id).items() for part in item]
    return {
        "type": "metric",
        "x": index % per_row * _WIDTH,
        "y": 3 + index // per_row * _HEIGHT,
        "width": _WIDTH,
        "height": _HEIGHT,
        "properties": {
            "title": title,
            "region": node.region,
            "view": "timeSeries",
            "stat": statistic,
            "period": 60,
            "metrics": [[measures.NAMESPACE, measure.name, *dimensions] for measure in shown],
            **({"yAxis": {"left": axis}} if axis else {}),
        },
    }
