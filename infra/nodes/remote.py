"""One node as its account shows it: its parameters, bucket and log, reached with the account's own profile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from botocore.exceptions import ClientError

from infra.accounts import Accounts, check_credentials, explained
from infra.errors import FederateError
from infra.federation.derive import AGGREGATOR_ID, Node, nodes, stack_name
from infra.federation.model import Federation
from node_bootstrap import contract
from node_bootstrap.contract import NodeState
from node_bootstrap.measures import is_metrics

_DELETED_AT_ONCE = 10
_VALUE_BYTES = 4096


class UnknownNode(FederateError):
    """A node was named that the federation does not have."""

    exit_code = 2


class NotDeployed(FederateError):
    """The node's account has no storage of this federation."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Report:
    """What a node last published.

    Args:
        state: how it is; None where it never said anything.
        reason: why, or what it waits for.
        run: name of the start that it speaks of.
        progress: round, rounds, phase, waiting_for and metrics, as far as it told them.
        at: when, UTC, ISO 8601.
    """

    state: NodeState | None
    reason: str = ""
    run: str = ""
    progress: Mapping[str, Any] = field(default_factory=dict)
    at: str = ""

    @classmethod
    def read(cls, text: str | None) -> Report:
        """Read the node's parameter; what cannot be read is a failure of the node's."""
        if text is None:
            return cls(None)
        try:
            found = json.loads(text)
            progress = found.get("progress") or {}
            return cls(
                NodeState(found["state"]),
                str(found.get("reason") or ""),
                str(found.get("run") or ""),
                progress if isinstance(progress, dict) else {},
                str(found.get("at") or ""),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls(NodeState.FAILED, f"published what is not a state: {text[:80]!r}")

    def as_dict(self) -> dict[str, Any]:
        """Return the report for ``--json`` and the live view; a node that never spoke has no state."""
        return {
            "state": self.state.value if self.state else None,
            "reason": self.reason,
            "run": self.run,
            "progress": dict(self.progress),
            "at": self.at,
        }


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a node's log: the account's id of it, milliseconds since 1970, the stream, the text."""

    id: str
    at: int
    stream: str
    text: str


class Remote:
    """A node, by way of its account.

    Args:
        federation: the node's.
        node: which node.
        accounts: AWS's APIs.
    """

    def __init__(self, federation: Federation, node: Node, accounts: Accounts) -> None:
        self.node = node
        self._federation = federation
        self._accounts = accounts

    @property
    def where(self) -> str:
        """The account, for an error."""
        return f"{self.node.id}, account {self.node.account}, profile {self.node.profile}"

    def client(self, service: str) -> Any:
        """Return a client for a service of the node's account."""
        return self._accounts.client(service, profile=self.node.profile, region=self.node.region)

    @cached_property
    def bucket(self) -> str:
        """The node's own bucket.

        Raises:
            NotDeployed: there is none yet.
        """
        return self.stack_output("Storage", "BucketName")

    def key(self, name: str) -> str:
        """Return the key in the node's bucket of what the contract calls so: ``data/patient.csv.gz``."""
        return f"{self.node.bucket_prefix}{name}"

    def credentials(self) -> Any:
        """Return the credentials of the node's account, for what boto3 has no call for."""
        return self._accounts.credentials(profile=self.node.profile)

    def refuse_without_credentials(self) -> None:
        """Make sure that the node's profile has credentials for the node's account.

        Raises:
            WrongCredentials: it has none, or another account's.
            AwsRefused: AWS does not answer, or throttles.
        """
        check_credentials(self._accounts, [self.node])

    def stack_output(self, part: Literal["Storage", "Network", "Node"], output: str) -> str:
        """Return what one of the node's stacks says of itself.

        Raises:
            NotDeployed: there is no such stack, or it was deployed by a version that had no such output.
        """
        kind = f"Hub{part}" if self.node.id == AGGREGATOR_ID else f"Site{part}-{self.node.id}"
        name = stack_name(self._federation, kind)
        outputs: list[dict[str, str]] = []
        try:
            with explained(self.where, profile=self.node.profile, region=self.node.region):
                described = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
                outputs = described[0].get("Outputs", [])
        except FederateError as error:
            if "does not exist" not in str(error):
                raise
        found = {output["OutputKey"]: output["OutputValue"] for output in outputs}
        if output not in found:
            lacks = f"stack {name}" if not found else f"output {output} of the stack {name}"
            raise NotDeployed(
                f"{self.node.id} is not deployed: account {self.node.account} has no {lacks}.",
                remedy=f"federate deploy --only {self.node.id}, or all: federate deploy.",
            )
        return found[output]

    def refuse_unless_deployed(self) -> None:
        """Make sure that the node has its storage, so that nothing is written into an account without a federation.

        Raises:
            NotDeployed: it has none.
        """
        _ = self.bucket

    def parameters(self) -> dict[str, str]:
        """Return the node's parameters by their names below its prefix."""
        prefix = f"{self.node.parameter_prefix}/"
        with explained(self.where, profile=self.node.profile, region=self.node.region):
            pages = self.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=prefix)
            return {item["Name"].removeprefix(prefix): item["Value"] for page in pages for item in page["Parameters"]}

    def report(self) -> Report:
        """Return what the node last published."""
        return Report.read(self.parameters().get(contract.STATE))

    def put(self, name: str, value: str) -> None:
        """Set a parameter of the node's."""
        if len(value.encode()) > _VALUE_BYTES:
            raise FederateError(f"{self.where}: the parameter {name} would have more than {_VALUE_BYTES} bytes.")
        with explained(self.where, profile=self.node.profile, region=self.node.region):
            self.client("ssm").put_parameter(
                Name=f"{self.node.parameter_prefix}/{name}", Value=value, Type="String", Overwrite=True
            )

    def forget_state(self) -> None:
        """Delete what the node last said of itself: the one that comes next has said nothing yet."""
        with explained(self.where, profile=self.node.profile, region=self.node.region):
            self.client("ssm").delete_parameters(Names=[f"{self.node.parameter_prefix}/{contract.STATE}"])

    def forget(self) -> int:
        """Delete all parameters of the node; return how many there were."""
        with explained(self.where, profile=self.node.profile, region=self.node.region):
            pages = (
                self.client("ssm")
                .get_paginator("get_parameters_by_path")
                .paginate(Path=f"{self.node.parameter_prefix}/")
            )
            names = [item["Name"] for page in pages for item in page["Parameters"]]
            for start in range(0, len(names), _DELETED_AT_ONCE):
                self.client("ssm").delete_parameters(Names=names[start : start + _DELETED_AT_ONCE])
        return len(names)

    def log_lines(self, since_ms: int = 0) -> Iterator[LogLine]:
        """Yield what the node said, oldest first, lines of one moment in their order; none where it has no log."""
        with explained(self.where, profile=self.node.profile, region=self.node.region):
            logs = self.client("logs")
            try:
                pages = logs.get_paginator("filter_log_events").paginate(
                    logGroupName=self.node.log_group, startTime=since_ms
                )
                for page in pages:
                    for event in page["events"]:
                        if not is_metrics(event["logStreamName"]):
                            yield LogLine(
                                event["eventId"], event["timestamp"], event["logStreamName"], event["message"]
                            )
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
                    raise


