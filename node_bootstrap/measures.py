"""What a node measures of itself, and the line by which CloudWatch Logs makes metrics of it.

The names stand here and nowhere else: the agent writes them, and alarms and dashboards are made from them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

NAMESPACE = "Federate"
#: Of every metric, in this order: ``federation`` and ``node`` are the names as ``federation.yaml`` has them.
DIMENSIONS = ("federation", "node")

Unit = Literal["Count", "Seconds", "Percent", "Bytes", "None"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric.

    Args:
        name: in CloudWatch.
        unit: CloudWatch's word for it; None is a number without one.
        meaning: half a sentence for a person.
    """

    name: str
    unit: Unit
    meaning: str


# Once a minute, whatever the node does.
HEARTBEAT = Measure("Heartbeat", "Count", "1 a minute while the node's agent lives")
NODE_FAILED = Measure("NodeFailed", "Count", "1 while the node's state is failed, else 0")
BOOTSTRAP_FAILED = Measure("BootstrapFailed", "Count", "1 where the node could not come up; 0 from a node that is up")
SINCE_ROUND = Measure("SecondsSinceRound", "Seconds", "since the last round, in the middle of a run; else not there")
CERTIFICATE_DAYS = Measure("CertificateDays", "None", "days until the node's certificate expires; below 0 once it has")
ROOT_DISK = Measure("RootDiskUsed", "Percent", "of the root volume: release, data, log")
STATE_DISK = Measure("StateDiskUsed", "Percent", "of the state volume: keys, checkpoints, audit log, results")
CPU = Measure("CpuUsed", "Percent", "of all processors, since the minute before")
MEMORY = Measure("MemoryUsed", "Percent", "of the machine's memory that is not available")
GPU = Measure("GpuUsed", "Percent", "mean over the GPUs; not there without one")
GPU_MEMORY = Measure("GpuMemoryUsed", "Percent", "of the fullest GPU's memory; not there without a GPU")
BYTES_SENT = Measure("BytesSent", "Bytes", "of messages to the other side, since the minute before")
BYTES_RECEIVED = Measure("BytesReceived", "Bytes", "of messages from the other side, since the minute before")

# Once a round.
ROUND = Measure("Round", "Count", "rounds that are done")
ROUND_SECONDS = Measure("RoundSeconds", "Seconds", "the round's duration; at a site, its own fit's")
LOSS = Measure("Loss", "None", "cross-entropy on held-out data: at the aggregator the sites' mean, at a site its own")
AUROC = Measure("AUROC", "None", "area under the ROC curve on held-out data, likewise; 0 to 1")
SITES = Measure("SitesAnswered", "Count", "sites whose updates were aggregated; the aggregator's only")

A_MINUTE = (
    HEARTBEAT,
    NODE_FAILED,
    BOOTSTRAP_FAILED,
    SINCE_ROUND,
    CERTIFICATE_DAYS,
    ROOT_DISK,
    STATE_DISK,
    CPU,
    MEMORY,
    GPU,
    GPU_MEMORY,
    BYTES_SENT,
    BYTES_RECEIVED,
)
A_ROUND = (ROUND, ROUND_SECONDS, LOSS, AUROC, SITES)
#: All that ever leaves a node as a metric.
MEASURES = (*A_MINUTE, *A_ROUND)


def stream(node: str) -> str:
    """Return the stream of the node's log group that metrics are written to."""
    return f"{node}/metrics"


def is_metrics(stream_name: str) -> bool:
    """Say whether a stream holds metrics rather than what somebody says."""
    return stream_name.endswith(stream(""))


def dimensions(federation: str, node: str) -> dict[str, str]:
    """Return the dimensions of a node's metrics."""
    return dict(zip(DIMENSIONS, (federation, node), strict=True))


def line(at_ms: int, federation: str, node: str, values: Mapping[Measure, float]) -> str:
    """Return a line in CloudWatch's embedded metric format.

    Args:
        at_ms: when the values were true, milliseconds since 1970.
        federation: name of the federation.
        node: id of the node.
        values: what was measured. What is not a finite number is left out: a metric that is not there is not 0.

    Source: Amazon CloudWatch User Guide, "Specification: Embedded metric format".
    """
    finite = {measure: float(value) for measure, value in values.items() if math.isfinite(value)}
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(DIMENSIONS)],
        "Metrics": [{"Name": measure.name, "Unit": measure.unit} for measure in finite],
    }
    told = {
        "_aws": {"Timestamp": at_ms, "CloudWatchMetrics": [directive]},
        **dimensions(federation, node),
        **{measure.name: value for measure, value in finite.items()},
    }
    return json.dumps(told, separators=(",", ":"))
