"""Commands by Systems Manager: the account holds them, the agent on the node fetches and runs them, as root."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.accounts import explained
from infra.errors import FederateError
from infra.nodes.reach.instance import Instance, instance_of
from infra.nodes.reach.outcome import NobodyAnswers, Outcome, TimedOut
from infra.nodes.remote import Remote

_DOCUMENT = "AWS-RunShellScript"
#: The least that Systems Manager takes, and long enough for an agent that is there.
_DELIVERY_SECONDS = 30
#: After the command's own time is up, its agent needs a moment to say so.
_GRACE_SECONDS = 20.0
_POLL_SECONDS = 0.4
_LONGEST_PAUSE_SECONDS = 5.0
_PENDING = ("Pending", "InProgress", "Delayed", "Cancelling")
#: Answers that another try may not give: too many calls, and an invocation that the account does not show yet.
_TRY_AGAIN = ("InvocationDoesNotExist", "Throttling", "ThrottlingException", "TooManyRequestsException")


class Ended(FederateError):
    """The command was cancelled, or its account gave it up."""

    exit_code = 6


class Ssm:
    """The transport.

    Args:
        stop: once it is set, a command that runs is cancelled, and ``run`` raises KeyboardInterrupt.
        pause: waits so many seconds.
    """

    as_root = ""

    def __init__(self, stop: threading.Event | None = None, pause: Callable[[float], object] | None = None) -> None:
        self._stop = stop or threading.Event()
        self._pause = pause or self._stop.wait

    def run(self, remote: Remote, command: str, timeout: float) -> Outcome:
        """Run a line of shell as root; see :class:`~infra.nodes.reach.outcome.Transport`."""
        instance = instance_of(remote)
        ssm = remote.client("ssm")
        with explained(remote.where):
            id_ = _send(ssm, remote, instance, command, timeout)
            try:
                told = self._told(ssm, id_, instance, _DELIVERY_SECONDS + timeout + _GRACE_SECONDS)
            except BaseException:  # Ctrl-C above all: what nobody waits for shall not run on
                with contextlib.suppress(BotoCoreError, ClientError):
                    ssm.cancel_command(CommandId=id_)
                raise
        if told is None:
            with contextlib.suppress(BotoCoreError, ClientError):
                ssm.cancel_command(CommandId=id_)
            raise TimedOut(remote, timeout)
        return _outcome(remote, instance, told, timeout)

    def _told(self, ssm: Any, command: str, instance: Instance, seconds: float) -> dict[str, Any] | None:
        """Return what the account says of a command that has ended; None if it has not in time."""
        until = time.monotonic() + seconds
        pause = _POLL_SECONDS
        while time.monotonic() < until:
            try:
                told: dict[str, Any] = ssm.get_command_invocation(CommandId=command, InstanceId=instance.id)
                if told["Status"] not in _PENDING:
                    return told
                pause = _POLL_SECONDS
            except ClientError as error:
                if error.response["Error"]["Code"] not in _TRY_AGAIN:
                    raise
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            self._pause(pause)
            if self._stop.is_set():
                raise KeyboardInterrupt
        return None


def _send(ssm: Any, remote: Remote, instance: Instance, command: str, timeout: float) -> str:
    try:
        sent = ssm.send_command(
            InstanceIds=[instance.id],
            DocumentName=_DOCUMENT,
            Comment="federate",
            TimeoutSeconds=_DELIVERY_SECONDS,
            Parameters={"commands": [command], "executionTimeout": [str(max(1, math.ceil(timeout)))]},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "InvalidInstanceId":
            why = f"no Systems Manager agent of its instance {instance.id} has registered"
            raise NobodyAnswers(remote, why) from None
        raise
    return str(sent["Command"]["CommandId"])


def _outcome(remote: Remote, instance: Instance, told: dict[str, Any], timeout: float) -> Outcome:
    status, details = told["Status"], told.get("StatusDetails", "").replace(" ", "")
    if details in ("DeliveryTimedOut", "Undeliverable"):
        why = f"the Systems Manager agent of its instance {instance.id} does not fetch what it is to do"
        raise NobodyAnswers(remote, why)
    if status == "TimedOut":
        raise TimedOut(remote, timeout)
    if status not in ("Success", "Failed"):
        raise Ended(f"{remote.node.id}: the command was ended: {status}.")
    return Outcome(told["ResponseCode"], told["StandardOutputContent"], told["StandardErrorContent"])
