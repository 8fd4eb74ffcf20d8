"""Which alarms watch a node: what each means, when it is on, and what silence means to it. Nothing here imports CDK."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from infra.federation.derive import Node
from infra.federation.model import Federation
from node_bootstrap import measures

MINUTE = 60
#: A node that has just been made has so long to speak for the first time: boot, mounting, packages.
WARM_UP_MINUTES = 15
#: CloudWatch's own metrics of an instance have the instance's id as their dimension.
EC2 = "AWS/EC2"

Missing = Literal["breaching", "notBreaching", "ignore"]
Comparison = Literal["GreaterThanThreshold", "LessThanThreshold"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm of a node.

    Args:
        id: the end of its name; with a capital the construct's id.
        metric: name of the metric.
        statistic: of the data points of a minute.
        comparison: with the threshold; where it holds, the minute is bad.
        threshold: in the metric's unit.
        minutes: so many minutes one after the other must be bad.
        missing: what a minute without data counts as.
        silence: why.
        meaning: what is the matter when it is on.
        remedy: what to do.
        namespace: of the metric.
        goes_with_node: it is in the node's stack, and gone with it; the others outlive the node.
        warm_up_minutes: how long a new one waits.
    """

    id: str
    metric: str
    statistic: Literal["Maximum", "Minimum", "Sum"]
    comparison: Comparison
    threshold: float
    minutes: int
    missing: Missing
    silence: str
    meaning: str
    remedy: str
    namespace: str = measures.NAMESPACE
    goes_with_node: bool = False
    warm_up_minutes: int = 0

    def name(self, node: Node) -> str:
        """Return the alarm's name in the node's account."""
        return f"{node.watch_name}-{self.id}"

    @property
    def description(self) -> str:
        """What CloudWatch shows, and a mail tells."""
        return f"{self.meaning} {self.remedy}"


def alarms(federation: Federation) -> tuple[Alarm, ...]:
    """Return the alarms that each node of a federation has; none where monitoring is off."""
    wanted = federation.monitoring
    if not wanted.enabled:
        return ()
    return (
        _stalled(wanted.stalled_minutes),
        _failed(),
        _bootstrap(),
        _root_disk(wanted.disk_percent),
        _state_disk(wanted.disk_percent),
        _certificate(wanted.certificate_days or federation.security.certificate_days / 6),
        _unreachable(),
        _instance(),
    )


def _stalled(minutes: int) -> Alarm:
    return Alarm(
        "stalled",
        measures.SINCE_ROUND.name,
        "Maximum",
        "GreaterThanThreshold",
        minutes * MINUTE,
        1,
        "notBreaching",
        "A node tells it in the middle of a run only: no data is no run. A silent node has an alarm of its own.",
        f"No new round for {minutes} min in the middle of a run.",
        "federate status says for whom the run waits; federate logs says why.",
    )


def _failed() -> Alarm:
    return Alarm(
        "failed",
        measures.NODE_FAILED.name,
        "Maximum",
        "GreaterThanThreshold",
        0,
        1,
        "ignore",
        "A failed node that falls silent is no less failed.",
        "The node's state is failed.",
        "federate status says why; the next start tries again.",
    )


def _bootstrap() -> Alarm:
    return Alarm(
        "bootstrap",
        measures.BOOTSTRAP_FAILED.name,
        "Maximum",
        "GreaterThanThreshold",
        0,
        1,
        "ignore",
        "It is told once, by what runs in the agent's place; the first minute of a node that is up ends it.",
        "The node could not come up: its bootstrap or its state volume failed.",
        "federate status says why; the node's log group and the instance's console output have the rest.",
    )


def _root_disk(percent: int) -> Alarm:
    return _disk(
        measures.ROOT_DISK, "root", percent, "Data that the node no longer needs, or volume_gib in federation.yaml."
    )


def _state_disk(percent: int) -> Alarm:
    return _disk(
        measures.STATE_DISK,
        "state",
        percent,
        "Fewer checkpoints (policy.checkpoints_kept); results that are in the bucket may go.",
    )


def _disk(measure: measures.Measure, volume: str, percent: int, remedy: str) -> Alarm:
    return Alarm(
        f"{volume}-disk",
        measure.name,
        "Maximum",
        "GreaterThanThreshold",
        percent,
        3,
        "ignore",
        "A full disk may be why a node is silent.",
        f"The {volume} volume is more than {percent} % full.",
        remedy,
    )


def _certificate(days: float) -> Alarm:
    return Alarm(
        "certificate",
        measures.CERTIFICATE_DAYS.name,
        "Minimum",
        "LessThanThreshold",
        days,
        1,
        "ignore",
        "A certificate goes on ageing while its node is silent.",
        f"The node's certificate expires in less than {days:g} days, or has expired.",
        "federate deploy, or federate identity rotate: the coordinator signs another.",
    )


def _unreachable() -> Alarm:
    return Alarm(
        "unreachable",
        measures.HEARTBEAT.name,
        "Sum",
        "LessThanThreshold",
        1,
        5,
        "breaching",
        "Silence is what it listens for. A node that was just made has 15 minutes to speak.",
        "Nothing was heard of the node's agent for 5 minutes.",
        "Is the instance running? If so, federate unit status; if not, federate deploy makes it anew.",
        goes_with_node=True,
        warm_up_minutes=WARM_UP_MINUTES,
    )


def _instance() -> Alarm:
    return Alarm(
        "instance",
        "StatusCheckFailed",
        "Maximum",
        "GreaterThanThreshold",
        0,
        3,
        "notBreaching",
        "EC2 tells nothing of an instance that is stopped or gone; a silent agent has an alarm of its own.",
        "EC2 finds the instance, its network or its host impaired.",
        "Stop and start it in the EC2 console: that moves it to another host. The state volume keeps what matters.",
        namespace=EC2,
        goes_with_node=True,
    )
