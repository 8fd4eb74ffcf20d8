"""What EC2 still has: everything that is tagged as the federation's, or is in a VPC of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infra.deployment.audit.mark import Found, Mark, tags_of

_GOING = ("deleting", "delete-in-progress", "shutting-down")


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one kind of resource is listed.

    Args:
        name: for the reader.
        operation: boto3's name of the paginated call.
        path: keys that lead to the resources in an answer; lists on the way are walked through.
        id: key of the identifier.
        tag_type: EC2's name of the kind in ``describe_tags``.
        state: keys that lead to the state.
        gone: states of what is not there any more, though it is still listed.
        vpcs: keys that lead to VPCs that it is in.
        arguments: of the call.
    """

    name: str
    operation: str
    path: tuple[str, ...]
    id: str
    tag_type: str
    state: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    vpcs: tuple[tuple[str, ...], ...] = (("VpcId",),)
    arguments: Mapping[str, Any] | None = None


_PEERING_GONE = ("deleted", "rejected", "failed", "expired")
_KINDS = (
    _Kind("VPC", "describe_vpcs", ("Vpcs",), "VpcId", "vpc"),
    _Kind("subnet", "describe_subnets", ("Subnets",), "SubnetId", "subnet"),
    _Kind("route table", "describe_route_tables", ("RouteTables",), "RouteTableId", "route-table"),
    _Kind("security group", "describe_security_groups", ("SecurityGroups",), "GroupId", "security-group"),
    _Kind(
        "network interface",
        "describe_network_interfaces",
        ("NetworkInterfaces",),
        "NetworkInterfaceId",
        "network-interface",
    ),
    _Kind(
        "endpoint",
        "describe_vpc_endpoints",
        ("VpcEndpoints",),
        "VpcEndpointId",
        "vpc-endpoint",
        state=("State",),
        gone=("deleted",),
    ),
    _Kind(
        "Instance Connect endpoint",
        "describe_instance_connect_endpoints",
        ("InstanceConnectEndpoints",),
        "InstanceConnectEndpointId",
        "instance-connect-endpoint",
        state=("State",),
        gone=("delete-complete",),
    ),
    _Kind(
        "peering",
        "describe_vpc_peering_connections",
        ("VpcPeeringConnections",),
        "VpcPeeringConnectionId",
        "vpc-peering-connection",
        state=("Status", "Code"),
        gone=_PEERING_GONE,
        vpcs=(("AccepterVpcInfo", "VpcId"), ("RequesterVpcInfo", "VpcId")),
    ),
    _Kind(
        "instance",
        "describe_instances",
        ("Reservations", "Instances"),
        "InstanceId",
        "instance",
        state=("State", "Name"),
        gone=("terminated",),
    ),
    _Kind("volume", "describe_volumes", ("Volumes",), "VolumeId", "volume", state=("State",), gone=("deleted",)),
    _Kind("snapshot", "describe_snapshots", ("Snapshots",), "SnapshotId", "snapshot", arguments={"OwnerIds": ["self"]}),
    _Kind("launch template", "describe_launch_templates", ("LaunchTemplates",), "LaunchTemplateId", "launch-template"),
)


def leftovers(ec2: Any, mark: Mark) -> Iterator[Found]:
    """Yield what is left in one account and Region."""
    ours: set[str] = set()
    for kind in _KINDS:
        for resource in _list(ec2, kind):
            tags = tags_of(resource.get("Tags") or resource.get("TagSet") or ())
            inside = {_at(resource, path) for path in kind.vpcs}
            if not (mark.is_tagged(tags) or inside & ours) or _comes_with_the_vpc(resource):
                continue
            state = _at(resource, kind.state)
            if state in kind.gone:
                continue
            if kind.name == "VPC":
                ours.add(resource["VpcId"])
            yield Found(kind.name, resource[kind.id], tags, is_going=state in _GOING)
    yield from _of_other_kinds(ec2, mark)


def _list(ec2: Any, kind: _Kind) -> Iterator[Mapping[str, Any]]:
    first, *rest = kind.path
    for page in ec2.get_paginator(kind.operation).paginate(**(kind.arguments or {})):
        items = page[first]
        for key in rest:
            items = [inner for item in items for inner in item[key]]
        yield from items


def _at(resource: Mapping[str, Any], path: tuple[str, ...]) -> str | None:
    value: Any = resource
    for key in path:
        value = value.get(key, {})
    return value if isinstance(value, str) else None


def _comes_with_the_vpc(resource: Mapping[str, Any]) -> bool:
    """Say whether it is a VPC's default group or main route table, which go with it."""
    is_default = "GroupId" in resource and resource.get("GroupName") == "default"
    return is_default or any(association.get("Main") for association in resource.get("Associations", ()))


def _of_other_kinds(ec2: Any, mark: Mark) -> Iterator[Found]:
    """Yield whatever else bears the federation's tag: an address, a gateway, a key pair."""
    known = {kind.tag_type for kind in _KINDS}
    wanted = [{"Name": "tag:federate:federation", "Values": [mark.federation]}]
    for page in ec2.get_paginator("describe_tags").paginate(Filters=wanted):
        for tag in page["Tags"]:
            is_ours = tag["Key"] == "federate:federation" and tag["Value"] == mark.federation
            if is_ours and tag["ResourceType"] not in known:
                own = [{"Name": "resource-id", "Values": [tag["ResourceId"]]}]
                tags = tags_of(ec2.describe_tags(Filters=own)["Tags"])
                yield Found(tag["ResourceType"], tag["ResourceId"], tags)
