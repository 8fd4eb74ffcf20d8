"""The policies of a deployed federation, as its accounts hold them: read through the services' own APIs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from template_life import Life

from stacks.plan import StackPlan

Document = dict[str, Any]


@dataclass(frozen=True)
class HeldRole:
    """A role: its ARN, its own policies, and who may assume it."""

    arn: str
    policies: tuple[Document, ...]
    trust: Document


@dataclass(frozen=True)
class Held:
    """What the accounts of a federation hold.

    Args:
        life: its stacks, which are deployed.
    """

    life: Life

    def account(self, node: str) -> str:
        return self._stack(node, "Storage").account

    def role(self, node: str, name: str) -> HeldRole:
        iam = self._client("iam", node)
        found = iam.get_role(RoleName=name)["Role"]
        documents = tuple(
            _read(iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"])
            for each in iam.list_role_policies(RoleName=name)["PolicyNames"]
        )
        return HeldRole(found["Arn"], documents, _read(found["AssumeRolePolicyDocument"]))

    def bucket(self, node: str) -> str:
        return self.resource(node, "Storage", "Bucket")

    def bucket_policy(self, node: str) -> Document:
        return _read(self._client("s3", node).get_bucket_policy(Bucket=self.bucket(node))["Policy"])

    def key(self, node: str) -> str:
        kms = self._client("kms", node)
        told = kms.describe_key(KeyId=self.resource(node, "Storage", "Key"))["KeyMetadata"]
        return str(told["Arn"])

    def key_policy(self, node: str) -> Document:
        return _read(self._client("kms", node).get_key_policy(KeyId=self.key(node), PolicyName="default")["Policy"])

    def endpoint_policy(self, node: str, logical_id: str) -> Document:
        endpoint = self.resource(node, "Network", logical_id)
        told = self._client("ec2", node).describe_vpc_endpoints(VpcEndpointIds=[endpoint])["VpcEndpoints"]
        return _read(told[0]["PolicyDocument"])

    def resource(self, node: str, part: str, logical_id: str) -> str:
        stack = self._stack(node, part)
        told = self.life.clients.client("cloudformation", stack.account, stack.region).describe_stack_resource(
            StackName=stack.name, LogicalResourceId=logical_id
        )
        return str(told["StackResourceDetail"]["PhysicalResourceId"])

    def _client(self, service: str, node: str) -> Any:
        stack = self._stack(node, "Storage")
        return self.life.clients.client(service, stack.account, stack.region)

    def _stack(self, node: str, part: str) -> StackPlan:
        return next(
            stack
            for stack in self.life.plan.stacks
            if stack.node == node and stack.id.startswith((f"Hub{part}", f"Site{part}"))
        )


def _read(document: Any) -> Document:
    read: Document = json.loads(document) if isinstance(document, str) else document
    return read
