"""What a node may do in its own account, service by service, and nothing else.

The same statements make the node's role and the policies of the VPC endpoints, so that neither can be wider than the
other: a permission that the role does not have is not even let out of the VPC.
"""

from __future__ import annotations

from typing import Any, Literal

from infra.federation.derive import Node
from node_bootstrap import contract

#: What a node says of itself; all else in its parameters is for its account's operators to write.
_PUBLISHED = (contract.STATE, contract.REQUEST, contract.HOST_KEYS)

Statement = dict[str, Any]
Service = Literal["s3", "ssm", "ssmmessages", "logs", "secretsmanager"]


def node_permissions(node: Node, bucket_arn: str) -> dict[Service, list[Statement]]:
    """Return the statements of a node's role by service.

    Args:
        node: whose role it is.
        bucket_arn: ARN of the node's own bucket; may be a CDK token.

    Source of what can be scoped: Service Authorization Reference, "Actions, resources, and condition keys" of each
    service.
    """
    return {
        "s3": _bucket(node, bucket_arn),
        "ssm": _parameters(node),
        "ssmmessages": _session(node),
        "logs": _log(node),
        "secretsmanager": _secrets(node),
    }


def key_permissions(node: Node, key_arn: str) -> list[Statement]:
    """Return the statements by which a node's role uses its account's key, through the services that hold its things.

    They are apart from :func:`node_permissions` because the node never speaks to KMS itself: there is no endpoint.

    Args:
        node: whose role it is.
        key_arn: ARN of the key; may be a CDK token.
    """
    services = [f"{service}.{node.region}.amazonaws.com" for service in ("s3", "secretsmanager")]
    through = {"StringEquals": {"kms:ViaService": services}}
    return [allow("UseOwnKey", ["kms:Decrypt", "kms:GenerateDataKey"], [key_arn], through)]


def only_through(endpoint_of: Node, statements: list[Statement]) -> dict[str, Any]:
    """Return an endpoint's policy: these statements, for the role of this node alone.

    The principal is a condition because a gateway endpoint's policy must name ``*`` as principal.
    """
    role = f"arn:aws:iam::{endpoint_of.account}:role/{endpoint_of.role_name}"
    return policy(
        *(
            {
                **statement,
                "Principal": "*",
                "Condition": {**statement.get("Condition", {}), "ArnEquals": {"aws:PrincipalArn": role}},
            }
            for statement in statements
        )
    )


def policy(*statements: Statement) -> dict[str, Any]:
    """Return a policy document of these statements.

    Their keys are in the order of the alphabet, as CDK's own: some of cdk-nag's rules read a statement as text, and see
    no wildcard in one that is written in another order.
    """
    return {"Version": "2012-10-17", "Statement": [dict(sorted(statement.items())) for statement in statements]}


def allow(sid: str, actions: list[str], resources: list[str], condition: Statement | None = None) -> Statement:
    """Return one Allow statement."""
    statement: Statement = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
    return statement | ({"Condition": condition} if condition else {})


def _bucket(node: Node, bucket_arn: str) -> list[Statement]:
    # The aggregator's bucket never holds a patient's row; its node has no business in data/.
    given = ["run/*", "releases/*", *(["data/*"] if node.role == "client" else [])]
    readable = [f"{node.bucket_prefix}{prefix}" for prefix in given]
    return [
        allow("ListOwnBucket", ["s3:ListBucket"], [bucket_arn], {"StringLike": {"s3:prefix": readable}}),
        allow("ReadWhatTheNodeIsGiven", ["s3:GetObject"], [f"{bucket_arn}/{prefix}" for prefix in readable]),
        allow(
            "WriteResults",
            ["s3:PutObject", "s3:AbortMultipartUpload"],
            [f"{bucket_arn}/{node.bucket_prefix}results/*"],
        ),
    ]


def _parameters(node: Node) -> list[Statement]:
    own = f"arn:aws:ssm:{node.region}:{node.account}:parameter{node.parameter_prefix}"
    return [
        allow(
            "ReadOwnParameters", ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"], [own, f"{own}/*"]
        ),
        allow("PublishStateAndRequest", ["ssm:PutParameter"], [f"{own}/{name}" for name in _PUBLISHED]),
        allow("BeManaged", ["ssm:UpdateInstanceInformation"], [_instances(node)]),
    ]


def _session(node: Node) -> list[Statement]:
    # The message gateway has no resources to name: "*" is all that AWS offers, so the condition does the narrowing.
    return [
        allow(
            "BeCommanded",
            [
                "ssmmessages:CreateControlChannel",
                "ssmmessages:CreateDataChannel",
                "ssmmessages:OpenControlChannel",
                "ssmmessages:OpenDataChannel",
            ],
            ["*"],
            {"ArnLike": {"ec2:SourceInstanceARN": _instances(node)}},
        )
    ]


def _log(node: Node) -> list[Statement]:
    streams = f"arn:aws:logs:{node.region}:{node.account}:log-group:{node.log_group}:log-stream:*"
    return [allow("WriteOwnLog", ["logs:CreateLogStream", "logs:PutLogEvents"], [streams])]


def _secrets(node: Node) -> list[Statement]:
    own = f"arn:aws:secretsmanager:{node.region}:{node.account}:secret:{node.secret_prefix}/*"
    return [allow("ReadOwnSecrets", ["secretsmanager:GetSecretValue"], [own])]


def _instances(node: Node) -> str:
    return f"arn:aws:ec2:{node.region}:{node.account}:instance/*"
