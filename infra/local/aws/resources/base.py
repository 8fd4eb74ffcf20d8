"""What a resource handler is: the properties it implements, and how it makes, changes and deletes a resource."""

from __future__ import annotations

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from infra.local.aws.cfn.errors import ResourceFailure
from infra.local.aws.cfn.functions import Place

Properties = Mapping[str, Any]
Attributes = Mapping[str, "str | list[str]"]


class Clients(Protocol):
    """boto3 clients of the emulated services, by account."""

    def client(self, service: str, account: str, region: str) -> Any:
        """Return a client that acts as the account's administrator."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The properties of a resource type that are implemented; any other is refused.

    Args:
        create_only: a change of one of these replaces the resource ("Update requires: Replacement").
        updatable: a change of one of these is made in place.
        required: those that must be given.
        name: the property with a custom name; such a resource cannot be replaced while it keeps the name.
        tags: the form of the property ``Tags``, which also takes the stack's tags; None where there is none.
    """

    create_only: frozenset[str] = frozenset()
    updatable: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    name: str | None = None
    tags: Literal["list", "map"] | None = None

    @property
    def known(self) -> frozenset[str]:
        """Every implemented property."""
        return self.create_only | self.updatable | ({"Tags"} if self.tags else frozenset())

    def problems(self, given: Collection[str]) -> list[str]:
        """Say what is wrong with the names of the given properties; the texts are CloudFormation's schema check."""
        extraneous = [
            f"#: extraneous key [{name}] is not permitted (loopback AWS implements: {', '.join(sorted(self.known))})"
            for name in sorted(set(given) - self.known)
        ]
        return extraneous + [f"#: required key [{name}] not found" for name in sorted(self.required - set(given))]

    def with_stack_tags(self, properties: dict[str, Any], stack_tags: Mapping[str, str]) -> dict[str, Any]:
        """Add the stack's tags to a resource's own; its own win."""
        if not self.tags or not stack_tags:
            return properties
        if self.tags == "map":
            return {**properties, "Tags": {**stack_tags, **properties.get("Tags", {})}}
        own = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
        return {**properties, "Tags": [{"Key": k, "Value": v} for k, v in {**stack_tags, **own}.items()]}


@dataclass(frozen=True, slots=True)
class Call:
    """One action on one resource: whose stack it is, and the account's services."""

    place: Place
    logical_id: str
    clients: Clients
    _begun: list[str] = field(default_factory=list)

    def begun(self, physical_id: str) -> None:
        """Say that the resource exists from here on, though it is not complete: a failure must delete it."""
        self._begun.append(physical_id)

    @property
    def half_made(self) -> str | None:
        """The physical id of a resource whose making has begun."""
        return self._begun[-1] if self._begun else None

    @property
    def account(self) -> str:
        """The stack's account."""
        return self.place.account

    @property
    def region(self) -> str:
        """The stack's Region."""
        return self.place.region

    def service(self, name: str) -> Any:
        """Return a client of the stack's account."""
        return self.clients.client(name, self.account, self.region)

    def other_account(self, name: str, account: str, region: str | None = None) -> Any:
        """Return a client of another account."""
        return self.clients.client(name, account, region or self.region)

    def generated_name(self, limit: int, *, lower: bool = False) -> str:
        """Return ``<stack>-<logical id>-<random>``, as CloudFormation names what has no name, of at most ``limit``."""
        random = uuid.uuid4().hex[:12].upper()
        name = f"{self.place.stack_name}-{self.logical_id}"[: limit - len(random) - 1] + f"-{random}"
        return name.lower() if lower else name

    @property
    def own_tags(self) -> dict[str, str]:
        """The tags that CloudFormation itself puts on a resource."""
        return {
            "aws:cloudformation:stack-name": self.place.stack_name,
            "aws:cloudformation:logical-id": self.logical_id,
            "aws:cloudformation:stack-id": self.place.stack_id,
        }


@dataclass(frozen=True, slots=True)
class Made:
    """A new resource. ``ref`` is what ``Ref`` gives where that is not the physical id."""

    physical_id: str
    attributes: Attributes = field(default_factory=dict)
    ref: str | None = None


class Handler(ABC):
    """Makes, changes and deletes the resources of one type through the emulated services' own APIs.

    Failures are botocore's ClientError, or :class:`ResourceFailure`.
    """

    type: ClassVar[str]
    schema: ClassVar[Schema]
    #: IAM resources need an acknowledged capability: the property whose presence asks for CAPABILITY_NAMED_IAM.
    capability: ClassVar[bool] = False

    @abstractmethod
    def create(self, call: Call, properties: Properties) -> Made:
        """Make the resource."""

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change the resource in place; return the attributes that changed."""
        raise ResourceFailure(f"{self.type} does not support updates", code="NotUpdatable")

    @abstractmethod
    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the resource; one that is gone already is no error."""

    def find(self, call: Call, name: str) -> Made | None:
        """Return the resource that has this custom name, whoever made it; None where there is none.

        A type that does not say so is never imported.
        """
        return None

    def snapshot(self, call: Call, physical_id: str) -> None:
        """Keep a snapshot before deletion (policy ``Snapshot``)."""
        raise ResourceFailure(f"{self.type} does not support the deletion policy Snapshot")


def boolean(value: Any) -> bool:
    """Read a template's boolean, which may be a string."""
    return value is True or str(value).lower() == "true"


def integer(value: Any) -> int:
    """Read a template's number, which may be a string."""
    return int(value)


def pick(properties: Properties, *names: str) -> dict[str, Any]:
    """Return those of the named properties that are given."""
    return {name: properties[name] for name in names if name in properties}


def only(value: Properties, path: str, *names: str) -> None:
    """Refuse a nested property that is not implemented.

    Raises:
        ResourceFailure: naming it, in the words of CloudFormation's schema check.
    """
    for name in sorted(set(value) - set(names)):
        raise ResourceFailure(f"#/{path}: extraneous key [{name}] is not permitted", code="InvalidRequest")


def document(value: Any) -> str:
    """Write a policy document, a map in the template, as the JSON text that the services take."""
    return value if isinstance(value, str) else json.dumps(value)


def names(text: str) -> frozenset[str]:
    """Read a set of property names from words."""
    return frozenset(text.split())
