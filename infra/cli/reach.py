"""``federate ssh``, ``run`` and ``unit``: a shell on a node, a command on nodes, the unit that runs their agents."""

from __future__ import annotations

import shlex
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from infra.cli.context import Context, context
from infra.cli.nodes import remotes_of
from infra.errors import FederateError

if TYPE_CHECKING:
    from infra.nodes.reach import Outcome, Transport
    from infra.nodes.remote import Remote

_COMMAND = "federate.command"
_AT_ONCE = 16
_UNIT_SECONDS = 60.0
#: Several nodes were asked, and a command did not succeed on all of them.
_NOT_EVERYWHERE = 6

Nodes = Annotated[list[str], typer.Argument(metavar="[clients|server|NODE]...", help="Which nodes.")]
Seconds = Annotated[
    float, typer.Option("--timeout", min=1, max=86_400, help="How long a command may take, in seconds.")
]


class Over(StrEnum):
    """The way to a node."""

    SSM = "ssm"
    SSH = "ssh"


Way = Annotated[Over, typer.Option("--over", help="By Systems Manager, as root, or by SSH, as federate-operator.")]


class NoCommand(FederateError):
    """There is nothing to run."""

    exit_code = 2


class RemoteExit(int):
    """The exit code of what ran on a node: passed on whatever it is, 130 of a shell included."""


class _WithCommand(TyperCommand):
    """A command after whose own arguments, behind ``--``, another command line follows as it stands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            args, ctx.meta[_COMMAND] = args[:at], args[at + 1 :]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(cls=_WithCommand, epilog="Example: federate ssh hospital-a -- uptime")(ssh)
    app.command(cls=_WithCommand, epilog="Example: federate run clients -- df -h /var/lib/federate/state")(run)
    app.command(epilog="Example: federate unit restart hospital-a --over ssh")(unit)


def ssh(ctx: typer.Context, node: Annotated[str, typer.Argument(metavar="NODE", help="Which node.")]) -> RemoteExit:
    """Open a shell on a node, or run a command there, through its account's Instance Connect Endpoint.

    The key is made for this one connection; the node is known by the host key that it has published in its account.
    Several words are one command with its arguments; a single one is a line of shell. Its exit code is this one's.
    """
    here = context(ctx)
    given = _command(ctx)
    (remote,) = _one(remotes_of(here, [node]))
    if here.json:
        if given is None:
            raise NoCommand("--json is for a command, and none is given.", remedy="federate --json ssh NODE -- COMMAND")
        return _run(here, (remote,), given, Over.SSH, _UNIT_SECONDS)
    from infra.nodes.reach.shell import interact

    return RemoteExit(interact(remote, given))


def run(ctx: typer.Context, nodes: Nodes, over: Way = Over.SSM, timeout: Seconds = 60.0) -> RemoteExit:
    """Run a command on nodes, side by side, and show what came of it.

    Several words are one command with its arguments; a single one is a line of shell. With one node, its exit code is
    this one's; with several it is 0, or 6 where the command did not succeed on all.
    """
    given = _command(ctx)
    if given is None:
        raise NoCommand("There is no command.", remedy="It follows the nodes: federate run hospital-a -- uptime")
    here = context(ctx)
    return _run(here, remotes_of(here, nodes), given, over, timeout)


def unit(
    ctx: typer.Context,
    action: Annotated[str, typer.Argument(metavar="start|stop|restart|status|logs", help="What to do.")],
    nodes: Nodes,
    over: Way = Over.SSM,
    timeout: Seconds = _UNIT_SECONDS,
) -> RemoteExit:
    """Act on federate-agent.service, which runs a node's agent: for a node that does not do as it is wanted.

    Training is started and stopped by federate start and stop: the agent does what they want, once it runs.
    """
    from infra.nodes.reach.unit import Action, command

    if action not in list(Action):
        raise NoCommand(f"The unit has no {action!r}.", remedy=f"There is {', '.join(Action)}.")
    here = context(ctx)
    remotes = remotes_of(here, nodes)
    as_root = _transport(over, threading.Event()).as_root
    return _run(here, remotes, command(Action(action), as_root=as_root), over, timeout)


def _command(ctx: typer.Context) -> str | None:
    """Return what follows ``--`` as a line of shell; None where nothing does."""
    given: Sequence[str] = ctx.meta.get(_COMMAND, ())
    if not given:
        return None
    return given[0] if len(given) == 1 else shlex.join(given)


def _one(remotes: Sequence[Remote]) -> Sequence[Remote]:
    if len(remotes) != 1:
        names = ", ".join(remote.node.id for remote in remotes)
        raise NoCommand(f"A shell is on one node; these are {len(remotes)}: {names}.")
    return remotes


def _transport(over: Over, stop: threading.Event) -> Transport:
    from infra.nodes.reach import Ssh, Ssm

    return Ssh(stop) if over is Over.SSH else Ssm(stop)


def _run(here: Context, remotes: Sequence[Remote], command: str, over: Over, timeout: float) -> RemoteExit:
    stop = threading.Event()
    transport = _transport(over, stop)

    def one(remote: Remote) -> Outcome | FederateError:
        try:
            return transport.run(remote, command, timeout)
        except FederateError as error:
            return error

    with ThreadPoolExecutor(min(_AT_ONCE, len(remotes))) as pool:
        try:
            found = dict(zip((remote.node.id for remote in remotes), pool.map(one, remotes), strict=True))
        except KeyboardInterrupt:
            stop.set()  # or the end of this block would wait for what nobody waits for any more
            raise
    if len(found) == 1:
        (only,) = found.values()
        if isinstance(only, FederateError):
            raise only
    if here.json:
        here.answer({id_: _document(outcome) for id_, outcome in found.items()}, "")
    else:
        _show(found)
    return _exit_code(found)


def _exit_code(found: dict[str, Outcome | FederateError]) -> RemoteExit:
    codes = [one.exit_code for one in found.values()]
    if len(codes) == 1:
        return RemoteExit(codes[0])
    return RemoteExit(_NOT_EVERYWHERE if any(codes) else 0)


def _document(outcome: Outcome | FederateError) -> dict[str, Any]:
    if isinstance(outcome, FederateError):
        return {"error": str(outcome), "exit_code": outcome.exit_code}
    return outcome.as_dict()


def _show(found: dict[str, Outcome | FederateError]) -> None:
    """Print what nodes wrote as it is; of several, each line with its node."""
    width = max(map(len, found))
    for id_, outcome in found.items():
        label = f"{id_:{width}} | " if len(found) > 1 else ""
        if isinstance(outcome, FederateError):
            texts = (("", sys.stdout), (f"{outcome}\n", sys.stderr))
        else:
            texts = ((outcome.stdout, sys.stdout), (outcome.stderr, sys.stderr))
        for text, stream in texts:
            stream.write("".join(f"{label}{line}" for line in text.splitlines(keepends=True)))
            if label and text and not text.endswith("\n"):
                stream.write("\n")
            stream.flush()
