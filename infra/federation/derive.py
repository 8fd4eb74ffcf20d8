"""What follows from a federation: every name, address and rank, so that nothing is typed twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from infra.federation import catalog
from infra.federation.model import NO_PROFILE, Aggregator, Federation, Participant

#: The node's address is the tenth of its subnet: AWS keeps the first four and the last.
_HOST = 10
#: The node's subnet is the VPC's first /24, or all of a VPC that is smaller.
_SUBNET_PREFIX = 24
#: The NAT gateway's subnet, where there is one: the smallest that AWS allows, at the VPC's end.
_PUBLIC_PREFIX = 28
AGGREGATOR_ID = "aggregator"

Role = Literal["aggregator", "client"]


@dataclass(frozen=True, slots=True)
class Node:
    """One node and the account it stands in; ``id`` is ``aggregator`` or the participant's id.

    ``rank`` is the hub's roster number. Sites never see it: on the wire a site goes by its name, so that adding or
    removing one site changes nothing at another.
    """

    id: str
    role: Role
    federation: str
    rank: int
    region: str
    spec: Aggregator | Participant
    images: Mapping[str, str]

    @property
    def account(self) -> str:
        """The 12-digit account id."""
        return self.spec.account

    @property
    def profile(self) -> str:
        """The AWS profile of the account; :data:`NO_PROFILE` where nobody here has one."""
        return self.spec.profile if self.is_operated_here else NO_PROFILE

    @property
    def is_operated_here(self) -> bool:
        """Whether the coordinator has credentials of the account; if not, its own admin operates it."""
        return not (isinstance(self.spec, Participant) and self.spec.operated_by == "site")

    @property
    def image(self) -> str | None:
        """The pinned machine image, or None where the federation names none for this Region."""
        return self.spec.image or self.images.get(self.region)

    @property
    def availability_zone(self) -> str:
        """The zone's full name, for example ``us-east-1a``."""
        zone = self.spec.availability_zone
        return f"{self.region}{zone}" if len(zone) == 1 else zone

    @property
    def gpu_mapping(self) -> tuple[int, ...]:
        """Worker processes on GPU 0, 1, …; empty for the CPU. GPU 0 where the file does not say and there is one."""
        if self.spec.gpu_mapping is not None:
            return self.spec.gpu_mapping
        type_ = catalog.instance_types().get(self.spec.instance_type)
        return (1,) if type_ and type_.gpus else ()

    @property
    def subnet(self) -> IPv4Network:
        """The subnet of the node's network interface and the endpoints."""
        cidr = self.spec.cidr
        return next(cidr.subnets(new_prefix=max(_SUBNET_PREFIX, cidr.prefixlen)))

    @property
    def public_subnet(self) -> IPv4Network:
        """The subnet of the NAT gateway alone, where ``internet: nat`` asks for one; apart from :attr:`subnet`."""
        end = int(self.spec.cidr.broadcast_address) + 1
        return IPv4Network((end - 2 ** (32 - _PUBLIC_PREFIX), _PUBLIC_PREFIX))

    @property
    def address(self) -> IPv4Address:
        """The node's fixed private address."""
        return self.subnet[_HOST]

    @property
    def parameter_prefix(self) -> str:
        """Prefix of this node's parameters in its own account's parameter store."""
        return f"/federate/{self.federation}/{self.id}"

    @property
    def secret_prefix(self) -> str:
        """Prefix of this node's secrets in its own account's Secrets Manager."""
        return f"federate/{self.federation}/{self.id}"

    @property
    def log_group(self) -> str:
        """The node's CloudWatch log group."""
        return self.parameter_prefix

    @property
    def bucket_prefix(self) -> str:
        """What every key of the node's begins with in its bucket: empty, or a folder's name with ``/`` at its end."""
        return self.spec.bucket_prefix or ""

    @property
    def key_alias(self) -> str:
        """The name of the node's own KMS key."""
        return f"alias/federate/{self.federation}/{self.id}"

    @property
    def flow_log_group(self) -> str:
        """The CloudWatch log group of the VPC's flow log."""
        return f"{self.log_group}/network"

    @property
    def role_name(self) -> str:
        """The node's IAM role."""
        return f"federate-{self.federation}-{self.id}"

    @property
    def watch_name(self) -> str:
        """The node's dashboard and its topic; its alarms have their own name behind it."""
        return f"federate-{self.federation}-{self.id}"

    @property
    def alarm_pattern(self) -> str:
        """ARN of the node's alarms, with a pattern in the place of what each is about."""
        return f"arn:aws:cloudwatch:{self.region}:{self.account}:alarm:{self.watch_name}-*"

    @property
    def alarm_topic(self) -> str:
        """ARN of the topic that the node's alarms are told to: the account's own choice, or the one that is made."""
        return self.spec.alarm_topic or f"arn:aws:sns:{self.region}:{self.account}:{self.watch_name}"

    @property
    def permissions_boundary(self) -> str | None:
        """ARN of the managed policy that bounds every role of this account; None where there is none."""
        policy = self.spec.permissions_boundary
        if policy is None or policy.startswith("arn:"):
            return policy
        return f"arn:aws:iam::{self.account}:policy/{policy}"

    @property
    def tls_name(self) -> str:
        """The DNS name in the node's certificate; independent of its address."""
        return f"{self.id}.{self.federation}.federate"


def nodes(federation: Federation) -> tuple[Node, ...]:
    """Return the aggregator (rank 0), then the participants in the order of the file (ranks 1…N)."""
    hub = Node(
        id=AGGREGATOR_ID,
        role="aggregator",
        federation=federation.name,
        rank=0,
        region=federation.aggregator.region or federation.region,
        spec=federation.aggregator,
        images=federation.images,
    )
    sites = (
        Node(
            id=participant.id,
            role="client",
            federation=federation.name,
            rank=rank,
            region=participant.region or federation.region,
            spec=participant,
            images=federation.images,
        )
        for rank, participant in enumerate(federation.participants, start=1)
    )
    return (hub, *sites)


def accept_role_name(federation: Federation, site_id: str) -> str:
    """Return the hub's role that may do nothing but accept this site's peering."""
    return f"federate-{federation.name}-accept-{site_id}"


def authority_secret(federation: str) -> str:
    """Return the name of the secret in the hub's account that keeps a federation's authority; no node may read it."""
    return f"federate-authority/{federation}"


def stack_name(federation: Federation, stack_id: str) -> str:
    """Return the CloudFormation name of the stack with this construct id: ``eicu-SiteNode-hospital-a``."""
    return f"{federation.name}-{stack_id}"
