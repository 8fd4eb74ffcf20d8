"""Who may do what: no wildcard but the few that are named here with their reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

#: Actions for which AWS offers no resource to name.
WITHOUT_RESOURCES = {
    "ssmmessages:CreateControlChannel": "the message gateway has no resource types",
    "ssmmessages:CreateDataChannel": "the message gateway has no resource types",
    "ssmmessages:OpenControlChannel": "the message gateway has no resource types",
    "ssmmessages:OpenDataChannel": "the message gateway has no resource types",
}
#: Wildcards at the end of an ARN that go beyond what is the node's own.
WIDE = {
    ":instance/*": "the instance is made after its role; only to report itself to Systems Manager",
    ":vpc-peering-connection/*": "the connection is made after the role; narrowed to both ends by conditions",
}

Statement = dict[str, Any]


def _documents(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "Statement" in node:
            yield node
        for value in node.values():
            yield from _documents(value)
    elif isinstance(node, list):
        for value in node:
            yield from _documents(value)


def _allowed(template: dict[str, Any]) -> list[Statement]:
    return [s for document in _documents(template) for s in document["Statement"] if s["Effect"] == "Allow"]


def _text(arn: Any) -> str:
    """Return an ARN as text; what CloudFormation fills in becomes {Name}."""
    if isinstance(arn, str):
        return arn
    kind, value = next(iter(arn.items()))
    if kind == "Fn::Join":
        return "".join(_text(part) for part in value[1])
    return "{" + json.dumps(value) + "}"


def _is_of_a_key(statement: Statement) -> bool:
    """Say whether it is of a key's own policy, where the resource ``*`` is the key and a principal says whose it is."""
    return "Principal" in statement and all(action.startswith("kms:") for action in statement["Action"])


def _too_wide(template: dict[str, Any]) -> list[str]:
    """Return what a template allows beyond the lists above."""
    found = []
    for statement in _allowed(template):
        for action in statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]:
            if "*" in action:
                found.append(f"action {action}")
            for resource in map(_text, statement.get("Resource", [])):
                if resource == "*" and action not in WITHOUT_RESOURCES and not _is_of_a_key(statement):
                    found.append(f"{action} on *")
    return found


def _role(template: dict[str, Any]) -> dict[str, Any]:
    return template["Resources"]["Role"]["Properties"]


def test_no_action_and_no_resource_is_a_wildcard_where_aws_offers_another(example: Any) -> None:
    for name, template in example.templates.items():
        assert _too_wide(template) == [], name


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["*"]},
        {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::bucket"]},
        {"Effect": "Allow", "Action": "*", "Resource": ["*"]},
        {"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": ["*"]},
    ],
)
def test_a_wildcard_would_be_found(example: Any, statement: Statement) -> None:
    template = json.loads(example.bytes["SiteNode-hospital-a"])
    _role(template)["Policies"][0]["PolicyDocument"]["Statement"].append(statement)
    assert _too_wide(template)


def test_what_a_site_may_touch_lies_in_its_own_account_and_under_its_own_name(example: Any) -> None:
    for name in ("SiteNode-hospital-a", "SiteNetwork-hospital-a"):
        for statement in _allowed(example.templates[name]):
            for arn in map(_text, statement.get("Resource", [])):
                own = arn.startswith('{"eicu-SiteStorage-hospital-a:') or ":111111111111:" in arn
                assert own or arn == "*", arn
                if arn.endswith("*") and arn != "*" and not arn.startswith("{"):
                    assert "eicu/hospital-a" in arn or arn.endswith(tuple(WIDE)), arn


