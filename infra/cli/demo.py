"""``federate demo``: a whole federation on this machine, from nothing to its result and back."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.context import Aws, Context, context
from infra.cli.local import Depth, OrProcesses, chosen
from infra.errors import FederateError

if TYPE_CHECKING:
    from infra.deployment.audit import Audit
    from infra.nodes.results import Brought

#: The demo's own state, so that it never meets a federation that was deployed into loopback AWS on purpose.
_HOME = "demo"
_STEPS = 6


class DemoStopped(FederateError):
    """The user stopped the demo."""

    exit_code = 130


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: federate demo --eicu eicu-demo")(demo)


def demo(
    ctx: typer.Context,
    eicu: Annotated[
        Path | None,
        typer.Option(
            "--eicu", envvar="EICU_DIR", metavar="DIR", help="Folder with eICU's tables; synthetic if left out."
        ),
    ] = None,
    depth: Depth = None,
    or_processes: OrProcesses = False,
) -> None:
    """Deploy into AWS on loopback through the CDK command, train, compare, report, and tear everything down."""
    from infra import local
    from infra.cli.results import upload
    from infra.local.twin import depth as depths

    given = context(ctx)
    deep = chosen(given, depth, or_processes=or_processes) or depths.DEFAULT
    depths.refuse_unless_possible(deep)
    os.environ["FEDERATE_HOME"] = str(given.home / _HOME)
    os.environ["FEDERATE_DEPTH"] = deep.value
    here = Context(given.file, Aws.LOOPBACK, given.json, makes_nodes=True)
    clock = _Steps(here)
    local.down()  # of a demo that was killed
    try:
        brought, audit = _run(here, eicu, clock)
    except (KeyboardInterrupt, FederateError) as error:
        if isinstance(error, KeyboardInterrupt) or error.exit_code == DemoStopped.exit_code:
            raise DemoStopped(
                "Stopped: loopback AWS ends, and with it the demo's accounts and nodes.",
                remedy="make demo begins anew.",
            ) from None
        _keep_logs(here)
        raise
    finally:
        # Whatever ended it: nodes, accounts and the copies of patients' data are gone. The results stay.
        local.down()
        shutil.rmtree(here.home / "data", ignore_errors=True)
    seconds = clock.seconds()
    _tell(here, brought, audit, seconds)
    upload(here, brought)


def _run(here: Context, eicu: Path | None, step: _Steps) -> tuple[Brought, Audit]:
    from infra.cli.deploy import place
    from infra.cli.nodes import follow, remotes_of
    from infra.cli.results import bring
    from infra.cli.supplying import bring_up, data_of
    from infra.nodes import control

    federation = here.federation
    names = ", ".join(site.id for site in federation.participants)
    with step("data", f"Data for {names}"):
        everybody = remotes_of(here, None)
        data_of(here, everybody, eicu)
    with step("deploy", f"Deploying {len(federation.participants) + 1} accounts into AWS on loopback"):
        at = place(here)
        at.deploy()
    with step("bring_up", "Bringing up the nodes"):
        bring_up(here, everybody, eicu)
    with step("train", "Starting the clients, then the server"):
        control.start(everybody[1:])
        started = control.start(everybody[:1])
        follow(here, started[everybody[0].node.id])
    with step("compare", "Comparing and reporting"):
        brought = bring(here)
    with step("destroy", "Tearing down"):
        audit = at.destroy()
        audit.verdict()
    return brought, audit


def _keep_logs(here: Context) -> None:
    """Write the nodes' logs to files while their accounts still have them, and say where."""
    from infra.accounts import AwsAccounts
    from infra.nodes.remote import remotes

    folder = here.home / "logs" / here.federation.name / "nodes"
    with contextlib.suppress(FederateError):
        for remote in remotes(here.federation, AwsAccounts()):
            lines = [line.text.rstrip() for line in remote.log_lines()]
            if lines:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{remote.node.id}.log").write_text("\n".join([*lines, ""]), "utf-8")
                here.say(f"The log of {remote.node.id} is kept: {folder / remote.node.id}.log")


class _Steps:
    """Announces the demo's steps and measures them."""

    def __init__(self, here: Context) -> None:
        self._here = here
        self._began = time.monotonic()
        self._seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, name: str, title: str) -> Iterator[None]:
        """Announce a step and measure the block."""
        self._here.say(f"\n== {len(self._seconds) + 1}/{_STEPS} {title}")
        began = time.monotonic()
        yield
        self._seconds[name] = round(time.monotonic() - began, 1)

    def seconds(self) -> dict[str, float]:
        """Return the wall time of each step, and of all."""
        return {**self._seconds, "total": round(time.monotonic() - self._began, 1)}


def _tell(here: Context, brought: Brought, audit: Audit, seconds: dict[str, float]) -> None:
    from infra.cli.results import as_dict, as_text

    document: dict[str, Any] = {**as_dict(brought), "audit": audit.as_dict(), "seconds": seconds}
    took = ", ".join(f"{name.replace('_', ' ')} {value:.0f} s" for name, value in seconds.items())
    here.answer(
        document, f"\n{audit.text()}\nLoopback AWS has ended, and with it all of that.\n\n{as_text(brought)}\n\n{took}"
    )
