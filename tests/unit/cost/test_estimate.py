"""What a federation costs, by arithmetic; what is not known stays unknown."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from small_visit import federation

from infra.cost import Estimate, Price, Prices, Run, estimate

GIB = 2**30


def prices(**things: str) -> Prices:
    """Return a table of us-east-1: ``instance__g4dn_xlarge="0.5"`` is 0.5 per hour; a month where the name says so."""
    table = {}
    for name, usd in things.items():
        thing = name.replace("__", "/").replace("_", "-").replace("g4dn-xlarge", "g4dn.xlarge")
        unit = {"volume": "GB-month", "kms-key": "key-month", "alarm": "metric-month", "dashboard": "dashboard-month"}
        table[thing] = Price(Decimal(usd), unit.get(thing.split("/")[0], "hour"), "a page")
    return Prices("2026-11-26", {"us-east-1": table}, {}, ())


def resource(type_: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{type_}", "Properties": properties}


INSTANCE = resource(
    "EC2::Instance",
    InstanceType="g4dn.xlarge",
    BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 100, "VolumeType": "gp3"}}],
)
VOLUME = resource("EC2::Volume", Size=20, VolumeType="gp3")
ENDPOINT = resource("EC2::VPCEndpoint", VpcEndpointType="Interface", SubnetIds=["subnet"])
GATEWAY = resource("EC2::VPCEndpoint", VpcEndpointType="Gateway")


def of_site(*resources: dict[str, Any], table: Prices, run: Run | None = None, **changes: Any) -> Estimate:
    fed = federation(**changes.pop("federation", {}))
    return estimate(fed, {"hospital-a": resources}, table, run or Run(1), **changes)


def test_a_months_price_is_730_hours_of_it() -> None:
    found = of_site(INSTANCE, VOLUME, table=prices(instance__g4dn_xlarge="0.5", volume__gp3="0.073"))
    # 0.5 + (100 + 20) * 0.073 / 730 = 0.5 + 0.012
    assert found.per_hour().usd == Decimal("0.512")
    assert found.per_month().usd == Decimal("373.76")
    assert found.per_hour().unknown == ()


def test_interface_endpoints_cost_by_zone_and_gateway_endpoints_nothing() -> None:
    both = resource("EC2::VPCEndpoint", VpcEndpointType="Interface", SubnetIds=["one", "two"])
    found = of_site(ENDPOINT, ENDPOINT, both, GATEWAY, table=prices(interface_endpoint="0.01"))
    assert found.per_hour().usd == Decimal("0.04")


def test_what_an_account_has_besides_is_counted() -> None:
    things = (
        resource("EC2::NatGateway"),
        resource("EC2::EIP"),
        resource("KMS::Key"),
        resource("CloudWatch::Dashboard"),
        resource("CloudWatch::Alarm", MetricName="disk"),
        resource("CloudWatch::Alarm", Metrics=[{"MetricStat": {}}, {"MetricStat": {}}, {"Expression": "m1/m2"}]),
    )
    table = prices(nat_gateway="0.045", public_address="0.005", kms_key="1", dashboard="3", alarm="0.10")
    found = of_site(*things, table=table)
    # by the month: 0.05 * 730 + 1 + 3 + (1 + 2) * 0.10
    assert found.per_month().usd == pytest.approx(Decimal("40.80"))
    assert found.per_month().unknown == ()


def test_a_price_that_the_table_has_not_is_unknown_and_never_0() -> None:
    found = of_site(INSTANCE, table=prices(volume__gp3="0.073"))
    instance = found.items[0]
    assert instance.per_hour is None
    assert str(found.per_hour()) == "at least $0.0100, plus unknown: instance g4dn.xlarge, on demand"


def test_a_type_that_the_estimate_does_not_know_is_unknown_rather_than_free() -> None:
    found = of_site(resource("EC2::TransitGateway"), resource("EC2::Route"), table=prices())
    assert found.per_hour().unknown == ("AWS::EC2::TransitGateway",)


def test_where_nothing_is_known_there_is_no_sum() -> None:
    found = of_site(INSTANCE, table=prices())
    assert found.per_hour().least is None
    assert str(found.per_hour()).startswith("unknown: ")


def test_a_region_without_a_table_is_unknown() -> None:
    table = prices(instance__g4dn_xlarge="0.5", volume__gp3="0.073")
    found = of_site(INSTANCE, table=table, federation={"site": {"region": "eu-central-1"}})
    assert found.per_hour().least is None


def test_spot_is_unknown_unless_its_price_is_given() -> None:
    table = prices(instance__g4dn_xlarge="0.5", volume__gp3="0.073")
    spot = {"site": {"spot": True}}
    assert of_site(INSTANCE, table=table, federation=spot).items[0].per_hour is None
    given = of_site(INSTANCE, table=table, federation=spot, spot_price=Decimal("0.2"))
    assert given.items[0].per_hour == Decimal("0.2")


def test_a_round_costs_its_time_and_its_messages() -> None:
    table = prices(interface_endpoint="3.60", transfer__other_zone="0.01")
    run = Run(50, Decimal(10), GIB)
    found = of_site(ENDPOINT, table=table, run=run, federation={"site": {"availability_zone": "b"}})
    # 3.60 / 3600 s * 10 s; 1 GB there and 1 GB back, and each is paid for at both ends
    assert found.per_round.usd == Decimal("0.01") + Decimal("0.04")
    assert found.per_run.usd == Decimal("2.5")


def test_messages_within_a_zone_cost_what_the_table_says() -> None:
    found = of_site(table=prices(transfer__same_zone="0"), run=Run(1, Decimal(1), GIB))
    assert [transfer.usd for transfer in found.transfers] == [0]
    found = of_site(table=prices(), run=Run(1, Decimal(1), GIB))
    assert [transfer.usd for transfer in found.transfers] == [None]


def test_messages_across_regions_cost_their_sender() -> None:
    table = prices(transfer__other_region="0.02")
    away = Prices("", {**table.regions, "eu-central-1": table.regions["us-east-1"]}, {}, ())
    changes = {
        "site": {"region": "eu-central-1"},
        "images": {"us-east-1": "ami-01234567", "eu-central-1": "ami-01234567"},
    }
    found = of_site(table=away, run=Run(1, Decimal(1), GIB), federation=changes)
    assert [transfer.usd for transfer in found.transfers] == [Decimal("0.04")]
    found = of_site(table=table, run=Run(1, Decimal(1), GIB), federation=changes)
    assert [transfer.usd for transfer in found.transfers] == [None]


def test_without_a_rounds_time_or_the_models_size_a_round_is_unknown() -> None:
    found = of_site(ENDPOINT, table=prices(interface_endpoint="3.60"), run=Run(50))
    assert found.per_round.unknown == ("how long a round takes", "the model's size")
    assert found.per_round.least is None
