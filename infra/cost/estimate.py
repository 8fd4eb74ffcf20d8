"""The estimate: what the templates have, times what it costs; a price that is not known is unknown, and never 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from infra.cost.prices import Price, Prices
from infra.federation.derive import Node, nodes
from infra.federation.model import Federation

#: A year's hours by twelve, as AWS's own calculator counts a month.
HOURS_PER_MONTH = Decimal(730)
_BYTES_PER_GB = Decimal(2**30)
#: A Region whose transfer to us-east-1 has a price of its own, which the table has not.
_EXCEPTIONS = {("us-east-1", "us-east-2"), ("us-east-2", "us-east-1")}
#: Types that cost nothing by themselves; what depends on their use is in the table's list of what is left out.
_FREE = frozenset(
    f"AWS::{type_}"
    for type_ in (
        *("EC2::FlowLog", "EC2::InstanceConnectEndpoint", "EC2::InternetGateway", "EC2::LaunchTemplate"),
        *("EC2::NetworkInterface", "EC2::Route", "EC2::RouteTable", "EC2::SecurityGroup", "EC2::SecurityGroupEgress"),
        *("EC2::SecurityGroupIngress", "EC2::Subnet", "EC2::SubnetRouteTableAssociation", "EC2::VPC"),
        *("EC2::VPCGatewayAttachment", "EC2::VPCPeeringConnection", "EC2::VolumeAttachment"),
        *("IAM::InstanceProfile", "IAM::ManagedPolicy", "IAM::Policy", "IAM::Role", "KMS::Alias", "Logs::LogGroup"),
        *("S3::Bucket", "S3::BucketPolicy", "SNS::Subscription", "SNS::Topic", "SNS::TopicPolicy", "SSM::Parameter"),
        *("ImageBuilder::Component", "ImageBuilder::DistributionConfiguration", "ImageBuilder::ImagePipeline"),
        *("ImageBuilder::ImageRecipe", "ImageBuilder::InfrastructureConfiguration"),
    )
)
#: Types that are counted, what they are called, and the thing in the price table.
_COUNTED = (
    ("AWS::EC2::NatGateway", "NAT gateway", "nat-gateway"),
    ("AWS::EC2::EIP", "public address", "public-address"),
    ("AWS::KMS::Key", "KMS key", "kms-key"),
    ("AWS::CloudWatch::CompositeAlarm", "composite alarms", "composite-alarm"),
    ("AWS::CloudWatch::Dashboard", "dashboard", "dashboard"),
)
#: Types that are looked into.
_ESTIMATED = frozenset(("AWS::EC2::Instance", "AWS::EC2::Volume", "AWS::EC2::VPCEndpoint", "AWS::CloudWatch::Alarm"))
Resource = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that an account pays for while the federation is deployed.

    Args:
        node: whose account.
        account: 12 digits.
        what: for a reader: ``instance g4dn.xlarge, on demand``.
        quantity: how many units.
        price: of a unit; None where it is not known.
        note: what a reader should know.
    """

    node: str
    account: str
    what: str
    quantity: Decimal
    price: Price | None
    note: str = ""

    @property
    def per_hour(self) -> Decimal | None:
        """USD per hour; None where the price is not known."""
        if self.price is None:
            return None
        hours = Decimal(1) if self.price.unit == "hour" else HOURS_PER_MONTH
        return self.quantity * self.price.usd / hours

    @property
    def per_month(self) -> Decimal | None:
        """USD per month of 730 hours; None where the price is not known."""
        return None if self.per_hour is None else self.per_hour * HOURS_PER_MONTH


@dataclass(frozen=True, slots=True)
class Transfer:
    """What one site's messages of one round cost both accounts; ``usd`` is None where it is not known."""

    node: str
    what: str
    usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Run:
    """What a run is like.

    Args:
        rounds: how many.
        round_seconds: how long one takes; None where nobody knows.
        model_bytes: the model's size as it is sent; None where nobody knows.
    """

    rounds: int
    round_seconds: Decimal | None = None
    model_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Sum:
    """A sum, and the names of what could not be added to it: with any, the sum is the least that it can be."""

    usd: Decimal
    unknown: tuple[str, ...]

    @property
    def least(self) -> Decimal | None:
        """The sum of what is known; None where nothing is: what is not known is not 0."""
        return None if self.unknown and not self.usd else self.usd

    def __str__(self) -> str:
        """Render it: ``$1.23``, ``at least $1.23, plus unknown: …``, or ``unknown: …``."""
        if self.least is None:
            return f"unknown: {', '.join(self.unknown)}"
        told = f"${self.usd:,.4f}" if self.usd < 1 else f"${self.usd:,.2f}"
        return f"at least {told}, plus unknown: {', '.join(self.unknown)}" if self.unknown else told


