"""``federate identity rotate``, ``revoke``, ``admit`` and ``start-over``: what changes at one node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.context import Context, context
from infra.errors import FederateError

if TYPE_CHECKING:
    from infra.identity import Authority

NodeId = Annotated[str, typer.Argument(metavar="NODE", help="aggregator, or a site.")]
Wait = Annotated[float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait for nodes.")]


class NoAuthority(FederateError):
    """The authority is not here."""

    exit_code = 4


class NotConfirmed(FederateError):
    """What cannot be undone was asked for without saying so."""

    exit_code = 2


def register(group: typer.Typer) -> None:
    """Add the commands."""
    group.command(epilog="Example: federate identity rotate hospital-a")(rotate)
    group.command(epilog='Example: federate identity revoke hospital-a --reason "laptop stolen"')(revoke)
    group.command(epilog="Example: federate identity admit hospital-a")(admit)
    group.command("start-over", epilog="Example: federate identity start-over --yes, then: federate deploy")(start_over)


def authority_folder(here: Context) -> Path:
    """Return where the coordinator keeps the federation's authority."""
    return here.home / "identity" / here.federation.name


def authority_here(here: Context) -> Authority:
    """Open the federation's authority, which must be here.

    Raises:
        NoAuthority: it is not.
    """
    from infra.identity import Authority

    folder = authority_folder(here)
    if not folder.exists():
        raise NoAuthority(
            f"The authority of {here.federation.name} is not here: there is no {folder}.",
            remedy="The coordinator does this. On another machine of the coordinator's: federate identity fetch.",
        )
    return Authority.open(folder, here.federation.name)


def revoked_here(here: Context) -> frozenset[str]:
    """Return the serial numbers that were revoked, as far as the coordinator's folder is here."""
    from infra.identity.revocation import Revoked

    return Revoked.read(authority_folder(here)).serials


def rotate(ctx: typer.Context, node: NodeId, wait: Wait = 60.0) -> None:
    """Have a node make a new key and take a certificate of it, while its rounds go on; the old pair serves until then.

    Where the authority is elsewhere, the node makes the key and publishes the request, which is passed on by hand.
    """
    from infra.cli.nodes import remotes_of
    from infra.nodes import rotation as rotating
    from infra.nodes.certified import certified

    here = context(ctx)
    (remote,) = remotes_of(here, [node])
    name = rotating.ask(remote)
    if not authority_folder(here).exists():
        rotating.wait_for_request(remote, name, timeout_seconds=wait)
        here.answer(
            {"node": node, "rotation": name, "done": False},
            f"{node} has a new key and asks for its certificate; until then the old pair serves. "
            f"Pass it on: federate identity request {node}, sign, install.",
        )
        return
    rotating.rotate(remote, here.federation, authority_here(here), name, timeout_seconds=wait)
    found = certified(remote.parameters(), ())
    document = {"node": node, "rotation": name, "done": True, "serial": found.serial if found else None}
    here.answer(document, f"{node} uses a new key and the certificate {document['serial']}.")


def revoke(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(metavar="NODE|SERIAL", help="A site, or one certificate by its number.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")],
    wait: Wait = 60.0,
) -> None:
    """Revoke a site, or one certificate and its key: the hub closes its stream and takes it no more."""
    from infra.cli.nodes import remotes_of
    from infra.federation.derive import AGGREGATOR_ID
    from infra.nodes.enrolment import tell_revoked
    from infra.nodes.rotation import wait_until_refused

    here = context(ctx)
    authority = authority_here(here)
    found = authority.revoke(what, reason=reason)  # first, so that no failure to reach the hub loses it
    serials = [one.serial for one in found]
    node = found[0].node
    (hub,) = remotes_of(here, [AGGREGATOR_ID])
    refused = tell_revoked(hub, hub.parameters(), authority)
    wait_until_refused(hub, refused, timeout_seconds=wait)
    then = (
        f"{node} gets no certificate until: federate identity admit {node}."
        if node in authority.revoked.barred
        else f"Its key gets no certificate any more; if {node} uses it still: federate identity rotate {node}."
    )
    document = {"node": node, "serials": serials, "barred": node in authority.revoked.barred, "reason": reason}
    here.answer(document, f"Revoked: {', '.join(serials)}. The hub's node refuses it. {then}")


def admit(ctx: typer.Context, node: NodeId) -> None:
    """Let a revoked site ask for a certificate again, with a new key: what was revoked stays revoked."""
    here = context(ctx)
    authority_here(here).admit(node)
    here.answer({"node": node}, f"{node} may take part again. It needs a new key: federate identity rotate {node}.")


def start_over(
    ctx: typer.Context,
    who: Annotated[list[str] | None, typer.Argument(metavar="[NODE]...", help="Which nodes; all if left out.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Yes, the authority that they trust is lost.")] = False,
) -> None:
    """Have nodes forget an authority that is lost for good, so that the next deploy enrols them with a new one."""
    from infra.cli.nodes import remotes_of
    from infra.nodes.enrolment import start_over as forget

    here = context(ctx)
    if not yes:
        raise NotConfirmed(
            "Nodes that trust different authorities cannot talk: rounds stop until all are enrolled anew.",
            remedy="Look for a back-up first (federate identity fetch). If there is none, say --yes.",
        )
    chosen = remotes_of(here, who)
    for remote in chosen:
        forget(remote)
    names = [remote.node.id for remote in chosen]
    here.answer({"nodes": names}, f"{', '.join(names)} trust nobody now. federate deploy enrols them.")