@pytest.mark.parametrize(
    ("stack", "readable"),
    [("SiteNode-hospital-a", {"data/*", "run/*", "releases/*"}), ("HubNode", {"run/*", "releases/*"})],
)
def test_a_node_reads_what_it_is_given_and_writes_only_results(example: Any, stack: str, readable: set[str]) -> None:
    policies = {p["PolicyName"]: p["PolicyDocument"]["Statement"] for p in _role(example.templates[stack])["Policies"]}
    by_action = {action: s for s in policies["s3"] for action in s["Action"]}
    assert set(by_action) == {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"}
    assert {_text(arn).split("}/")[1] for arn in by_action["s3:GetObject"]["Resource"]} == readable
    assert {_text(arn).split("}/")[1] for arn in by_action["s3:PutObject"]["Resource"]} == {"results/*"}
    assert set(by_action["s3:ListBucket"]["Condition"]["StringLike"]["s3:prefix"]) == readable


def test_a_node_writes_three_parameters_and_reads_its_own(example: Any) -> None:
    policies = {
        p["PolicyName"]: p["PolicyDocument"]["Statement"]
        for p in _role(example.templates["SiteNode-hospital-a"])["Policies"]
    }
    by_action = {action: set(s["Resource"]) for s in policies["ssm"] for action in s["Action"]}
    own = "arn:aws:ssm:us-east-1:111111111111:parameter/federate/eicu/hospital-a"
    assert by_action["ssm:PutParameter"] == {f"{own}/state", f"{own}/csr", f"{own}/ssh-host-keys"}
    assert by_action["ssm:GetParameter"] == {own, f"{own}/*"}
    assert "ssm:DeleteParameter" not in by_action


def test_no_managed_policy_comes_along(example: Any) -> None:
    for template in example.templates.values():
        for resource in template["Resources"].values():
            assert "ManagedPolicyArns" not in resource["Properties"]


@pytest.mark.parametrize(
    ("network", "node"), [("SiteNetwork-hospital-a", "SiteNode-hospital-a"), ("HubNetwork", "HubNode")]
)
def test_endpoints_let_out_exactly_what_the_nodes_role_may_do_and_only_that_role(
    example: Any, of_type: Any, network: str, node: str
) -> None:
    role = _role(example.templates[node])
    granted = {p["PolicyName"]: p["PolicyDocument"]["Statement"] for p in role["Policies"]}
    endpoints = of_type(example.templates[network], "AWS::EC2::VPCEndpoint")
    # The node never speaks to KMS: the services that hold its things do.
    assert {e["ServiceName"].rsplit(".", 1)[1] for e in endpoints.values()} == set(granted) - {"kms"}
    for endpoint in endpoints.values():
        service = endpoint["ServiceName"].rsplit(".", 1)[1]
        let_out = endpoint["PolicyDocument"]["Statement"]
        assert [s["Action"] for s in let_out] == [s["Action"] for s in granted[service]]
        assert [s["Resource"] for s in let_out] == [s["Resource"] for s in granted[service]]
        for statement in let_out:
            only = statement["Condition"]["ArnEquals"]["aws:PrincipalArn"]
            assert only.endswith(f":role/{role['RoleName']}")


def _accept_roles(roles: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the roles that AWS's own services do not take on."""
    return [r for r in roles.values() if "AWS" in r["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]]


def test_the_hub_gives_each_site_a_role_that_can_only_accept_that_accounts_peering(example: Any, of_type: Any) -> None:
    roles = {r["RoleName"]: r for r in _accept_roles(of_type(example.templates["HubNetwork"], "AWS::IAM::Role"))}
    assert set(roles) == {"federate-eicu-accept-hospital-a", "federate-eicu-accept-hospital-b"}
    for site, account in (("hospital-a", "111111111111"), ("hospital-b", "222222222222")):
        role = roles[f"federate-eicu-accept-{site}"]
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"AWS": f"arn:aws:iam::{account}:root"}
        vpc, connection = role["Policies"][0]["PolicyDocument"]["Statement"]
        assert vpc["Action"] == connection["Action"] == ["ec2:AcceptVpcPeeringConnection"]
        hub_vpc = 'arn:aws:ec2:us-east-1:333333333333:vpc/{"Vpc"}'
        assert [_text(arn) for arn in vpc["Resource"]] == [hub_vpc]
        assert connection["Resource"] == ["arn:aws:ec2:us-east-1:333333333333:vpc-peering-connection/*"]
        assert _text(connection["Condition"]["ArnEquals"]["ec2:AccepterVpc"]) == hub_vpc
        assert connection["Condition"]["ArnLike"]["ec2:RequesterVpc"] == f"arn:aws:ec2:us-east-1:{account}:vpc/*"


def test_a_peering_within_one_account_needs_no_role(alone: Any, synth: Any, of_type: Any) -> None:
    templates = synth(alone).templates
    assert _accept_roles(of_type(templates["HubNetwork"], "AWS::IAM::Role")) == []
    assert "PeerRoleArn" not in templates["SiteNetwork-hospital-a"]["Resources"]["Peering"]["Properties"]


def test_the_hub_knows_from_which_region_a_site_asks(elsewhere: Any, synth: Any, of_type: Any) -> None:
    roles = _accept_roles(of_type(synth(elsewhere).templates["HubNetwork"], "AWS::IAM::Role"))
    asking = {
        r["Policies"][0]["PolicyDocument"]["Statement"][1]["Condition"]["ArnLike"]["ec2:RequesterVpc"] for r in roles
    }
    assert asking == {"arn:aws:ec2:us-east-1:111111111111:vpc/*", "arn:aws:ec2:eu-central-1:222222222222:vpc/*"}
