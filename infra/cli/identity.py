"""``federate identity``: the certificate authority, for coordinators and hospitals who share no credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.cli.context import context
from infra.errors import FederateError


class NothingAsked(FederateError):
    """A node has not published a signing request, or a file cannot be used."""

    exit_code = 2


NodeId = Annotated[str, typer.Argument(metavar="NODE", help="aggregator, or a site.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Keys and certificates: what crosses accounts by hand is public.")
    group.command(epilog="Example: federate identity request hospital-a > hospital-a.csr.pem")(request)
    group.command(epilog="Example: federate identity sign hospital-a hospital-a.csr.pem > hospital-a.certificate.pem")(
        sign
    )
    group.command(epilog="Example: federate identity install hospital-a hospital-a.certificate.pem")(install)
    app.add_typer(group, name="identity")


def request(ctx: typer.Context, node: NodeId) -> None:
    """Print a node's signing request, from the node's own account: a hospital hands it to the coordinator."""
    from infra.cli.nodes import remotes_of
    from node_bootstrap import contract

    here = context(ctx)
    (remote,) = remotes_of(here, [node])
    found = remote.parameters().get(contract.REQUEST)
    if found is None:
        raise NothingAsked(
            f"{node} has published no signing request yet.", remedy="It does when it has booted: federate status."
        )
    here.answer({"node": node, "request": found}, found.strip())


def sign(
    ctx: typer.Context,
    node: NodeId,
    file: Annotated[Path, typer.Argument(metavar="REQUEST", help="The signing request, PEM.")],
) -> None:
    """Sign a node's request with the coordinator's authority; prints certificate and authority, in this order."""
    from infra.cli.supplying import authority_of
    from infra.federation.derive import nodes

    here = context(ctx)
    known = {one.id: one for one in nodes(here.federation)}
    if node not in known:
        raise NothingAsked(f"The federation has no node {node!r}.", remedy=f"There are {', '.join(known)}.")
    authority = authority_of(here)
    days = here.federation.security.certificate_days
    certificate = authority.sign(_read(file).encode(), known[node], days=days).decode("ascii")
    both = certificate + authority.pem.decode("ascii")
    here.answer({"node": node, "certificate": certificate, "authority": authority.pem.decode("ascii")}, both.strip())


def install(
    ctx: typer.Context,
    node: NodeId,
    file: Annotated[Path, typer.Argument(metavar="CERTIFICATE", help="What `identity sign` printed.")],
) -> None:
    """Give a node its certificate, in the node's own account."""
    from infra.cli.nodes import remotes_of
    from node_bootstrap import contract

    here = context(ctx)
    (remote,) = remotes_of(here, [node])
    begin = "-----BEGIN CERTIFICATE-----"
    parts = [f"{begin}{part}" for part in _read(file).split(begin)[1:]]
    if len(parts) != 2:
        raise NothingAsked(
            f"{file} holds {len(parts)} certificates; two are due, the node's and the authority's.",
            remedy="Give the file that federate identity sign printed, whole.",
        )
    certificate, authority = parts
    remote.put(contract.AUTHORITY, authority)
    remote.put(contract.CERTIFICATE, certificate)
    here.answer({"node": node}, f"{node} has its certificate; federate status shows when it has taken it.")


def _read(file: Path) -> str:
    try:
        return file.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise NothingAsked(f"{file} cannot be read: {error}.", remedy="Name a file in PEM.") from None
