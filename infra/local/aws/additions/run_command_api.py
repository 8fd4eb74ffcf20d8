"""Run Command in the Systems Manager API: what moto only records, an agent runs here.

Source: SendCommand, GetCommandInvocation, ListCommands, ListCommandInvocations, CancelCommand and
DescribeInstanceInformation in the AWS Systems Manager API Reference.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models import ec2_backends
from moto.ssm.responses import SimpleSystemManagerResponse

from infra.local.aws.additions.commands import Agent, Command, Invocation, Refused
from infra.local.aws.additions.refusal import ServiceRefusal
from infra.local.aws.additions.run_command import DOCUMENT, PLUGIN, RunCommand

#: ListCommandInvocations tells no more than so much of an output.
_LISTED_CHARACTERS = 2500
_FILTERED_BY = ("InstanceIds", "PingStatus")
_all: dict[tuple[str, str], RunCommand] = {}
_making = threading.Lock()


def run_command(account: str, region: str) -> RunCommand:
    """Return the commands and agents of an account and Region."""
    with _making:
        return _all.setdefault((account, region), RunCommand())


def runs(account: str, region: str, instance: str) -> bool:
    """Say whether an account has an instance in a Region, and it runs."""
    found = ec2_backends[account][region].get_instance_by_id(instance)
    return found is not None and found.state == "running"


def add() -> None:
    """Have the calls answered here."""
    for call in (
        _send_command,
        _list_commands,
        _get_command_invocation,
        _list_command_invocations,
        _cancel_command,
        _describe_instance_information,
    ):
        setattr(SimpleSystemManagerResponse, call.__name__.removeprefix("_"), _refusing(call))


def _refusing(call: Callable[[Any], ActionResult]) -> Callable[[Any], ActionResult]:
    @functools.wraps(call)
    def answer(self: Any) -> ActionResult:
        try:
            return call(self)
        except Refused as error:
            raise ServiceRefusal(error.code, str(error)) from None

    return answer


def _here(self: Any) -> RunCommand:
    return run_command(self.current_account, self.region)


def _send_command(self: Any) -> ActionResult:
    if self._get_param("Targets"):
        raise Refused("ValidationException", "loopback AWS does not implement Targets: name InstanceIds")
    delivery = self._get_param("TimeoutSeconds")
    instances = list(self._get_param("InstanceIds") or [])
    here = _here(self)
    for instance in instances:
        if not runs(self.current_account, self.region, instance):
            here.forget(instance)
    try:
        command = here.send(
            instances,
            str(self._get_param("DocumentName")),
            dict(self._get_param("Parameters") or {}),
            comment=str(self._get_param("Comment") or ""),
            delivery_seconds=int(delivery) if delivery else None,
        )
    except Refused as error:
        if error.code != "InvalidInstanceId":
            raise
        named = ", ".join(instances)
        message = f"Instances [[{named}]] not in a valid state for account {self.current_account}"
        raise Refused(error.code, message) from None
    return ActionResult({"Command": _command(command)})


def _list_commands(self: Any) -> ActionResult:
    found = _here(self).commands(self._get_param("CommandId"), self._get_param("InstanceId"))
    return ActionResult({"Commands": [_command(command) for command in reversed(found)]})


def _get_command_invocation(self: Any) -> ActionResult:
    command, invocation = _here(self).invocation(self._get_param("CommandId"), self._get_param("InstanceId"))
    plugin = self._get_param("PluginName")
    if plugin not in (None, PLUGIN):
        raise Refused("InvalidPluginName", "")
    seconds = max(0.0, invocation.ended_at - invocation.began_at) if invocation.began_at else 0.0
    return ActionResult(
        {
            "CommandId": command.id,
            "InstanceId": invocation.instance,
            "Comment": command.comment,
            "DocumentName": DOCUMENT,
            "DocumentVersion": "$DEFAULT",
            "PluginName": PLUGIN,
            "ResponseCode": invocation.exit_code,
            "ExecutionStartDateTime": _iso(invocation.began_at),
            "ExecutionElapsedTime": f"PT{seconds:.3f}S" if invocation.ended_at and invocation.began_at else "",
            "ExecutionEndDateTime": _iso(invocation.ended_at) if invocation.began_at else "",
            "Status": invocation.status,
            "StatusDetails": invocation.details,
            "StandardOutputContent": invocation.stdout,
            "StandardOutputUrl": "",
            "StandardErrorContent": invocation.stderr,
            "StandardErrorUrl": "",
        }
    )


def _list_command_invocations(self: Any) -> ActionResult:
    wanted = self._get_param("InstanceId")
    with_details = bool(self._get_param("Details"))
    return ActionResult(
        {
            "CommandInvocations": [
                _listed(command, invocation, with_details)
                for command in reversed(_here(self).commands(self._get_param("CommandId"), wanted))
                for invocation in command.invocations.values()
                if wanted in (None, invocation.instance)
            ]
        }
    )


def _cancel_command(self: Any) -> ActionResult:
    _here(self).cancel(self._get_param("CommandId"), list(self._get_param("InstanceIds") or []))
    return EmptyResult()


def _describe_instance_information(self: Any) -> ActionResult:
    found = [
        _information(agent, online)
        for agent, online in _here(self).agents()
        if runs(self.current_account, self.region, agent.instance)
    ]
    wanted: dict[str, list[str]] = {one["Key"]: one["Values"] for one in self._get_param("Filters") or []}
    wanted |= {one["key"]: one["valueSet"] for one in self._get_param("InstanceInformationFilterList") or []}
    for key, values in wanted.items():
        if key not in _FILTERED_BY:
            raise Refused("InvalidFilterKey", f"loopback AWS filters by {', '.join(_FILTERED_BY)}, not by {key}")
        name = "InstanceId" if key == "InstanceIds" else key
        found = [one for one in found if one[name] in values]
    return ActionResult({"InstanceInformationList": found})


def _command(command: Command) -> dict[str, Any]:
    statuses = [invocation.status for invocation in command.invocations.values()]
    return {
        "CommandId": command.id,
        "DocumentName": DOCUMENT,
        "DocumentVersion": "$DEFAULT",
        "Comment": command.comment,
        "ExpiresAfter": _time(command.asked_at + command.delivery_seconds + command.execution_seconds),
        "Parameters": {name: list(values) for name, values in command.parameters.items()},
        "InstanceIds": list(command.invocations),
        "Targets": [],
        "RequestedDateTime": _time(command.asked_at),
        "Status": command.status,
        "StatusDetails": command.status,
        "MaxConcurrency": "50",
        "MaxErrors": "0",
        "TargetCount": len(statuses),
        "CompletedCount": sum(status not in ("Pending", "InProgress", "Cancelling") for status in statuses),
        "ErrorCount": statuses.count("Failed"),
        "DeliveryTimedOutCount": sum(one.details == "Delivery Timed Out" for one in command.invocations.values()),
        "TimeoutSeconds": command.delivery_seconds,
    }


def _listed(command: Command, invocation: Invocation, with_details: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "CommandId": command.id,
        "InstanceId": invocation.instance,
        "Comment": command.comment,
        "DocumentName": DOCUMENT,
        "RequestedDateTime": _time(command.asked_at),
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "CommandPlugins": [],
    }
    if with_details:
        plugin: dict[str, Any] = {
            "Name": PLUGIN,
            "Status": invocation.status,
            "StatusDetails": invocation.details,
            "ResponseCode": invocation.exit_code,
            "Output": (invocation.stdout or invocation.stderr)[:_LISTED_CHARACTERS],
        }
        if invocation.began_at:
            plugin["ResponseStartDateTime"] = _time(invocation.began_at)
        if invocation.ended_at:
            plugin["ResponseFinishDateTime"] = _time(invocation.ended_at)
        told["CommandPlugins"] = [plugin]
    return told


def _information(agent: Agent, online: bool) -> dict[str, Any]:
    return {
        "InstanceId": agent.instance,
        "PingStatus": "Online" if online else "ConnectionLost",
        "LastPingDateTime": _time(agent.seen_at),
        "RegistrationDate": _time(agent.registered_at),
        "IsLatestVersion": True,
        "PlatformType": "Linux",
        "ResourceType": "EC2Instance",
        "SourceId": agent.instance,
        "SourceType": "AWS::EC2::Instance",
        **agent.told,
    }


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _iso(at: float) -> str:
    return _time(at).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else ""
