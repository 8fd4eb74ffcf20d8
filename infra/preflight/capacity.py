"""Whether the account may have the machines that it is to have: vCPU quotas, and what the zone offers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from infra.errors import Problem, Severity
from infra.federation.words import listed
from infra.preflight.check import Check, Visit, tags_of
from infra.preflight.quotas import PERMISSIONS, VCPU_CODES, quota, raise_it, vcpu_class

#: States in which an instance's vCPUs count.
_COUNTS = ("pending", "running")


def vcpus(visit: Visit) -> Iterator[Problem]:
    """Find nodes for which the account has not enough vCPUs left."""
    running = running_instances(visit)
    there = {tags_of(instance).get("federate:node") for instance in running if visit.is_ours(instance)}
    missing = [node for node in visit.nodes if node.id not in there]
    sizes = _vcpus_of(visit, {node.spec.instance_type for node in missing})
    needed: Counter[tuple[str, bool]] = Counter()
    for node in missing:
        class_ = vcpu_class(node.spec.instance_type)
        if class_ is None:
            yield visit.problem(
                f"not checked: which quota {node.spec.instance_type} counts in is not known here.",
                "",
                "Look it up in the Service Quotas console.",
                Severity.WARNING,
            )
        elif node.spec.instance_type in sizes:  # one that AWS does not know is named by another check
            needed[class_, node.spec.spot] += sizes[node.spec.instance_type]
    if not needed:
        return
    used = _used(visit, running)
    for (class_, is_spot), need in sorted(needed.items()):
        code = VCPU_CODES[class_][is_spot]
        market = "spot" if is_spot else "on demand"
        if code is None:
            yield visit.problem(f"there is no spot capacity of {class_} types.", "", "Leave out spot: true.")
            continue
        allowed, taken = quota(visit, "ec2", code), used[class_, is_spot]
        if taken + need > allowed:
            yield visit.problem(
                f"{class_} instances {market} need {need} vCPUs more, and {taken} of {allowed:g} are in use "
                f"(quota {code}).",
                f"At least {taken + need} vCPUs.",
                raise_it(visit, "ec2", code, taken + need),
            )


def running_instances(visit: Visit) -> list[Mapping[str, Any]]:
    """Return the account's instances that run or are about to, whoever's they are."""
    filters = [{"Name": "instance-state-name", "Values": list(_COUNTS)}]
    found = visit.pages("ec2", "describe_instances", "Reservations", Filters=filters)
    return [instance for reservation in found for instance in reservation["Instances"]]


def _used(visit: Visit, running: list[Mapping[str, Any]]) -> Counter[tuple[str, bool]]:
    sizes = _vcpus_of(visit, {instance["InstanceType"] for instance in running})
    used: Counter[tuple[str, bool]] = Counter()
    for instance in running:
        type_ = instance["InstanceType"]
        used[vcpu_class(type_) or "", instance.get("InstanceLifecycle") == "spot"] += sizes.get(type_, 0)
    return used


def _vcpus_of(visit: Visit, types: set[str]) -> dict[str, int]:
    return {name: told["VCpuInfo"]["DefaultVCpus"] for name, told in instance_types(visit, types).items()}


def instance_types(visit: Visit, types: set[str]) -> dict[str, Mapping[str, Any]]:
    """Return what EC2 says of instance types, by name; one that the Region does not know is not in it."""
    if not types:
        return {}
    # By filter: asked by name, one unknown type would fail the whole question.
    filters = [{"Name": "instance-type", "Values": sorted(types)}]
    return {
        told["InstanceType"]: told
        for told in visit.pages("ec2", "describe_instance_types", "InstanceTypes", Filters=filters)
    }


def offered(visit: Visit) -> Iterator[Problem]:
    """Find instance types that their zone does not offer."""
    types = sorted({node.spec.instance_type for node in visit.nodes})
    found = visit.pages(
        "ec2",
        "describe_instance_type_offerings",
        "InstanceTypeOfferings",
        LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": types}],
    )
    zones_of: dict[str, set[str]] = {type_: set() for type_ in types}
    for offering in found:
        zones_of.setdefault(offering["InstanceType"], set()).add(offering["Location"])
    for node in visit.nodes:
        zones = zones_of[node.spec.instance_type]
        if node.availability_zone not in zones:
            yield visit.problem(
                f"{node.availability_zone} does not offer {node.spec.instance_type} (asked for by {node.id}).",
                f"Zones that do: {listed(sorted(zones))}." if zones else f"No zone of {visit.region} does.",
                "Set availability_zone, or choose another instance type.",
            )


def zone(visit: Visit) -> Iterator[Problem]:
    """Find zones that the account does not have."""
    zones = {told["ZoneName"]: told for told in visit.client("ec2").describe_availability_zones()["AvailabilityZones"]}
    for node in visit.nodes:
        told = zones.get(node.availability_zone)
        if told is None or told.get("State", "available") != "available":
            what = "does not have" if told is None else f"has as {told['State']}"
            yield visit.problem(
                f"the account {what} the zone {node.availability_zone} (asked for by {node.id}).",
                f"It has {listed(sorted(zones))}.",
                "Set availability_zone.",
            )


CHECKS = (
    Check(
        "vcpu-quota",
        "Does the vCPU quota of each class of instance types, on demand or spot, allow the nodes that do not run yet?",
        ("ec2:DescribeInstances", "ec2:DescribeInstanceTypes", *PERMISSIONS),
        vcpus,
    ),
    Check("zone", "Has the account the nodes' availability zones?", ("ec2:DescribeAvailabilityZones",), zone),
    Check(
        "instance-type",
        "Do the nodes' availability zones offer their instance types?",
        ("ec2:DescribeInstanceTypeOfferings",),
        offered,
    ),
)
