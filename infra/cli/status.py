"""``federate status``: accounts, stacks, ways, nodes and rounds, at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.context import Aws, Context, context
from infra.cli.faults import as_text

if TYPE_CHECKING:
    from infra.deployment.look import Sight
    from infra.nodes.certified import Certified
    from infra.nodes.remote import Remote, Report

_UNIT_SECONDS = 20.0
_DIGEST_CHARACTERS = 12


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: federate --json status")(status)


def status(
    ctx: typer.Context,
    units: Annotated[
        bool, typer.Option("--units", help="Ask each instance for its agent's unit as well, by Systems Manager.")
    ] = False,
) -> None:
    """Show every account: its stacks, its way to the hub, its node, what is wanted of it and what it does.

    An account that does not answer is a row that says so, and the exit code is that of the reason: 3 for credentials,
    4 if AWS does not answer or refuses.
    """
    from infra.cli.deploy import place
    from infra.cli.identity_change import revoked_here
    from infra.deployment.assembly import synthesize
    from infra.deployment.look import look
    from infra.nodes.remote import remotes

    here = context(ctx)
    at = place(here)
    plan = synthesize(here.file, here.federation, home=here.home).plan
    sights = look(remotes(here.federation, at.accounts), plan.stacks, at.accounts, revoked_here(here))
    faults = _faults(here)
    asked = _units(sights) if units else {}
    here.answer(
        [
            {**_as_dict(sight, asked), "faults": [fault for fault in faults if fault["node"] == sight.remote.node.id]}
            for sight in sights
        ],
        "\n".join(filter(None, [_as_text(here, sights, asked), *_troubles(sights), as_text(faults)])),
    )
    troubles = [trouble for sight in sights for trouble in sight.troubles]
    if troubles:
        raise typer.Exit(troubles[0].exit_code)


def _faults(here: Context) -> list[dict[str, Any]]:
    """Return what was done to the twin and not taken back; real accounts have none."""
    if here.aws is not Aws.LOOPBACK:
        return []
    from infra.local import twin

    found: list[dict[str, Any]] = twin.status().get("faults", [])
    return found


def _units(sights: Sequence[Sight]) -> dict[str, str]:
    """Ask the instances that run for their agents' units: ``active``, ``failed`` and so on, or that nobody answers."""
    from infra.errors import FederateError
    from infra.nodes.reach import Ssm
    from infra.nodes.reach.unit import UNIT

    def ask(remote: Remote) -> str:
        try:
            return Ssm().run(remote, f"systemctl is-active {UNIT}", _UNIT_SECONDS).stdout.strip() or "unknown"
        except FederateError:
            return "no answer"

    running = [sight.remote for sight in sights if sight.instance == "running"]
    with ThreadPoolExecutor(min(16, max(1, len(running)))) as pool:
        return dict(zip((remote.node.id for remote in running), pool.map(ask, running), strict=True))


def _as_dict(sight: Sight, units: Mapping[str, str]) -> dict[str, Any]:
    node, way, certificate = sight.remote.node, sight.way, sight.certificate
    return {
        "node": node.id,
        "account": node.account,
        "region": node.region,
        "stacks": dict(sight.stacks),
        "instance": sight.instance or None,
        **({"unit": units.get(node.id)} if units else {}),
        "way": {"peering": way.peering or None, "state": way.state, "route": way.route, "back": way.back}
        if way
        else None,
        "desired": sight.desired or None,
        **sight.report.as_dict(),
        "certificate_expires": certificate.expires.isoformat() if certificate else None,
        "certificate_state": certificate.state.value if certificate else None,
        "approved_release": sight.approved or None,
        "troubles": [str(trouble) for trouble in sight.troubles],
    }


def _as_text(here: Context, sights: Sequence[Sight], units: Mapping[str, str]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"{here.federation.name} ({here.aws} AWS)"), title_justify="left", header_style="bold")
    columns = ("node", "account", "Region", "stacks", "way", "instance", *(("unit",) if units else ()))
    for column in (*columns, "wanted", "state", "round", "AUROC", "certificate", "release"):
        table.add_column(column)
    for sight in sights:
        node = sight.remote.node
        table.add_row(
            *(node.id, node.account, node.region, _stacks_in_words(sight), _way_in_words(sight), sight.instance or "–"),
            *((units.get(node.id, "–"),) if units else ()),
            (sight.desired or "–") if sight.is_heard else "unknown",
            Text(_state_in_words(sight)),
            *_progress_in_words(sight.report),
            _expiry_in_words(sight.certificate) if sight.is_heard else "unknown",
            (sight.approved[:_DIGEST_CHARACTERS] or "–") if sight.is_heard else "unknown",
        )
    console = Console(width=220, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip()


def _troubles(sights: Sequence[Sight]) -> list[str]:
    """Return what did not answer, each once: an account that is unreachable says it at every question."""
    return list(dict.fromkeys(str(trouble) for sight in sights for trouble in sight.troubles))


def _state_in_words(sight: Sight) -> str:
    from infra.cli.nodes import in_words

    if not sight.remote.node.is_operated_here:
        return "its own admin's"
    if sight.troubles and not sight.stacks:
        return "does not answer"
    return in_words(sight.report) if sight.is_deployed else "not deployed"


def _progress_in_words(report: Report) -> tuple[str, str]:
    progress = report.progress
    rounds = f"{progress.get('round', 0)}/{progress['rounds']}" if progress.get("rounds") else ""
    auroc = (progress.get("metrics") or {}).get("auroc")
    return rounds, f"{auroc:.3f}" if isinstance(auroc, int | float) else ""


def _way_in_words(sight: Sight) -> str:
    from infra.federation.derive import AGGREGATOR_ID

    if sight.way is None:
        return "" if sight.remote.node.id == AGGREGATOR_ID else "unknown"
    return str(sight.way)


def _stacks_in_words(sight: Sight) -> str:
    if not sight.stacks:
        return "unknown"
    good = [
        id_
        for id_, status in sight.stacks.items()
        if status and status.endswith("_COMPLETE") and "ROLLBACK" not in status
    ]
    others = [f"{id_} {status}" for id_, status in sight.stacks.items() if status and id_ not in good]
    return ", ".join([f"{len(good)}/{len(sight.stacks)}", *others])


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
