"""Where the stand-in for the Systems Manager agent talks to the emulator, below ``/_federate/ssm/``.

AWS's agent speaks a protocol of its own with ``ssmmessages``, which is not public; this is not it. What it does, and
who may do it, is the same: an agent acts for the instance that it is on, with credentials of that instance's account.
"""

from __future__ import annotations

import json
from typing import Any

from werkzeug.wrappers import Request, Response

from infra.local.aws.additions.commands import Refused
from infra.local.aws.additions.run_command import RunCommand

PREFIX = "/_federate/ssm/"
#: A poll that finds nothing waits so long at most: below the patience of whatever is on the way.
_LONGEST_WAIT_SECONDS = 20.0
_MOST_BYTES = 1 << 20
_TOLD = ("AgentVersion", "PlatformName", "PlatformVersion", "ComputerName", "IPAddress")


def answer(request: Request, account: str, region: str) -> Response:
    """Answer an agent.

    Args:
        request: JSON, with ``instance``. ``register`` has what is to be told of the agent besides, ``poll`` has
            ``wait`` (seconds), ``begin`` has ``command``, and ``report`` has ``command``, ``outcome``, ``exit_code``,
            ``stdout`` and ``stderr``.
        account: the one whose access key has signed the request.
        region: for which it was signed.
    """
    from infra.local.aws.additions.run_command_api import run_command, runs

    if request.method != "POST" or (request.content_length or 0) > _MOST_BYTES:
        return _refuse("ValidationException", f"a POST of at most {_MOST_BYTES} bytes is due", 400)
    try:
        asked = json.loads(request.get_data())
        instance = str(asked["instance"])
    except (ValueError, KeyError, TypeError):
        return _refuse("ValidationException", "the body is not JSON that names an instance", 400)
    if not runs(account, region, instance):
        message = f"account {account} has no running instance {instance} in {region}"
        return _refuse("AccessDeniedException", message, 403)
    try:
        told = _act(run_command(account, region), request.path.removeprefix(PREFIX), instance, asked)
    except Refused as error:
        return _refuse(error.code, str(error), 400)
    except (KeyError, TypeError, ValueError) as error:
        return _refuse("ValidationException", f"the body lacks or misstates {error}", 400)
    if told is None:
        return _refuse("UnknownOperationException", request.path, 404)
    return Response(json.dumps(told), content_type="application/json")


def _act(here: RunCommand, action: str, instance: str, asked: dict[str, Any]) -> dict[str, Any] | None:
    if action == "register":
        here.register(instance, {name: str(asked[name]) for name in _TOLD if name in asked})
        return {}
    if action == "poll":
        return here.poll(instance, min(max(float(asked.get("wait", 0)), 0.0), _LONGEST_WAIT_SECONDS))
    if action == "begin":
        here.begin(str(asked["command"]), instance)
        return {}
    if action == "report":
        words = (str(asked.get("stdout", "")), str(asked.get("stderr", "")))
        here.report(str(asked["command"]), instance, str(asked["outcome"]), int(asked["exit_code"]), *words)
        return {}
    return None


def _refuse(code: str, message: str, status: int) -> Response:
    body = json.dumps({"__type": code, "message": message})
    return Response(body, status=status, content_type="application/x-amz-json-1.1")
