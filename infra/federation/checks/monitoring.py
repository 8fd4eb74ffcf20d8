"""Whether alarms can reach anybody, and whether they would ever be off."""

from __future__ import annotations

from infra.errors import Severity
from infra.federation.checks.blocks import Block, blocks
from infra.federation.finding import Finding
from infra.federation.model import Federation

_SECONDS_A_MINUTE = 60


def check(federation: Federation) -> list[Finding]:
    """Check the thresholds against what they watch, and each account's topic against its account."""
    if not federation.monitoring.enabled:
        return [finding for block in blocks(federation) for finding in _for_nothing(block)]
    return [*_thresholds(federation), *(finding for block in blocks(federation) for finding in _topic(block))]


def _thresholds(federation: Federation) -> list[Finding]:
    findings: list[Finding] = []
    days, lifetime = federation.monitoring.certificate_days, federation.security.certificate_days
    if days is not None and days >= lifetime:
        findings.append(
            Finding(
                ("monitoring", "certificate_days"),
                f"{days} days are no less than a certificate's lifetime, {lifetime}: the alarm would never be off.",
                "Less than a third of security.certificate_days, when deploy and start renew a certificate.",
                f"For example: {max(1, lifetime // 6)}.",
                concerns=(("security", "certificate_days"),),
            )
        )
    deadline, stalled = federation.policy.round_deadline_seconds, federation.monitoring.stalled_minutes
    if isinstance(deadline, float | int) and deadline >= stalled * _SECONDS_A_MINUTE:
        findings.append(
            Finding(
                ("monitoring", "stalled_minutes"),
                f"a round may take {deadline:g} s until its deadline; the alarm waits {stalled} minutes.",
                "",
                f"More than {deadline / _SECONDS_A_MINUTE:g} minutes.",
                Severity.WARNING,
                (("policy", "round_deadline_seconds"),),
            )
        )
    return findings


def _topic(block: Block) -> list[Finding]:
    topic = block.spec.alarm_topic
    if topic is None:
        return []
    region, account = topic.split(":")[3:5]
    findings: list[Finding] = []
    if account != block.spec.account:
        findings.append(
            Finding(
                block.at("alarm_topic"),
                f"the topic is of account {account}, and the alarms are of {block.spec.account}.",
                "A topic of the same account: what is measured of a node stays there.",
                "Let that topic's owner subscribe to one here.",
                concerns=(block.at("account"),),
            )
        )
    if region != block.node.region:
        findings.append(
            Finding(
                block.at("alarm_topic"),
                f"the topic is in {region}, and the alarms are in {block.node.region}.",
                "A topic in the node's Region: CloudWatch tells no other.",
                concerns=(block.at("region"), ("region",)),
            )
        )
    if block.spec.alarm_email is not None:
        findings.append(
            Finding(
                block.at("alarm_email"),
                "is for the topic that is made, and alarm_topic names one that is there already.",
                "One of the two.",
                "Subscribe the address to your topic yourself.",
                concerns=(block.at("alarm_topic"),),
            )
        )
    return findings


def _for_nothing(block: Block) -> list[Finding]:
    return [
        Finding(
            block.at(key),
            "is of no use: monitoring is off.",
            "",
            "Leave it out, or set monitoring to true.",
            Severity.WARNING,
            (("monitoring",),),
        )
        for key in ("alarm_topic", "alarm_email")
        if getattr(block.spec, key) is not None
    ]
