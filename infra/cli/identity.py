"""``federate identity``: who may take part, by which certificate, and how that changes while rounds go on."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import identity_authority, identity_change
from infra.cli.context import Context, context
from infra.errors import FederateError

if TYPE_CHECKING:
    from cryptography import x509

    from infra.nodes.certified import Certified


class NothingAsked(FederateError):
    """A node has not published a signing request, or a file cannot be used."""

    exit_code = 2


NodeId = Annotated[str, typer.Argument(metavar="NODE", help="aggregator, or a site.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Keys and certificates: what crosses accounts by hand is public.")
    group.command(epilog="Example: federate identity show")(show)
    group.command(epilog="Example: federate identity request hospital-a > hospital-a.csr.pem")(request)
    group.command(epilog="Example: federate identity sign hospital-a hospital-a.csr.pem > hospital-a.certificate.pem")(
        sign
    )
    group.command(epilog="Example: federate identity install hospital-a hospital-a.certificate.pem")(install)
    identity_change.register(group)
    identity_authority.register(group)
    app.add_typer(group, name="identity")


def show(
    ctx: typer.Context,
    who: Annotated[list[str] | None, typer.Argument(metavar="[NODE]...", help="Which nodes; all if left out.")] = None,
) -> None:
    """Show the certificates: of each node, and of the authority; until when, and whether the node has taken it."""
    from infra.cli.nodes import remotes_of
    from infra.federation.derive import AGGREGATOR_ID
    from infra.nodes.certified import certified
    from node_bootstrap import contract
    from node_bootstrap.contract import Unreadable

    here = context(ctx)
    told = {remote.node.id: remote.parameters() for remote in remotes_of(here, who)}
    revoked = set(identity_change.revoked_here(here))
    try:
        revoked |= set(contract.read_revoked(told.get(AGGREGATOR_ID, {})) or ())
    except Unreadable as error:
        here.say(f"{AGGREGATOR_ID}: {error}")
    found = {id_: certified(one, revoked) for id_, one in told.items()}
    authorities = _authorities(here, told)
    here.answer(
        {
            "nodes": [{"node": id_, **(one.document() if one else {"serial": None})} for id_, one in found.items()],
            "authorities": authorities,
            "stored": _is_stored(here),
        },
        _as_text(here, found, authorities),
    )


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
    """Sign a node's request with the coordinator's authority; prints certificate and authorities, in this order."""
    from infra.cli.supplying import authority_of
    from infra.federation.derive import nodes

    here = context(ctx)
    known = {one.id: one for one in nodes(here.federation)}
    if node not in known:
        raise NothingAsked(f"The federation has no node {node!r}.", remedy=f"There are {', '.join(known)}.")
    authority = authority_of(here)
    days = here.federation.security.certificate_days
    certificate = authority.sign(_read(file).encode(), known[node], days=days).decode("ascii")
    trusted = authority.bundle.decode("ascii")
    document = {"node": node, "certificate": certificate, "authority": trusted}
    here.answer(document, (certificate + trusted).strip())


def install(
    ctx: typer.Context,
    node: NodeId,
    file: Annotated[Path, typer.Argument(metavar="CERTIFICATE", help="What `identity sign` printed.")],
) -> None:
    """Give a node its certificate and what it is to trust, in the node's own account."""
    from infra.cli.nodes import remotes_of
    from infra.nodes.enrolment import install as install_at

    here = context(ctx)
    (remote,) = remotes_of(here, [node])
    install_at(remote, _read(file))
    here.answer(
        {"node": node}, f"{node} has its certificate; federate identity show {node} tells when it has taken it."
    )


def _read(file: Path) -> str:
    try:
        return file.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise NothingAsked(f"{file} cannot be read: {error}.", remedy="Name a file in PEM.") from None


def _authorities(here: Context, told: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    """Return what is known of the authorities: from the coordinator's folder, or else from the nodes' accounts."""
    from cryptography import x509

    from node_bootstrap import contract

    folder = identity_change.authority_folder(here)
    if folder.exists():
        authority = identity_change.authority_here(here)
        return [_authority(one, signs=one == authority.certificate) for one in authority.trusted]
    found: set[x509.Certificate] = set()
    for bundle in {one[contract.AUTHORITY] for one in told.values() if contract.AUTHORITY in one}:
        with contextlib.suppress(ValueError):  # its node says so itself
            found.update(x509.load_pem_x509_certificates(bundle.encode()))
    return [_authority(one, signs=None) for one in sorted(found, key=lambda one: one.not_valid_before_utc)]


def _authority(certificate: x509.Certificate, *, signs: bool | None) -> dict[str, Any]:
    from cryptography.hazmat.primitives.serialization import Encoding

    from infra.identity import condition, serial
    from node_bootstrap.contract import authority_name

    return {
        "name": authority_name(certificate.public_bytes(Encoding.DER)),
        "serial": serial(certificate),
        "issued": certificate.not_valid_before_utc.isoformat(),
        "expires": certificate.not_valid_after_utc.isoformat(),
        "state": condition(certificate, ()).value,
        "signs": signs,
    }


def _is_stored(here: Context) -> bool | None:
    from infra.nodes.safekeeping import is_stored

    folder = identity_change.authority_folder(here)
    return is_stored(folder) if folder.exists() else None


def _as_text(here: Context, found: Mapping[str, Certified | None], authorities: list[dict[str, Any]]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"Certificates of {here.federation.name}"), title_justify="left", header_style="bold")
    for column in ("node", "serial", "issued", "expires", "state", "in use", "trusts"):
        table.add_column(column)
    for id_, one in found.items():
        if one is None:
            table.add_row(id_, "–", "", "", "none", "", "")
            continue
        days = (f"{one.issued:%Y-%m-%d}", f"{one.expires:%Y-%m-%d}")
        taken = "yes" if one.in_use else f"not yet{f': {one.problem}' if one.problem else ''}"
        table.add_row(id_, one.serial, *days, one.state.value, Text(taken), " ".join(one.trusts))
    signs = {True: "signs", False: "trusted, does not sign", None: ""}
    for each in authorities:
        days = (each["issued"][:10], each["expires"][:10])
        table.add_row(f"authority {each['name']}", each["serial"], *days, each["state"], signs[each["signs"]], "")
    console = Console(width=200, highlight=False)
    with console.capture() as captured:
        console.print(table)
    lines = [captured.get().rstrip()]
    if here.aws == "real" and identity_change.authority_folder(here).exists() and not _is_stored(here):
        lines.append("The authority is not stored as it is now; back it up: federate identity store.")
    return "\n".join(lines)