@dataclass(frozen=True, slots=True)
class Estimate:
    """All of it."""

    items: tuple[Item, ...]
    transfers: tuple[Transfer, ...]
    run: Run

    def per_hour(self, node: str | None = None) -> Sum:
        """Return what an hour costs: all accounts, or one node's."""
        return _sum((item.what, item.per_hour) for item in self.items if node in (None, item.node))

    def per_month(self, node: str | None = None) -> Sum:
        """Return what a month costs while everything is deployed."""
        return _sum((item.what, item.per_month) for item in self.items if node in (None, item.node))

    @property
    def per_round(self) -> Sum:
        """What a round costs: all accounts for as long as it takes, and its messages."""
        return _sum(self._of_a_round())

    @property
    def per_run(self) -> Sum:
        """What all rounds cost."""
        one = self.per_round
        return Sum(one.usd * self.run.rounds, one.unknown)

    def _of_a_round(self) -> Iterator[tuple[str, Decimal | None]]:
        seconds = self.run.round_seconds
        if seconds is None:
            yield "how long a round takes", None
        else:
            hour = self.per_hour()
            yield "", hour.usd * seconds / 3600
            yield from ((what, None) for what in hour.unknown)
        yield from ((transfer.what, transfer.usd) for transfer in self.transfers)


def _sum(parts: Iterator[tuple[str, Decimal | None]]) -> Sum:
    known, unknown = Decimal(0), []
    for what, usd in parts:
        if usd is None:
            unknown.append(what)
        else:
            known += usd
    return Sum(known, tuple(dict.fromkeys(unknown)))


def estimate(
    federation: Federation,
    resources: Mapping[str, Sequence[Resource]],
    prices: Prices,
    run: Run,
    *,
    spot_price: Decimal | None = None,
) -> Estimate:
    """Estimate what a federation costs.

    Args:
        federation: the federation.
        resources: node id to the resources of its stacks' templates.
        prices: the table.
        run: what a run is like.
        spot_price: USD per hour of each spot node; what AWS asks changes by the hour.
    """
    hub, *sites = nodes(federation)
    items = [
        item
        for node in (hub, *sites)
        for item in _of_node(node, resources.get(node.id, ()), prices, spot_price=spot_price)
    ]
    return Estimate(tuple(items), tuple(_transfer(hub, site, prices, run) for site in sites), run)


def _of_node(
    node: Node, resources: Sequence[Resource], prices: Prices, *, spot_price: Decimal | None
) -> Iterator[Item]:
    by_type: dict[str, list[Mapping[str, Any]]] = {}
    for resource in resources:
        by_type.setdefault(resource["Type"], []).append(resource.get("Properties", {}))

    def item(what: str, quantity: Decimal | int, thing: str, note: str = "") -> Item:
        return Item(node.id, node.account, what, Decimal(quantity), prices.of(node.region, thing), note)

    for instance in by_type.get("AWS::EC2::Instance", ()):
        type_ = instance["InstanceType"]
        if node.spec.spot:
            price = None if spot_price is None else Price(spot_price, "hour", "--spot-price")
            yield Item(node.id, node.account, f"instance {type_}, spot", Decimal(1), price)
        else:
            yield item(f"instance {type_}, on demand", 1, f"instance/{type_}")
        disks = [mapping["Ebs"] for mapping in instance.get("BlockDeviceMappings", ()) if "Ebs" in mapping]
        for disk in disks:
            yield _volume(item, "root volume", disk["VolumeType"], disk["VolumeSize"])
    for volume in by_type.get("AWS::EC2::Volume", ()):
        yield _volume(item, "state volume", volume["VolumeType"], volume["Size"])
    endpoints = [one for one in by_type.get("AWS::EC2::VPCEndpoint", ()) if one.get("VpcEndpointType") == "Interface"]
    if endpoints:
        zones = sum(len(endpoint.get("SubnetIds", ())) for endpoint in endpoints)
        yield item(f"interface endpoints ({len(endpoints)}, one zone each)", zones, "interface-endpoint")
    alarms = by_type.get("AWS::CloudWatch::Alarm", ())
    if alarms:
        watched = sum(max(1, sum("MetricStat" in one for one in alarm.get("Metrics", ()))) for alarm in alarms)
        yield item(f"alarms ({len(alarms)}), by the metrics that they watch", watched, "alarm")
    for type_, what, thing in _COUNTED:
        if by_type.get(type_):
            yield item(what, len(by_type[type_]), thing)
    for type_ in sorted(set(by_type) - _FREE - _ESTIMATED - {type_ for type_, *_ in _COUNTED}):
        yield Item(node.id, node.account, type_, Decimal(len(by_type[type_])), None)


def _volume(item: Any, what: str, kind: str, gib: Any) -> Item:
    made: Item = item(f"{what}, {gib} GiB {kind}", Decimal(str(gib)), f"volume/{kind}")
    return made


def _transfer(hub: Node, site: Node, prices: Prices, run: Run) -> Transfer:
    """Return what a site's round costs: the model to it, and its update back; both are the model's size.

    Within a Region the sender and the receiver pay for what crosses zones; across Regions the sender alone does.
    """
    if run.model_bytes is None:
        return Transfer(site.id, "the model's size", None)
    gb = Decimal(run.model_bytes) / _BYTES_PER_GB
    if hub.region == site.region:
        is_same = hub.availability_zone == site.availability_zone
        where = "same zone" if is_same else "other zone"
        price = prices.of(hub.region, f"transfer/{'same' if is_same else 'other'}-zone")
        what = f"transfer {hub.id} ⇄ {site.id} ({where})"
        return Transfer(site.id, what, None if price is None else 2 * 2 * gb * price.usd)
    what = f"transfer {hub.region} ⇄ {site.region}"
    out, back = (prices.of(region, "transfer/other-region") for region in (hub.region, site.region))
    if out is None or back is None or (hub.region, site.region) in _EXCEPTIONS:
        return Transfer(site.id, what, None)
    return Transfer(site.id, what, gb * (out.usd + back.usd))
