"""What the functions of a template see while a stack is planned or changed."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from infra.local.aws.cfn.errors import ResourceFailure
from infra.local.aws.cfn.stack import Stack, Stacks
from infra.local.aws.resources.base import Clients


class StackWorld:
    """A stack's resources, the exports of its account and Region, and the account's parameters and secrets.

    Args:
        stack: the stack whose template is resolved.
        stacks: all stacks, for imports.
        clients: the emulated services.
        hidden: resources to treat as not yet existing.
    """

    def __init__(self, stack: Stack, stacks: Stacks, clients: Clients, hidden: frozenset[str] = frozenset()) -> None:
        self._stack = stack
        self._stacks = stacks
        self._clients = clients
        self._hidden = hidden
        #: The exports that were read.
        self.imports: set[str] = set()

    def reference(self, logical_id: str) -> str | None:
        """Return what ``Ref`` gives for a resource; None while it does not exist."""
        resource = None if logical_id in self._hidden else self._stack.resources.get(logical_id)
        return resource.ref if resource else None

    def attribute(self, logical_id: str, name: str) -> str | list[str] | None:
        """Return what ``Fn::GetAtt`` gives for a resource; None while it does not exist.

        Raises:
            ResourceFailure: the resource type has no such attribute, or it is not implemented.
        """
        resource = None if logical_id in self._hidden else self._stack.resources.get(logical_id)
        if resource is None:
            return None
        if name not in resource.attributes:
            raise ResourceFailure(f"Requested attribute {name} does not exist in schema for {resource.type}")
        return resource.attributes[name]

    def import_value(self, name: str) -> str:
        """Return the value of another stack's export."""
        value = self._stacks.import_value(self._stack.account, self._stack.region, name)
        self.imports.add(name)
        return value

    def dynamic_reference(self, service: str, reference: str) -> str:
        """Return a value of the parameter store or Secrets Manager.

        Raises:
            ResourceFailure: there is no such parameter or secret, or the service has no dynamic references here.
        """
        try:
            if service == "ssm":
                return self._parameter(reference)
            if service == "secretsmanager":
                return self._secret(reference)
        except ClientError as error:
            raise ResourceFailure(f"Could not resolve {{{{resolve:{service}:{reference}}}}}: {error}") from error
        raise ResourceFailure(f"Dynamic references to {service} are not implemented on loopback AWS")

    def _client(self, service: str) -> Any:
        return self._clients.client(service, self._stack.account, self._stack.region)

    def _parameter(self, reference: str) -> str:
        return str(self._client("ssm").get_parameter(Name=reference)["Parameter"]["Value"])

    def _secret(self, reference: str) -> str:
        secret, _, selector = reference.partition(":SecretString")
        text = str(self._client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])
        key = selector.strip(":").split(":")[0] if selector else ""
        return str(json.loads(text)[key]) if key else text
