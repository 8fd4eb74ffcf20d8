"""What the engine keeps: stacks with their resources, events, outputs and change sets, per account and Region."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from infra.local.aws.cfn.errors import CloudFormationError, stack_does_not_exist
from infra.local.aws.cfn.functions import Place
from infra.local.aws.cfn.parameters import Parameter
from infra.local.aws.cfn.template import Template


def now() -> datetime:
    """Return the present moment, with its zone."""
    return datetime.now(UTC)


@dataclass
class Resource:
    """A resource as it exists: ``properties`` are the resolved ones it was last made or changed with."""

    logical_id: str
    type: str
    physical_id: str
    ref: str
    attributes: Mapping[str, str | list[str]]
    properties: Mapping[str, Any]
    metadata: Mapping[str, Any]
    deletion_policy: str
    replace_policy: str
    #: What it was made after; deletion goes the other way.
    needs: frozenset[str] = frozenset()
    #: Whether it existed before the stack took it: undoing the stack's making leaves it.
    imported: bool = False
    status: str = "CREATE_COMPLETE"
    reason: str | None = None
    changed: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a stack's history, as DescribeStackEvents tells it."""

    id: str
    logical_id: str
    physical_id: str
    type: str
    status: str
    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Output:
    """An output with its value; ``export`` is the name under which other stacks import it."""

    key: str
    value: str
    description: str | None
    export: str | None


@dataclass
class Stack:
    """One stack. ``status`` and ``reason`` are those of DescribeStacks."""

    account: str
    region: str
    name: str
    id: str = ""
    status: str = "REVIEW_IN_PROGRESS"
    reason: str | None = None
    template: Template | None = None
    parameters: dict[str, Parameter] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    resources: dict[str, Resource] = field(default_factory=dict)
    #: Replaced resources that still wait for their deletion, after an update that failed without rollback.
    leftovers: list[Resource] = field(default_factory=list)
    outputs: tuple[Output, ...] = ()
    imports: frozenset[str] = frozenset()
    events: list[Event] = field(default_factory=list)
    change_sets: dict[str, Any] = field(default_factory=dict)
    protected: bool = False
    disable_rollback: bool = False
    capabilities: tuple[str, ...] = ()
    created: datetime = field(default_factory=now)
    updated: datetime | None = None
    deleted: datetime | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if not self.id:
            self.id = f"arn:aws:cloudformation:{self.region}:{self.account}:stack/{self.name}/{uuid.uuid4()}"

    @property
    def place(self) -> Place:
        """Account, Region, name and id."""
        return Place(self.account, self.region, self.name, self.id)

    @property
    def in_progress(self) -> bool:
        """Whether an operation is under way; a stack under review is only waiting."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    def record(self, logical_id: str, physical_id: str, type_: str, status: str, reason: str | None = None) -> None:
        """Add an event."""
        event = Event(f"{logical_id}-{status}-{uuid.uuid4()}", logical_id, physical_id, type_, status, reason, now())
        self.events.append(event)

    def move(self, status: str, reason: str | None = None) -> None:
        """Change the stack's own status and record it."""
        self.status, self.reason = status, reason
        self.record(self.name, self.id, "AWS::CloudFormation::Stack", status, reason)


class Stacks:
    """Every stack of every account and Region, deleted ones included."""

    def __init__(self) -> None:
        self._stacks: list[Stack] = []

    def add(self, stack: Stack) -> None:
        """Keep a new stack."""
        self._stacks.append(stack)

    def forget(self, stack: Stack) -> None:
        """Drop a stack that never came to be."""
        self._stacks.remove(stack)

    def all(self, account: str, region: str) -> Iterator[Stack]:
        """Yield an account's stacks in a Region, newest first, as AWS lists them."""
        return (stack for stack in reversed(self._stacks) if (stack.account, stack.region) == (account, region))

    def live(self, account: str, region: str) -> Iterator[Stack]:
        """Yield an account's stacks that are not deleted."""
        return (stack for stack in self.all(account, region) if stack.status != "DELETE_COMPLETE")

    def find(self, account: str, region: str, name_or_id: str) -> Stack:
        """Return a stack by name, or by id even when it is deleted.

        Raises:
            CloudFormationError: there is none.
        """
        for stack in self.all(account, region):
            if stack.id == name_or_id or (stack.name == name_or_id and stack.status != "DELETE_COMPLETE"):
                return stack
        raise stack_does_not_exist(name_or_id)

    def exports(self, account: str, region: str) -> dict[str, tuple[str, Stack]]:
        """Return export name → (value, exporting stack)."""
        return {
            output.export: (output.value, stack)
            for stack in self.live(account, region)
            for output in stack.outputs
            if output.export
        }

    def importers(self, stack: Stack, export: str) -> tuple[str, ...]:
        """Return the names of the stacks, other than this one, that import an export; sorted."""
        others = self.live(stack.account, stack.region)
        return tuple(sorted(other.name for other in others if other is not stack and export in other.imports))

    def import_value(self, account: str, region: str, name: str) -> str:
        """Return what ``Fn::ImportValue`` gives.

        Raises:
            CloudFormationError: no stack exports that name.
        """
        exports = self.exports(account, region)
        if name not in exports:
            raise CloudFormationError(f"No export named {name} found.")
        return exports[name][0]
