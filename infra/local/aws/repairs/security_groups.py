"""Security groups: a peer's group can be named while the peering is active, a group in use stays, rules tell all.

Source: "Update your security groups to reference peer security groups" in the Amazon VPC Peering Guide;
DeleteSecurityGroup and SecurityGroupRule in the Amazon EC2 API Reference.
"""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import DependencyViolationError, InvalidSecurityGroupNotFoundError
from moto.ec2.models import ec2_backends
from moto.ec2.models.security_groups import SecurityGroupBackend, SecurityGroupRule


def repair() -> None:
    """Admit groups of peers, refuse to delete what is in use, and describe rules whatever they name."""
    _describe()
    own_groups = SecurityGroupBackend._add_source_group
    delete = SecurityGroupBackend.delete_security_group

    def add_source_group(self: Any, source_groups: list[dict[str, Any]] | None, vpc_id: str | None) -> list[Any]:
        given = source_groups or []
        foreign = [pair for pair in given if str(pair.get("UserId", self.account_id)) != self.account_id]
        for pair in foreign:
            _admit(self, pair)
        return [*own_groups(self, [pair for pair in given if pair not in foreign], vpc_id), *foreign]

    def delete_security_group(self: Any, name: str | None = None, group_id: str | None = None) -> Any:
        group = self.get_security_group_from_id(group_id) if group_id else None
        if group is not None and _in_use(self, group):
            raise DependencyViolationError(f"resource {group_id} has a dependent object")
        return delete(self, name, group_id)

    SecurityGroupBackend._add_source_group = add_source_group
    SecurityGroupBackend.delete_security_group = delete_security_group


def _describe() -> None:
    """Let every rule tell its description; moto tells that of ranges alone."""
    made: Any = SecurityGroupRule.__init__

    def init(
        self: Any,
        ec2_backend: Any,
        ip_protocol: Any,
        group_id: Any,
        from_port: Any,
        to_port: Any,
        ip_range: Any,
        source_group: Any = None,
        prefix_list_id: Any = None,
        **rest: Any,
    ) -> None:
        made(
            self, ec2_backend, ip_protocol, group_id, from_port, to_port, ip_range, source_group, prefix_list_id, **rest
        )
        self.prefix_list = prefix_list_id or {}

    def description(self: Any) -> str | None:
        peers = (self.ip_range, self.source_group, self.prefix_list)
        return next((peer["Description"] for peer in peers if peer.get("Description")), None)

    SecurityGroupRule.__init__ = init
    SecurityGroupRule.description = property(description)


def _admit(backend: Any, pair: dict[str, Any]) -> None:
    """Complete a reference to another account's group.

    Raises:
        InvalidSecurityGroupNotFoundError: there is no such group, or no active peering to its VPC.
    """
    owner = str(pair["UserId"])
    regions = dict(ec2_backends.items()).get(owner)
    group = regions[backend.region_name].get_security_group_from_id(pair["GroupId"]) if regions else None
    peering = next(
        (
            peering
            for peering in backend.vpc_pcxs.values()
            if group is not None
            and peering.status["Code"] == "active"
            and group.vpc_id in (peering.vpc.id, peering.peer_vpc.id)
        ),
        None,
    )
    if group is None or peering is None:
        raise InvalidSecurityGroupNotFoundError(pair["GroupId"])
    pair.update(
        UserId=owner,
        OwnerId=owner,
        VpcId=group.vpc_id,
        VpcPeeringConnectionId=peering.id,
        PeeringStatus="active",
    )


def _in_use(backend: Any, group: Any) -> bool:
    attached = any(group in interface._group_set for interface in backend.enis.values())
    others = [other for other in backend.groups[group.vpc_id].values() if other.id != group.id]
    named = any(
        rule.source_group.get("GroupId") == group.id
        for other in others
        for rule in (*other.ingress_rules, *other.egress_rules)
    )
    return attached or named
