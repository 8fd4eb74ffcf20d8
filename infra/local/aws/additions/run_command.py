"""Systems Manager Run Command for one account and Region: from the call to the agent that runs it, and back.

A command is Pending until an agent begins it, then InProgress, and ends as Success, Failed, TimedOut or Cancelled.

Source: SendCommand and GetCommandInvocation in the AWS Systems Manager API Reference; "Understanding command statuses"
and "Run Command timeout values" in its User Guide.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from infra.local.aws.additions.commands import (
    CANCELLING,
    ENDED,
    IN_PROGRESS,
    PENDING,
    Agent,
    Command,
    Invocation,
    Refused,
)

DOCUMENT = "AWS-RunShellScript"
PLUGIN = "aws:runShellScript"
#: GetCommandInvocation tells no more than so much of either output.
OUTPUT_CHARACTERS = 24_000
#: An agent that was not heard of for so long is no longer online. It asks every few seconds.
ONLINE_SECONDS = 60.0
_DELIVERY_SECONDS = 3600
_EXECUTION_SECONDS = "3600"
_LONGEST_EXECUTION_SECONDS = 172_800
#: After its own deadline an agent has so long to say so; then it is taken for gone, with what it ran.
_GRACE_SECONDS = 30.0
_PARAMETERS = {"commands", "workingDirectory", "executionTimeout"}
_MOST_KEPT = 500


class RunCommand:
    """The commands and agents of one account and Region.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._agents: dict[str, Agent] = {}
        self._commands: dict[str, Command] = {}
        self._changed = threading.Condition(threading.RLock())

    def register(self, instance: str, told: Mapping[str, str]) -> None:
        """Let an instance's agent be known.

        Args:
            instance: id of the instance; the caller makes sure that it is one.
            told: PlatformName, PlatformVersion, AgentVersion, ComputerName and IPAddress, as far as it says them.
        """
        now = self._clock()
        with self._changed:
            known = self._agents.get(instance)
            self._agents[instance] = Agent(instance, dict(told), known.registered_at if known else now, now)

    def forget(self, instance: str) -> None:
        """Let an instance that is gone be unknown."""
        with self._changed:
            self._agents.pop(instance, None)

    def agents(self) -> list[tuple[Agent, bool]]:
        """Return the agents, and whether each is online."""
        now = self._clock()
        with self._changed:
            return [(agent, now - agent.seen_at < ONLINE_SECONDS) for agent in self._agents.values()]

    def send(
        self,
        instances: Sequence[str],
        document: str,
        parameters: Mapping[str, Sequence[str]],
        *,
        comment: str = "",
        delivery_seconds: int | None = None,
    ) -> Command:
        """Have instances run a script.

        Raises:
            Refused: another document or parameter, or an instance whose agent has never registered.
        """
        if document not in (DOCUMENT, f"arn:aws:ssm:::document/{DOCUMENT}"):
            raise Refused("InvalidDocument", f"Document {document} is not one that loopback AWS runs: {DOCUMENT}.")
        unknown = sorted(set(parameters) - _PARAMETERS)
        if unknown or not parameters.get("commands"):
            what = f"{', '.join(unknown)} not known" if unknown else "commands missing"
            raise Refused("InvalidParameters", f"Parameters of {DOCUMENT}: {what}.")
        timeout = next(iter(parameters.get("executionTimeout") or [_EXECUTION_SECONDS]))
        if not timeout.isdigit() or not 1 <= int(timeout) <= _LONGEST_EXECUTION_SECONDS:
            raise Refused(
                "InvalidParameters", f"executionTimeout is {timeout!r}; allowed: 1 to {_LONGEST_EXECUTION_SECONDS}."
            )
        if len(set(instances)) != len(instances):
            raise Refused("DuplicateInstanceId", "An instance is named more than once.")
        with self._changed:
            if not instances or any(instance not in self._agents for instance in instances):
                raise Refused("InvalidInstanceId", "")
            command = Command(
                str(uuid.uuid4()),
                comment,
                {name: tuple(values) for name, values in parameters.items()},
                delivery_seconds or _DELIVERY_SECONDS,
                int(timeout),
                self._clock(),
            )
            command.invocations = {one: Invocation(command.id, one) for one in instances}
            self._commands[command.id] = command
            while len(self._commands) > _MOST_KEPT:
                del self._commands[next(iter(self._commands))]
            self._changed.notify_all()
            return command

    def commands(self, command: str | None = None, instance: str | None = None) -> list[Command]:
        """Return commands, the newest last.

        Raises:
            Refused: there is no command of this id.
        """
        with self._changed:
            self._expire()
            if command is not None and command not in self._commands:
                raise Refused("InvalidCommandId", "")
            chosen = [self._commands[command]] if command is not None else list(self._commands.values())
            return [one for one in chosen if instance is None or instance in one.invocations]

    def invocation(self, command: str, instance: str) -> tuple[Command, Invocation]:
        """Return how a command goes on an instance.

        Raises:
            Refused: there is none.
        """
        with self._changed:
            self._expire()
            found = self._commands.get(command)
            if found is None or instance not in found.invocations:
                raise Refused("InvocationDoesNotExist", "")
            return found, found.invocations[instance]

    def cancel(self, command: str, instances: Sequence[str] = ()) -> None:
        """Have a command end: at once where no agent has it yet, otherwise by the agent.

        Raises:
            Refused: there is no such command, or it is not for such an instance.
        """
        with self._changed:
            found = self._commands.get(command)
            if found is None:
                raise Refused("InvalidCommandId", "")
            if any(instance not in found.invocations for instance in instances):
                raise Refused("InvalidInstanceId", "")
            for instance, invocation in found.invocations.items():
                if instances and instance not in instances:
                    continue
                if invocation.status == PENDING:
                    invocation.end("Cancelled", "Cancelled", self._clock())
                elif invocation.status == IN_PROGRESS:
                    invocation.status = invocation.details = CANCELLING
            self._changed.notify_all()

    def poll(self, instance: str, wait_seconds: float = 0.0) -> dict[str, list[Any]]:
        """Give an agent what it is to do; this is its sign of life, too.

        Args:
            instance: whose agent asks.
            wait_seconds: for how long to wait for something to do.

        Returns:
            ``{"run": [{"command", "script", "folder", "timeout"}], "cancel": [command]}``. A command is given until an
            agent has begun it: an answer may reach an agent that has died meanwhile. Under ``cancel`` it is named until
            the agent has reported its end.

        Raises:
            Refused: the agent has not registered.
        """
        deadline = time.monotonic() + wait_seconds
        with self._changed:
            while True:
                if instance not in self._agents:
                    raise Refused("InvalidInstanceId", f"The agent of {instance} has not registered.")
                self._agents[instance].seen_at = self._clock()
                self._expire()
                found = self._due(instance)
                left = deadline - time.monotonic()
                if found["run"] or found["cancel"] or left <= 0:
                    return found
                self._changed.wait(left)

    def _due(self, instance: str) -> dict[str, list[Any]]:
        run, cancel = [], []
        for command in self._commands.values():
            invocation = command.invocations.get(instance)
            if invocation is None:
                continue
            if invocation.status == PENDING:
                folder = next(iter(command.parameters.get("workingDirectory", ())), "")
                script = "\n".join(command.parameters["commands"])
                timeout = command.execution_seconds
                run.append({"command": command.id, "script": script, "folder": folder, "timeout": timeout})
            elif invocation.status == CANCELLING:
                cancel.append(command.id)
        return {"run": run, "cancel": cancel}

    def begin(self, command: str, instance: str) -> None:
        """Let an agent run a command that it was given; it must not run it otherwise.

        Raises:
            Refused: it was begun before, has ended meanwhile, or is not this instance's.
        """
        _, invocation = self.invocation(command, instance)
        with self._changed:
            if invocation.status != PENDING:
                raise Refused("InvalidCommandId", f"{command} is {invocation.status} on {instance}.")
            invocation.status, invocation.details, invocation.began_at = IN_PROGRESS, IN_PROGRESS, self._clock()

    def report(self, command: str, instance: str, outcome: str, exit_code: int, stdout: str, stderr: str) -> None:
        """Take what came of a command; what has ended already stays as it is.

        Args:
            command: its id.
            instance: whose agent reports.
            outcome: ``done``, ``timed-out`` or ``cancelled``.
            exit_code: of the script; counts where it is done.
            stdout: what it wrote, of which the first 24,000 characters are kept.
            stderr: likewise.

        Raises:
            Refused: there is no such command for this instance, or the outcome is none.
        """
        endings = {
            "done": ("Success", "Success") if exit_code == 0 else ("Failed", "Failed"),
            "timed-out": ("TimedOut", "Execution Timed Out"),
            "cancelled": ("Cancelled", "Cancelled"),
        }
        if outcome not in endings:
            raise Refused("ValidationException", f"{outcome!r} is no outcome: {', '.join(endings)}.")
        _, invocation = self.invocation(command, instance)
        with self._changed:
            if invocation.status in ENDED:
                return
            invocation.stdout, invocation.stderr = stdout[:OUTPUT_CHARACTERS], stderr[:OUTPUT_CHARACTERS]
            invocation.exit_code = exit_code if outcome == "done" else -1
            invocation.end(*endings[outcome], self._clock())

    def _expire(self) -> None:
        """End what was not fetched in time, and what an agent that is gone will never report."""
        now = self._clock()
        for command in self._commands.values():
            for invocation in command.invocations.values():
                if invocation.status == PENDING and now - command.asked_at >= command.delivery_seconds:
                    invocation.end("TimedOut", "Delivery Timed Out", now)
                elif (
                    invocation.status in (IN_PROGRESS, CANCELLING)
                    and now - invocation.began_at >= command.execution_seconds + _GRACE_SECONDS
                ):
                    invocation.end("TimedOut", "Execution Timed Out", now)
