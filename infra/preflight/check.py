"""What a check is, and the account and Region in which it looks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from botocore.exceptions import BotoCoreError, ClientError

from infra.accounts import Accounts
from infra.errors import Problem, Severity
from infra.federation.derive import Node
from infra.federation.model import Federation
from stacks.plan import StackPlan

T = TypeVar("T")
#: What AWS's services call a missing permission. "403" is S3's answer to a request that has no body to say more in.
_REFUSALS = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403", "Forbidden")
#: All statuses of CloudFormation's but DELETE_COMPLETE. Source: ListStacks, CloudFormation API Reference.
STANDING = (
    "CREATE_IN_PROGRESS",
    "CREATE_FAILED",
    "CREATE_COMPLETE",
    "ROLLBACK_IN_PROGRESS",
    "ROLLBACK_FAILED",
    "ROLLBACK_COMPLETE",
    "DELETE_IN_PROGRESS",
    "DELETE_FAILED",
    "UPDATE_IN_PROGRESS",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_COMPLETE",
    "UPDATE_FAILED",
    "UPDATE_ROLLBACK_IN_PROGRESS",
    "UPDATE_ROLLBACK_FAILED",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE",
    "REVIEW_IN_PROGRESS",
    "IMPORT_IN_PROGRESS",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_IN_PROGRESS",
    "IMPORT_ROLLBACK_FAILED",
    "IMPORT_ROLLBACK_COMPLETE",
)


@dataclass(frozen=True, slots=True)
class Check:
    """One question to an account.

    Args:
        id: short, for scripts and tables.
        asks: what is asked, in one line.
        permissions: what the profile needs for it.
        look: asks, and yields what is wrong; nothing where all is in order.
        applies: whether there is anything to ask at a place.
    """

    id: str
    asks: str
    permissions: tuple[str, ...]
    look: Callable[[Visit], Iterable[Problem]]
    applies: Callable[[Visit], bool] = lambda _: True


@dataclass
class Visit:
    """One account in one Region, with the nodes that are to stand there.

    Answers that several checks need are asked for once.

    Args:
        federation: whose accounts are visited.
        nodes: those of this account and Region; at least one.
        accounts: AWS's APIs.
        stacks: the stacks that are planned here.
        resources: the resources that their templates have.
    """

    federation: Federation
    nodes: tuple[Node, ...]
    accounts: Accounts
    stacks: tuple[StackPlan, ...] = ()
    resources: tuple[Mapping[str, Any], ...] = ()
    _known: dict[str, Any] = field(default_factory=dict, init=False)
    _locks: dict[str, threading.Lock] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def account(self) -> str:
        """The 12-digit account id."""
        return self.nodes[0].account

    @property
    def profile(self) -> str:
        """The profile by which the account is reached."""
        return self.nodes[0].profile

    @property
    def region(self) -> str:
        """The Region."""
        return self.nodes[0].region

    @property
    def name(self) -> str:
        """The nodes' ids."""
        return ", ".join(node.id for node in self.nodes)

    @property
    def where(self) -> str:
        """The place, for a problem."""
        return f"account {self.account} ({self.name}), {self.region}"

    @property
    def is_hub(self) -> bool:
        """Whether the aggregator stands here."""
        return any(node.role == "aggregator" for node in self.nodes)

    @property
    def cli(self) -> str:
        """What the AWS CLI needs to ask the same account: ``--profile hospital-a --region us-east-1``."""
        return f"--profile {self.profile} --region {self.region}"

    def client(self, service: str, region: str | None = None) -> Any:
        """Return a client for a service here, or in another Region."""
        return self.accounts.client(service, profile=self.profile, region=region or self.region)

    def once(self, key: str, ask: Callable[[], T]) -> T:
        """Return what was asked under this key, asking if nobody has; what fails is asked again by the next."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._known:
                self._known[key] = ask()
            return cast(T, self._known[key])

    def pages(self, service: str, operation: str, path: str, **arguments: Any) -> list[Any]:
        """Return all items of a paginated call, asked once for the same arguments."""

        def ask() -> list[Any]:
            pages = self.client(service).get_paginator(operation).paginate(**arguments)
            return [item for page in pages for item in page.get(path, [])]

        return self.once(f"{service}.{operation} {arguments}", ask)

    def stacks_there(self) -> list[Mapping[str, Any]]:
        """Return the Region's stacks, whoever's they are; not those that were deleted, which AWS lists for 90 days."""
        return self.pages("cloudformation", "list_stacks", "StackSummaries", StackStatusFilter=list(STANDING))

    def is_ours(self, resource: Mapping[str, Any]) -> bool:
        """Say whether a resource belongs to this federation, by its tags."""
        return tags_of(resource).get("federate:federation") == self.federation.name

    def problem(self, found: str, allowed: str = "", remedy: str = "", severity: Severity = Severity.ERROR) -> Problem:
        """Return a problem at this place."""
        return Problem(self.where, found, allowed, remedy, severity)


def tags_of(resource: Mapping[str, Any]) -> dict[str, str]:
    """Return a resource's tags."""
    return {tag["Key"]: tag["Value"] for tag in resource.get("Tags") or ()}


def code_of(error: BotoCoreError | ClientError) -> str:
    """Return AWS's code of an error; empty where AWS did not answer at all."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def is_refusal(error: BotoCoreError | ClientError) -> bool:
    """Say whether the profile lacks a permission."""
    return code_of(error) in _REFUSALS


def not_made(check: Check, visit: Visit, error: BotoCoreError | ClientError) -> Problem:
    """Return the warning that a check could not be made: never silence, never success."""
    needed = ", ".join(check.permissions)
    if is_refusal(error):
        operation = getattr(error, "operation_name", "")
        return visit.problem(
            f"not checked: {check.asks} The profile {visit.profile} may not ask ({operation}: {code_of(error)}).",
            f"The check needs {needed}.",
            "Allow that, or make sure of it yourself.",
            Severity.WARNING,
        )
    return visit.problem(
        f"not checked: {check.asks} AWS did not answer it: {error}",
        f"The check asks {needed}.",
        "Ask again: federate preflight.",
        Severity.WARNING,
    )
