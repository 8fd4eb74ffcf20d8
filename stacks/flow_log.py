"""A VPC's flow log: who spoke to whom, and what was refused, kept with the node's own log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam

from infra.federation.derive import Node
from stacks.permissions import allow, policy

if TYPE_CHECKING:
    from stacks.private_network import PrivateNetwork

#: The longest interval is ten minutes; a minute costs the same here, where few connections live long.
_INTERVAL_SECONDS = 60


def add_flow_log(network: PrivateNetwork, node: Node) -> None:
    """Record every connection of the VPC, accepted or rejected, in the log group of the storage stack.

    Source: "IAM role for publishing flow logs to CloudWatch Logs", Amazon VPC User Guide.
    """
    group = f"arn:aws:logs:{node.region}:{node.account}:log-group:{node.flow_log_group}"
    role = iam.CfnRole(
        network,
        "FlowLogRole",
        description=f"Writes the flow log of {node.id}",
        assume_role_policy_document=policy(
            {
                "Effect": "Allow",
                "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
                "Action": "sts:AssumeRole",
                # AWS's own service acts for many: only for this account's flow logs.
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": node.account},
                    "ArnLike": {"aws:SourceArn": f"arn:aws:ec2:{node.region}:{node.account}:vpc-flow-log/*"},
                },
            }
        ),
        policies=[
            iam.CfnRole.PolicyProperty(
                policy_name="flow-log",
                policy_document=policy(
                    allow("WriteFlowLog", ["logs:CreateLogStream", "logs:PutLogEvents"], [f"{group}:log-stream:*"]),
                    allow("FindStreams", ["logs:DescribeLogStreams"], [f"{group}:*"]),
                ),
            )
        ],
    )
    ec2.CfnFlowLog(
        network,
        "FlowLog",
        resource_type="VPC",
        resource_id=network.vpc.ref,
        traffic_type="ALL",
        log_destination_type="cloud-watch-logs",
        log_group_name=node.flow_log_group,
        deliver_logs_permission_arn=role.attr_arn,
        max_aggregation_interval=_INTERVAL_SECONDS,
    )
