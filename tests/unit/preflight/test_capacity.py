"""vCPU quotas, zones and instance types."""

from __future__ import annotations

from typing import Any

import pytest
from stubbed_aws import StubbedAccounts

from infra.errors import Severity
from infra.federation import catalog
from infra.preflight.capacity import offered, vcpus, zone
from infra.preflight.quotas import VCPU_CODES, vcpu_class


def instance(type_: str, *, node: str = "", spot: bool = False) -> dict[str, Any]:
    tags = [{"Key": "federate:federation", "Value": "fed"}, {"Key": "federate:node", "Value": node}] if node else []
    return {"InstanceType": type_, "Tags": tags, **({"InstanceLifecycle": "spot"} if spot else {})}


def runs(aws: StubbedAccounts, *instances: dict[str, Any]) -> None:
    aws.answers("ec2.describe_instances", {"Reservations": [{"Instances": list(instances)}] if instances else []})


def sizes(aws: StubbedAccounts, **vcpus_: int) -> None:
    told = [
        {"InstanceType": name.replace("_", "."), "VCpuInfo": {"DefaultVCpus": number}}
        for name, number in vcpus_.items()
    ]
    aws.answers("ec2.describe_instance_types", {"InstanceTypes": told})


def test_a_quota_that_just_suffices_is_in_order(aws: StubbedAccounts, visit: Any) -> None:
    runs(aws, instance("g5.xlarge"))
    sizes(aws, g4dn_xlarge=4)
    sizes(aws, g5_xlarge=4)
    aws.quota(8)
    assert list(vcpus(visit())) == []


def test_a_quota_that_lacks_one_vcpu_is_an_error_that_names_need_use_quota_and_command(
    aws: StubbedAccounts, visit: Any
) -> None:
    runs(aws, instance("g5.xlarge"))
    sizes(aws, g4dn_xlarge=4)
    sizes(aws, g5_xlarge=4)
    aws.quota(7)
    (problem,) = vcpus(visit())
    assert problem.found == "G and VT instances on demand need 4 vCPUs more, and 4 of 7 are in use (quota L-DB2E81BA)."
    assert "--quota-code L-DB2E81BA --desired-value 8 --profile hospital-a --region us-east-1" in problem.remedy


def test_instances_of_another_class_or_market_do_not_count(aws: StubbedAccounts, visit: Any) -> None:
    runs(aws, instance("m6i.large"), instance("g5.xlarge", spot=True))
    sizes(aws, g4dn_xlarge=4)
    sizes(aws, m6i_large=2, g5_xlarge=4)
    aws.quota(4)
    assert list(vcpus(visit())) == []


def test_a_node_that_runs_already_needs_nothing_more(aws: StubbedAccounts, visit: Any) -> None:
    runs(aws, instance("g4dn.xlarge", node="hospital-a"))
    assert list(vcpus(visit())) == []


def test_spot_has_a_quota_of_its_own(aws: StubbedAccounts, visit: Any) -> None:
    runs(aws)
    sizes(aws, g4dn_xlarge=4)
    expected = {"ServiceCode": "ec2", "QuotaCode": "L-3819A6DF"}
    aws.answers("service-quotas.get_service_quota", {"Quota": {"Value": 0}}, expected)
    (problem,) = vcpus(visit(site={"spot": True}))
    assert "spot need 4 vCPUs more, and 0 of 0 are in use" in problem.found


def test_where_the_account_has_no_quota_of_its_own_awss_default_counts(aws: StubbedAccounts, visit: Any) -> None:
    runs(aws)
    sizes(aws, g4dn_xlarge=4)
    aws.refuses("service-quotas.get_service_quota", "NoSuchResourceException")
    aws.answers("service-quotas.get_aws_default_service_quota", {"Quota": {"Value": 0}})
    (problem,) = vcpus(visit())
    assert "0 of 0" in problem.found


@pytest.mark.parametrize(
    ("type_", "class_"),
    [
        ("g4dn.xlarge", "G and VT"),
        ("gr6.4xlarge", "G and VT"),
        ("vt1.3xlarge", "G and VT"),
        ("p4d.24xlarge", "P"),
        ("m6i.large", "Standard"),
        ("im4gn.large", "Standard"),
        ("t3.medium", "Standard"),
        ("d3.xlarge", "Standard"),
        ("dl1.24xlarge", "DL"),
        ("inf2.xlarge", "Inf"),
        ("i4i.large", "Standard"),
        ("trn1.2xlarge", "Trn"),
        ("hpc7a.96xlarge", "HPC"),
        ("u-6tb1.56xlarge", "High Memory"),
        ("x2idn.16xlarge", "X"),
        ("f2.6xlarge", "F"),
        ("mac2.metal", None),
        ("", None),
    ],
)
def test_a_type_counts_in_the_quota_of_its_family(type_: str, class_: str | None) -> None:
    assert vcpu_class(type_) == class_


def test_every_type_that_federate_knows_counts_in_a_quota_but_macs() -> None:
    unknown = {name.split(".")[0] for name in catalog.instance_types() if vcpu_class(name) not in VCPU_CODES}
    assert {name for name in unknown if not name.startswith("mac")} == set()


def test_a_zone_that_offers_the_type_is_in_order(aws: StubbedAccounts, visit: Any) -> None:
    offering = {"InstanceType": "g4dn.xlarge", "Location": "us-east-1a"}
    expected = {
        "LocationType": "availability-zone",
        "Filters": [{"Name": "instance-type", "Values": ["g4dn.xlarge"]}],
    }
    aws.answers("ec2.describe_instance_type_offerings", {"InstanceTypeOfferings": [offering]}, expected)
    assert list(offered(visit())) == []


def test_a_zone_without_the_type_is_an_error_that_names_the_zones_that_have_it(
    aws: StubbedAccounts, visit: Any
) -> None:
    told = [{"InstanceType": "g4dn.xlarge", "Location": f"us-east-1{letter}"} for letter in "cb"]
    aws.answers("ec2.describe_instance_type_offerings", {"InstanceTypeOfferings": told})
    (problem,) = offered(visit())
    assert problem.found == "us-east-1a does not offer g4dn.xlarge (asked for by hospital-a)."
    assert problem.allowed == "Zones that do: us-east-1b, us-east-1c."


def test_a_region_without_the_type_is_named(aws: StubbedAccounts, visit: Any) -> None:
    aws.answers("ec2.describe_instance_type_offerings", {"InstanceTypeOfferings": []})
    (problem,) = offered(visit())
    assert problem.allowed == "No zone of us-east-1 does."


@pytest.mark.parametrize(
    ("zones", "found"),
    [
        ([{"ZoneName": "us-east-1a", "State": "available"}], None),
        ([{"ZoneName": "us-east-1b", "State": "available"}], "does not have the zone us-east-1a"),
        ([{"ZoneName": "us-east-1a", "State": "impaired"}], "has as impaired the zone us-east-1a"),
    ],
)
def test_a_zone_must_be_there_and_available(
    aws: StubbedAccounts, visit: Any, zones: list[dict[str, str]], found: str | None
) -> None:
    aws.answers("ec2.describe_availability_zones", {"AvailabilityZones": zones})
    problems = list(zone(visit()))
    assert [found in problem.found for problem in problems if found] == ([True] if found else [])
    assert len(problems) == int(found is not None)
    assert all(problem.severity is Severity.ERROR for problem in problems)
