"""What follows from a federation."""

from __future__ import annotations

import pytest

from infra.federation.derive import accept_role_name, nodes, stack_name
from infra.federation.model import Federation


def test_the_aggregator_comes_first_and_the_sites_in_the_order_of_the_file(federation):
    assert [(node.id, node.rank, node.role) for node in nodes(federation)] == [
        ("aggregator", 0, "aggregator"),
        ("hospital-a", 1, "client"),
        ("hospital-b", 2, "client"),
    ]


@pytest.mark.parametrize(
    ("cidr", "subnet", "address"),
    [
        ("10.30.0.0/16", "10.30.0.0/24", "10.30.0.10"),
        ("10.30.4.0/24", "10.30.4.0/24", "10.30.4.10"),
        ("10.30.0.64/26", "10.30.0.64/26", "10.30.0.74"),
    ],
)
def test_the_nodes_address_is_the_tenth_of_the_first_subnet(data, cidr, subnet, address):
    data["aggregator"]["cidr"] = cidr
    hub = nodes(Federation.model_validate(data))[0]
    assert (str(hub.subnet), str(hub.address)) == (subnet, address)


def test_derived_names_fit_what_aws_and_x509_take_at_the_longest_names(data):
    """IAM roles 64, CloudFormation stacks 128, log groups 512, secrets 512, parameters 1011, a common name 64."""
    data["name"] = "f" * 20
    data["participants"][0]["id"] = "s" * 20
    federation = Federation.model_validate(data)
    site = nodes(federation)[1]
    assert len(accept_role_name(federation, site.id)) == 57 <= 64
    assert len(site.role_name) == 50 <= 64
    assert len(stack_name(federation, f"SiteNetwork-{site.id}")) == 53 <= 128
    assert len(site.log_group) <= 512
    assert len(f"{site.secret_prefix}/authority") <= 512
    assert len(f"{site.parameter_prefix}/certificate") <= 1011
    assert len(site.tls_name) == 50 <= 64


@pytest.mark.parametrize(
    ("type_", "written", "mapping"),
    [
        ("g4dn.xlarge", None, (1,)),
        ("m6i.large", None, ()),
        ("g4ad.xlarge", None, ()),
        ("g4dn.xlarge", [], ()),
        ("g5.12xlarge", [0, 1], (0, 1)),
    ],
)
def test_a_node_trains_on_gpu_0_where_there_is_one_and_nothing_else_is_said(data, type_, written, mapping):
    data["aggregator"] |= {"instance_type": type_, "gpu_mapping": written}
    assert nodes(Federation.model_validate(data))[0].gpu_mapping == mapping


def test_a_node_takes_its_own_image_before_the_regions(data):
    data["participants"][0]["image"] = "ami-0123456789abcdef0"
    _, first, second = nodes(Federation.model_validate(data))
    assert first.image == "ami-0123456789abcdef0"
    assert second.image == data["images"]["us-east-1"]


def test_a_zones_letter_becomes_its_full_name(federation):
    assert nodes(federation)[0].availability_zone == "us-east-1a"