def remotes(federation: Federation, accounts: Accounts, only: Sequence[str] = ()) -> tuple[Remote, ...]:
    """Return the nodes with these ids, or all: the aggregator, then the sites in the order of the file.

    Raises:
        UnknownNode: an id is none of the federation's.
    """
    known = {node.id: node for node in nodes(federation)}
    for name in only:
        if name not in known:
            raise UnknownNode(
                f"The federation {federation.name} has no node {name!r}.", remedy=f"There are {', '.join(known)}."
            )
    return tuple(Remote(federation, node, accounts) for id_, node in known.items() if not only or id_ in only)


def reports(chosen: Sequence[Remote]) -> dict[str, Report]:
    """Return what some nodes last published, asked all at once."""
    with ThreadPoolExecutor(max(1, min(16, len(chosen)))) as pool:
        return dict(zip((remote.node.id for remote in chosen), pool.map(Remote.report, chosen), strict=True))


def forget_states(chosen: Sequence[Remote], *, quiet_seconds: float = 1.5, timeout_seconds: float = 60.0) -> None:
    """Delete what nodes whose instances are gone said of themselves; what is wanted of the next ones stays."""

    def forget(remote: Remote) -> int:
        is_there = remote.report().state is not None
        if is_there:
            remote.forget_state()
        return int(is_there)

    _until_quiet(lambda: sum(forget(remote) for remote in chosen), quiet_seconds, timeout_seconds)


def forget_all(chosen: Sequence[Remote], *, quiet_seconds: float = 1.5, timeout_seconds: float = 60.0) -> None:
    """Delete all parameters of nodes whose instances are gone."""
    _until_quiet(lambda: sum(remote.forget() for remote in chosen), quiet_seconds, timeout_seconds)


def _until_quiet(forget: Callable[[], int], quiet_seconds: float, timeout_seconds: float) -> None:
    """Forget again and again: a node that is just going down may still publish once.

    It is over when nothing new has come for a while.
    """
    until = time.monotonic() + timeout_seconds
    quiet_since = time.monotonic()
    while time.monotonic() < until:
        if forget():
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since >= quiet_seconds:
            return
        time.sleep(min(0.5, quiet_seconds))
