"""What the metadata service is told of an instance by whoever gives it a body."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypedDict

#: What is about to be done to an instance, as EC2 gives notice of it.
NoticeKind = Literal["spot", "maintenance", "rebalance"]


@dataclass(frozen=True, slots=True)
class Announced:
    """A notice.

    Args:
        kind: what is about to be done.
        given: when the notice was given.
        due: when it is done.
    """

    kind: NoticeKind
    given: datetime
    due: datetime


class Credentials(TypedDict):
    """Of the instance profile's role, as STS gives them."""

    AccessKeyId: str
    SecretAccessKey: str
    Token: str
    Expiration: datetime


@dataclass(frozen=True, slots=True)
class Metadata:
    """An instance, as EC2 describes it.

    Args:
        instance: id of the instance.
        account: whose it is.
        region: the Region.
        zone: the availability zone.
        image: id of the machine image.
        instance_type: the type.
        address: its private IPv4 address.
        mac: of its network interface, lower case, with colons.
        subnet_id: the interface's subnet.
        vpc_id: the interface's VPC.
        security_groups: names of the interface's groups.
        profile_arn: of the instance profile; None without one.
        profile_id: id of the instance profile.
        role: name of the profile's role.
        user_data: as the instance gets them, decoded.
        credentials: gets credentials of the role; asked again only when the last ones end soon.
        ssh_keys: (OS user) to the public keys that EC2 Instance Connect holds for that user now, one line each.
        hop_limit: how many hops a token may travel.
        tokens: whether a token is required.
        enabled: whether the instance has a metadata service at all.
        public_keys: (name, OpenSSH public key) of the key pair that the instance was launched with.
        interface_id: id of the network interface.
        security_group_ids: of the interface's groups.
        subnet_cidr: the subnet's range.
        vpc_cidr: the VPC's range.
        block_devices: virtual name to device: ``ami``, ``root``, ``ebs1``.
        life_cycle: whether the instance can be taken away.
        architecture: of the image.
        launched: when the instance was.
        announced: what is about to be done to it, as it is known now.
    """

    instance: str
    account: str
    region: str
    zone: str
    image: str
    instance_type: str
    address: str
    mac: str
    subnet_id: str
    vpc_id: str
    security_groups: Sequence[str]
    profile_arn: str | None
    profile_id: str
    role: str
    user_data: bytes
    credentials: Callable[[], Credentials]
    ssh_keys: Callable[[str], Sequence[str]]
    hop_limit: int = 1
    tokens: Literal["required", "optional"] = "required"
    enabled: bool = True
    public_keys: Sequence[tuple[str, str]] = ()
    interface_id: str = ""
    security_group_ids: Sequence[str] = ()
    subnet_cidr: str = ""
    vpc_cidr: str = ""
    block_devices: Mapping[str, str] = field(default_factory=dict)
    life_cycle: Literal["on-demand", "spot"] = "on-demand"
    architecture: str = "x86_64"
    launched: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    announced: Callable[[], Sequence[Announced]] = tuple
