"""Whether a policy has what it is to have: word for word, wider, split up; and what only looks like it does not."""

from __future__ import annotations

from typing import Any

import pytest
from small_visit import federation

from infra.federation.derive import Node, nodes
from infra.preflight.statements import Statement, lacking, names_service, statements_of
from stacks.resource_policies import own_bucket_statements, own_key_statements

KEY = "arn:aws:kms:us-east-1:111111111111:key/01234567-89ab-cdef-0123-456789abcdef"
TLS = {
    "Sid": "TlsOnly",
    "Effect": "Deny",
    "Principal": {"AWS": "*"},
    "Action": ["s3:*"],
    "Resource": ["arn:aws:s3:::data", "arn:aws:s3:::data/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
READ = {
    "Sid": "Read",
    "Effect": "Deny",
    "Principal": {"AWS": "*"},
    "Action": ["s3:GetObject", "s3:GetObjectVersion"],
    "Resource": ["arn:aws:s3:::data/data/*"],
    "Condition": {"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::111111111111:role/node"}},
}
USE = {
    "Sid": "Use",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
    "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
    "Resource": ["*"],
    "Condition": {"StringEquals": {"kms:ViaService": ["s3.us-east-1.amazonaws.com"]}},
}
LOGS = {
    "Sid": "Logs",
    "Effect": "Allow",
    "Principal": {"Service": "logs.us-east-1.amazonaws.com"},
    "Action": ["kms:Decrypt"],
    "Resource": ["*"],
    "Condition": {
        "ArnLike": {"kms:EncryptionContext:aws:logs:arn": ["arn:aws:logs:us-east-1:111111111111:log-group:/f/a/*"]}
    },
}

TWO_ROLES = ("arn:aws:iam::111111111111:role/node", "arn:aws:iam::111111111111:role/admin")


def node() -> Node:
    fed = federation(site={"bucket": "their-data", "bucket_prefix": "research/", "kms_key": KEY, "spot": True})
    return nodes(fed)[1]


@pytest.mark.parametrize("statements", [own_bucket_statements, own_key_statements])
def test_what_is_printed_for_a_policy_is_found_in_it_and_each_statement_is_missed(statements: Any) -> None:
    required = statements(node())
    assert len(required) >= 7
    assert lacking(required, required) == []
    for one in required:
        assert lacking(required, [other for other in required if other is not one]) == [one]


@pytest.mark.parametrize(
    ("required", "changes"),
    [
        (TLS, {"Principal": "*"}),
        (TLS, {"Action": "*"}),
        (TLS, {"Resource": "arn:aws:s3:::data*"}),
        (TLS, {"Condition": {"Bool": {"AWS:securetransport": False}}}),
        (TLS, {"Condition": {"BoolIfExists": {"aws:SecureTransport": "false"}}}),
        (TLS, {"Condition": {}}),
        (READ, {"Action": "s3:Get*"}),
        (READ, {"Resource": "arn:aws:s3:::data/*"}),
        (READ, {"Condition": {"ArnNotLike": {"aws:PrincipalArn": ["arn:aws:iam::111111111111:role/node"]}}}),
        (USE, {"Action": "kms:*", "Condition": {}}),
        (USE, {"Principal": {"AWS": ["111111111111", "222222222222"]}}),
        (USE, {"Condition": {"StringLike": {"kms:ViaService": "*.us-east-1.amazonaws.com"}}}),
        (LOGS, {"Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": "arn:aws:logs:*:111111111111:*"}}}),
    ],
)
def test_a_wider_statement_is_taken_for_what_it_covers(required: Statement, changes: dict[str, Any]) -> None:
    assert lacking([required], [{**required, **changes}]) == []


@pytest.mark.parametrize(
    ("required", "changes"),
    [
        (TLS, {"Effect": "Allow"}),
        (TLS, {"Principal": {"AWS": "arn:aws:iam::111111111111:root"}}),
        (TLS, {"Action": ["s3:PutObject"]}),
        (TLS, {"Resource": ["arn:aws:s3:::data/*"]}),
        (TLS, {"Resource": "arn:aws:s3:::data?*"}),
        (TLS, {"Resource": "arn:aws:s3:::other*"}),
        (TLS, {"Condition": {"Bool": {"aws:SecureTransport": "true"}}}),
        (TLS, {"Condition": {"Bool": {"aws:SecureTransport": "false", "aws:ViaAWSService": "false"}}}),
        (READ, {"Condition": {"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::111111111111:role/*"}}}),
        (READ, {"Condition": {"ArnNotEquals": {"aws:PrincipalArn": [*TWO_ROLES]}}}),
        (USE, {"Principal": {"AWS": "222222222222"}}),
        (USE, {"Principal": {"AWS": "arn:aws:iam::111111111111:role/admin"}}),
        (USE, {"Resource": KEY}),
        (USE, {"Condition": {"StringEquals": {"kms:ViaService": "ec2.us-east-1.amazonaws.com"}}}),
        (USE, {"Action": ["kms:Decrypt"]}),
        (LOGS, {"Principal": {"AWS": "*"}}),
        (LOGS, {"Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": ["arn:aws:logs:us-east-1:1:*"]}}}),
    ],
)
def test_a_narrower_statement_is_not_taken_for_it(required: Statement, changes: dict[str, Any]) -> None:
    assert lacking([required], [{**required, **changes}]) == [required]


def test_what_is_split_into_several_statements_is_found() -> None:
    split = [{**TLS, "Resource": resource} for resource in TLS["Resource"]]
    assert lacking([TLS], split) == []
    assert lacking([TLS], split[1:]) == [TLS]


@pytest.mark.parametrize("without", ["Action", "Resource", "Principal"])
def test_what_a_statement_leaves_out_is_not_taken_for_what_it_has(without: str) -> None:
    turned = {f"Not{key}" if key == without else key: value for key, value in TLS.items()}
    assert lacking([TLS], [turned]) == [TLS]


def test_a_single_statement_need_not_be_in_a_list() -> None:
    assert statements_of({"Statement": TLS}) == statements_of({"Statement": [TLS]}) == [TLS]
    assert statements_of({}) == []


def test_a_service_is_named_only_by_what_allows_it_something() -> None:
    assert names_service([LOGS], "logs.us-east-1.amazonaws.com")
    assert not names_service([{**LOGS, "Effect": "Deny"}, USE], "logs.us-east-1.amazonaws.com")
