"""What an account shows of a node that failed or stays silent: its last log lines, its instance, its console."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from infra.accounts import explained
from infra.errors import FederateError
from infra.nodes.remote import NotDeployed, Remote

#: Instances in these states run nothing, and will not by themselves.
GONE = ("shutting-down", "terminated", "stopping", "stopped")
_LOG_LINES, _CONSOLE_LINES = 15, 15
_UNSUPPORTED = ("UnsupportedOperation", "InvalidParameterCombination", "InvalidParameterValue")
#: What a console or a log holds may steer a terminal: colours, titles, the cursor.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Machine:
    """A node's instance as EC2 shows it.

    Args:
        id: of the instance.
        state: ``running``, ``terminated``, …; ``not there`` where EC2 has forgotten it.
        reason: why it is in that state, in EC2's words; may be empty.
        checks: name of a status check to its result: ``system``, ``instance``.
        events: what EC2 plans to do with it, in words.
        details: image, type, zone and time of launch.
    """

    id: str
    state: str
    reason: str = ""
    checks: tuple[tuple[str, str], ...] = ()
    events: tuple[str, ...] = ()
    details: tuple[tuple[str, str], ...] = ()

    @property
    def is_gone(self) -> bool:
        """Whether it runs nothing and will not by itself."""
        return self.state in GONE or self.state == "not there"

    def __str__(self) -> str:
        """Return it as a line."""
        checks = (
            f"; status checks: {', '.join(f'{name} {found}' for name, found in self.checks)}" if self.checks else ""
        )
        events = f"; planned: {', '.join(self.events)}" if self.events else ""
        return f"instance {self.id} is {self.state}{f' ({self.reason})' if self.reason else ''}{checks}{events}"


def machine_of(remote: Remote) -> Machine:
    """Return the instance that a node's stack has made, in whatever state it is.

    Raises:
        NotDeployed: there is no such stack.
        AwsRefused: the account does not tell.
    """
    id_ = remote.stack_output("Node", "InstanceId")
    ec2 = remote.client("ec2")
    with explained(remote.where):
        try:
            described = ec2.describe_instances(InstanceIds=[id_])["Reservations"]
        except ClientError as error:
            if _code(error) != "InvalidInstanceID.NotFound":
                raise
            return Machine(id_, "not there")
        found = next((instance for reservation in described for instance in reservation["Instances"]), None)
        if found is None:
            return Machine(id_, "not there")
        told = ec2.describe_instance_status(InstanceIds=[id_], IncludeAllInstances=True)["InstanceStatuses"]
    status = told[0] if told else {}
    checks = {"system": "SystemStatus", "instance": "InstanceStatus"}
    details = {
        "image": found.get("ImageId", ""),
        "type": found.get("InstanceType", ""),
        "zone": found.get("Placement", {}).get("AvailabilityZone", ""),
        "launched": f"{found.get('LaunchTime', '')}",
    }
    return Machine(
        id_,
        found["State"]["Name"],
        str(found.get("StateReason", {}).get("Message") or found.get("StateTransitionReason") or ""),
        tuple((name, str(status[key]["Status"])) for name, key in checks.items() if key in status),
        tuple(f"{event.get('Code')} from {event.get('NotBefore')}" for event in status.get("Events", [])),
        tuple(details.items()),
    )


def console_of(remote: Remote, instance: str) -> str:
    """Return the end of what an instance wrote to its console: all that is left of one that died before it could speak.

    EC2 keeps it for an hour after an instance is gone, and shows it late where the type is not a Nitro one.

    Raises:
        AwsRefused: the account does not tell.
    """
    ec2 = remote.client("ec2")
    with explained(remote.where):
        try:
            told = ec2.get_console_output(InstanceId=instance, Latest=True)
        except ClientError as error:
            if _code(error) not in _UNSUPPORTED:
                raise
            told = ec2.get_console_output(InstanceId=instance)
    return str(told.get("Output") or "")


def last_lines(remote: Remote, count: int = _LOG_LINES, since_ms: int = 0) -> list[str]:
    """Return the last lines of a node's log, the oldest first.

    Raises:
        AwsRefused: the account does not tell.
    """
    lines = sorted(remote.log_lines(since_ms), key=lambda line: line.at)  # of all streams together
    return [f"{line.stream.rpartition('/')[2]}: {line.text.rstrip()}" for line in lines[-count:]]


def findings(remote: Remote, *, is_silent: bool, since_ms: int = 0) -> Iterator[str]:
    """Yield what is found out about a node that does not come up, in lines for a person.

    Nothing here is an error of its own: what the account does not tell is said so.

    Args:
        remote: the node.
        is_silent: it never said anything; then its instance and console are looked at even if it has a log.
        since_ms: only log lines since then, milliseconds since 1970.
    """
    name = remote.node.id
    lines: list[str] = []
    try:
        lines = last_lines(remote, since_ms=since_ms)
        yield (
            f"{name}: the last lines of its log group {remote.node.log_group}:"
            if lines
            else (f"{name}: its log group {remote.node.log_group} holds no line.")
        )
        yield from _indented(lines)
    except (FederateError, BotoCoreError, ClientError) as error:
        yield f"{name}: its log could not be read: {_first_line(error)}"
    if lines and not is_silent:
        return
    try:
        machine = machine_of(remote)
        yield f"{name}: {machine}."
        console = console_of(remote, machine.id).splitlines()
        yield f"{name}: the end of its console:" if console else f"{name}: its console is empty so far."
        yield from _indented(console[-_CONSOLE_LINES:])
    except NotDeployed as error:
        yield f"{name}: {_first_line(error)}"
    except (FederateError, BotoCoreError, ClientError) as error:
        yield f"{name}: its instance and console could not be looked at: {_first_line(error)}"


def _indented(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield f"    {_CONTROL.sub('', line)}"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
