"""``federate status``: accounts, stacks, nodes and rounds, at a glance."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from infra.cli.context import Aws, Context, context
from infra.cli.faults import as_text

if TYPE_CHECKING:
    from infra.nodes.certified import Certified
    from infra.nodes.remote import Remote, Report
    from stacks.plan import StackPlan


@dataclass(frozen=True, slots=True)
class Line:
    """One node and its account. ``certificate`` is None where it has none."""

    node: str
    account: str
    region: str
    stacks: dict[str, str | None]
    desired: str
    report: Report
    certificate: Certified | None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: federate --json status")(status)


def status(ctx: typer.Context) -> None:
    """Show every account: its stacks, its node, what is wanted of it and what it does."""
    from infra.cli.deploy import place
    from infra.cli.identity_change import revoked_here
    from infra.cli.nodes import remotes_of
    from infra.deployment.assembly import synthesize
    from infra.deployment.condition import Stacks

    here = context(ctx)
    at = place(here)
    plan = synthesize(here.file, here.federation, home=here.home).plan
    stacks = Stacks(at.accounts)
    chosen = remotes_of(here, None)
    revoked = revoked_here(here)

    def look(remote: Remote) -> Line:
        return _line(remote, [stack for stack in plan.stacks if stack.node == remote.node.id], stacks, revoked)

    with ThreadPoolExecutor(min(16, len(chosen))) as pool:
        lines = list(pool.map(look, chosen))
    faults = _faults(here)
    here.answer(
        [{**_as_dict(line), "faults": [fault for fault in faults if fault["node"] == line.node]} for line in lines],
        "\n".join(filter(None, [_as_text(here, lines), as_text(faults)])),
    )


def _faults(here: Context) -> list[dict[str, Any]]:
    """Return what was done to the twin and not taken back; real accounts have none."""
    if here.aws is not Aws.LOOPBACK:
        return []
    from infra.local import twin

    found: list[dict[str, Any]] = twin.status().get("faults", [])
    return found


def _line(remote: Remote, planned: Sequence[StackPlan], stacks: Any, revoked: Collection[str]) -> Line:
    from infra.accounts import explained
    from infra.nodes.certified import certified
    from infra.nodes.control import desired_of
    from infra.nodes.remote import Report
    from node_bootstrap import contract

    with explained(remote.where):
        found = {stack.id: stacks.status(stack) for stack in planned}
    told = remote.parameters()
    desired = desired_of(remote)
    return Line(
        remote.node.id,
        remote.node.account,
        remote.node.region,
        found,
        desired.state if desired.run else "",
        Report.read(told.get(contract.STATE)),
        certified(told, revoked),
    )


def _as_dict(line: Line) -> dict[str, Any]:
    return {
        "node": line.node,
        "account": line.account,
        "region": line.region,
        "stacks": line.stacks,
        "desired": line.desired or None,
        **line.report.as_dict(),
        "certificate_expires": line.certificate.expires.isoformat() if line.certificate else None,
        "certificate_state": line.certificate.state.value if line.certificate else None,
    }


def _as_text(here: Context, lines: Sequence[Line]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from infra.cli.nodes import in_words

    table = Table(title=Text(f"{here.federation.name} ({here.aws} AWS)"), title_justify="left", header_style="bold")
    for column in ("node", "account", "Region", "stacks", "wanted", "state", "round", "AUROC", "certificate"):
        table.add_column(column)
    for line in lines:
        progress = line.report.progress
        rounds = f"{progress.get('round', 0)}/{progress['rounds']}" if progress.get("rounds") else ""
        auroc = (progress.get("metrics") or {}).get("auroc")
        table.add_row(
            line.node,
            line.account,
            line.region,
            _stacks_in_words(line.stacks),
            line.desired or "–",
            Text(in_words(line.report) if _is_deployed(line) else "not deployed"),
            rounds,
            f"{auroc:.3f}" if isinstance(auroc, int | float) else "",
            _expiry_in_words(line.certificate),
        )
    console = Console(width=200, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip()


def _is_deployed(line: Line) -> bool:
    return any(line.stacks.values())


def _stacks_in_words(stacks: dict[str, str | None]) -> str:
    good = [
        id_ for id_, status in stacks.items() if status and status.endswith("_COMPLETE") and "ROLLBACK" not in status
    ]
    others = [f"{id_} {status}" for id_, status in stacks.items() if status and id_ not in good]
    return ", ".join([f"{len(good)}/{len(stacks)}", *others])


def _expiry_in_words(certificate: Certified | None) -> str:
    """Return how long a certificate is good; what the next start renews, or nobody takes any more, stands out."""
    if certificate is None:
        return "none"
    days = (certificate.expires - datetime.now(UTC)).days
    if certificate.state == "revoked":
        return "revoked"
    if certificate.state == "expired":
        return f"expired {certificate.expires:%Y-%m-%d}"
    soon = ", expires soon" if certificate.state == "expires soon" else ""
    return f"{days} days left{soon}"
