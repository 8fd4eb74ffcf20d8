"""Resources are made after what they need, and the order does not depend on how the template is sorted."""

import itertools

import pytest

from infra.local.aws.cfn.errors import TemplateError
from infra.local.aws.cfn.graph import creation_order, in_order, needed_by, references
from infra.local.aws.cfn.template import parse

RESOURCES = {
    "Route": {"Type": "T", "Properties": {"Table": {"Ref": "Table"}, "Peering": {"Fn::GetAtt": ["Peering", "Id"]}}},
    "Table": {"Type": "T", "Properties": {"Vpc": {"Fn::Sub": "${Vpc}"}}},
    "Peering": {"Type": "T", "Properties": {"Vpc": {"Fn::Sub": ["${V}", {"V": {"Ref": "Vpc"}}]}}},
    "Node": {"Type": "T", "DependsOn": "Route"},
    "Vpc": {"Type": "T"},
}


@pytest.mark.parametrize("names", list(itertools.permutations(RESOURCES))[::7])
def test_every_resource_follows_what_it_needs(names: tuple[str, ...]) -> None:
    import json

    order = creation_order(parse(json.dumps({"Resources": {name: RESOURCES[name] for name in names}})).resources)
    for first, then in (
        ("Vpc", "Table"),
        ("Vpc", "Peering"),
        ("Table", "Route"),
        ("Peering", "Route"),
        ("Route", "Node"),
    ):
        assert order.index(first) < order.index(then)


def test_a_circle_is_refused_and_named() -> None:
    with pytest.raises(TemplateError, match=r"Circular dependency between resources: \[A, B\]"):
        in_order({"A": ["B"], "B": ["A"], "C": []})


def test_pseudo_parameters_and_substituted_variables_are_no_dependencies() -> None:
    found = set(references({"Fn::Sub": ["${AWS::Region} ${Local} ${Vpc.Cidr}", {"Local": {"Ref": "Subnet"}}]}))
    assert found == {"AWS::Region", "Vpc", "Subnet"}


def test_what_a_resource_needs_includes_what_that_needs() -> None:
    assert needed_by("Route", {"Route": ["Table"], "Table": ["Vpc"], "Other": ["Vpc"]}) == {"Table", "Vpc"}
