"""The summary says what the templates say: all of it, and nothing that is not so."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from infra.handover.kit import Kit
from infra.handover.summary import summary
from infra.handover.words import Statement, in_words, statements

ACCOUNT = "717171717171"


@pytest.fixture
def templates(kit: Kit) -> dict[str, Any]:
    """The kit's templates, to be changed."""
    described = json.loads(kit.files["kit.json"])
    return {one["name"]: copy.deepcopy(json.loads(kit.files[one["template"]])) for one in described["stacks"]}


def said(templates: dict[str, Any]) -> str:
    return summary("A kit", ACCOUNT, templates)


def test_every_resource_of_every_template_is_named(kit: Kit, templates: dict[str, Any]) -> None:
    page = kit.files["SUMMARY.md"].decode()
    for template in templates.values():
        for name, resource in template["Resources"].items():
            assert f"| `{name}` | {resource['Type'].removeprefix('AWS::')} |" in page


def test_every_statement_is_a_line_and_every_action_stands_in_it(templates: dict[str, Any]) -> None:
    every = [one for name, template in templates.items() for one in statements(name, template)]
    raw = json.dumps(templates)
    assert len(every) == raw.count('"Effect": "Allow"') + raw.count('"Effect": "Deny"')
    lines = said(templates).partition("## Permissions")[2].partition("## Network")[0].splitlines()
    assert sum(line.startswith("- ") and (" may" in line or "May" in line) for line in lines) >= len(every)
    for one in every:
        actions = one.document["Action"] if isinstance(one.document["Action"], list) else [one.document["Action"]]
        assert any(all(f"`{action}`" in line for action in actions) for line in lines)


def test_a_statement_is_told_with_who_what_and_under_which_condition() -> None:
    document = {
        "Sid": "Read",
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::1:role/x"},
        "Action": ["s3:GetObject"],
        "Resource": {"Fn::Join": ["", [{"Fn::ImportValue": "other:Arn"}, "/data/*"]]},
        "Condition": {"StringLike": {"s3:prefix": ["a/*", "b/*"]}},
    }
    assert in_words(Statement("S/R", "P", document), {"other:Arn": "Storage/Bucket.Arn"}) == (
        "`arn:aws:iam::1:role/x` may `s3:GetObject` on `Storage/Bucket.Arn/data/*` only where `s3:prefix` is like "
        "`a/*` or `b/*`. (Read)"
    )


def test_what_is_turned_around_is_told_so() -> None:
    document = {"Effect": "Deny", "NotPrincipal": {"AWS": "x"}, "NotAction": "a:B", "NotResource": "r"}
    assert in_words(Statement("S/R", "P", document), {}) == (
        "Anyone except `x` may **not** everything except `a:B` on everything except `r`."
    )


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ({"Null": {"k": "true"}}, "`k` is missing"),
        ({"Null": {"k": False}}, "`k` is given"),
        ({"BoolIfExists": {"k": "false"}}, "`k`, if it is given, is `false`"),
        ({"StringNotEquals": {"k": ["a", "b"]}}, "`k` is not `a` or `b`"),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, "`aws:SourceIp` IpAddress `10.0.0.0/8`"),
        ({"Bool": {"a": "true"}, "ArnLike": {"b": "x*"}}, "`a` is `true` and `b` is like `x*`"),
    ],
)
def test_a_condition_is_told(condition: Any, said: str) -> None:
    document = {"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": condition}
    assert in_words(Statement("S/R", "P", document), {}) == f"May `a:B` on `*` only where {said}."


def test_as_it_is_no_other_account_is_given_anything_and_nothing_is_open(templates: dict[str, Any]) -> None:
    page = said(templates)
    assert f"Accounts other than {ACCOUNT} that are given any permission: none." in page
    assert "Addresses that a security group admits: none." in page
    assert "Ways to the internet and public addresses: none." in page


def _policy(principal: Any, **more: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": "*", **more}
    return {"Type": "AWS::S3::BucketPolicy", "Properties": {"PolicyDocument": {"Statement": [statement]}}}


@pytest.mark.parametrize(
    ("resource", "line"),
    [
        (_policy({"AWS": "arn:aws:iam::909090909090:root"}), "any permission: 909090909090."),
        (_policy("*"), "any permission: *."),
        (_policy("*", Condition={"Bool": {"aws:SecureTransport": "true"}}), "any permission: *."),
        (_policy("*", Condition={"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/x"}}), "any permission: *."),
        (
            {
                "Type": "AWS::EC2::SecurityGroupIngress",
                "Properties": {"GroupId": "g", "IpProtocol": "-1", "CidrIp": "0.0.0.0/0"},
            },
            "a security group admits: 0.0.0.0/0.",
        ),
        ({"Type": "AWS::EC2::InternetGateway"}, "public addresses: herz-SiteNode-klinik-nord/New."),
    ],
)
def test_negative_control_what_a_template_opens_stands_at_the_head(
    templates: dict[str, Any], resource: Any, line: str
) -> None:
    templates["herz-SiteNode-klinik-nord"]["Resources"]["New"] = resource
    assert line in said(templates).partition("\n## ")[0]


def test_a_resource_of_a_type_that_is_not_known_is_named_all_the_same(templates: dict[str, Any]) -> None:
    templates["herz-SiteNode-klinik-nord"]["Resources"]["New"] = {
        "Type": "AWS::Quantum::Computer",
        "Properties": {"Qubits": 7},
    }
    assert "| `New` | Quantum::Computer | Qubits `7` |" in said(templates)


def test_a_parameter_with_a_default_is_told_by_its_value(templates: dict[str, Any]) -> None:
    assert "ImageId `ami-0fed0000000000001`" in said(templates)


def test_a_policy_from_elsewhere_is_named(templates: dict[str, Any]) -> None:
    role = templates["herz-SiteNode-klinik-nord"]["Resources"]["Role"]["Properties"]
    role["ManagedPolicyArns"] = ["arn:aws:iam::aws:policy/AdministratorAccess"]
    assert "may also do what this policy allows: `arn:aws:iam::aws:policy/AdministratorAccess`" in said(templates)


def test_what_costs_by_the_hour_is_listed(templates: dict[str, Any]) -> None:
    costs = said(templates).partition("## What costs money")[2]
    assert "`herz-SiteNode-klinik-nord/Instance` g4dn.xlarge: by the hour while it runs" in costs
    endpoints = sum(
        one["Type"] == "AWS::EC2::VPCEndpoint" and one["Properties"]["VpcEndpointType"] == "Interface"
        for template in templates.values()
        for one in template["Resources"].values()
    )
    assert costs.count("interface endpoint: by the hour") == endpoints > 0
