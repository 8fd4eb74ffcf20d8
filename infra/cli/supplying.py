"""``federate supply`` and ``approve``: what nodes are to run, and that their accounts' admins agree to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.context import Context, context

if TYPE_CHECKING:
    from infra.identity import Authority
    from infra.nodes.release import Release
    from infra.nodes.remote import Remote, Report

Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="NODE", help="This node only: aggregator or a site; may be repeated."),
]
Eicu = Annotated[
    Path | None,
    typer.Option(
        "--eicu", envvar="EICU_DIR", metavar="DIR", help="Folder with eICU's tables; synthetic ones if left out."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: federate supply --only hospital-a --eicu eicu-demo")(supply)
    app.command(epilog="Example: federate approve --only hospital-a")(approve)


def release_of(here: Context) -> Release:
    """Build the release, or find it built."""
    from infra.nodes.release import build

    return build(here.federation, here.home / "releases")


def authority_of(here: Context) -> Authority:
    """Open the federation's certificate authority, which is made with the first use."""
    from infra.identity import Authority

    return Authority.open(_authority_folder(here), here.federation.name)


def _authority_folder(here: Context) -> Path:
    return here.home / "identity" / here.federation.name


def data_of(here: Context, chosen: Sequence[Remote], eicu: Path | None) -> Mapping[str, Path]:
    """Return the data folders of the sites among some nodes, dealt if need be."""
    from infra.nodes.data import site_folders

    only = [remote.node.id for remote in chosen]
    return site_folders(here.federation, here.file, home=here.home, only=only, eicu=eicu, say=here.say)


def bring_up(here: Context, chosen: Sequence[Remote], eicu: Path | None) -> dict[str, Report]:
    """Give deployed nodes what they are to run and their certificates, and wait until they are ready.

    Only where the coordinator sits are certificates signed; elsewhere a node has come up when it waits for its own.
    """
    from infra.nodes.bring_up import make_ready, nodes_table, supply_all

    data = data_of(here, chosen, eicu)
    release = release_of(here)
    authority = _authority_for(here, chosen)
    with nodes_table(f"Bringing up the nodes of {here.federation.name}", chosen) as table:
        supply_all(chosen, here.federation, release, data, table)
        found = make_ready(chosen, here.federation, authority, table)
    if authority is None:
        here.say("The coordinator signs what this prints: federate identity request NODE (docs/operating.md).")
    return found


def await_ready(here: Context, chosen: Sequence[Remote]) -> dict[str, Report]:
    """Wait until nodes that were made anew are up; what they run and their data are in their accounts already."""
    from infra.nodes.bring_up import make_ready, nodes_table

    authority = _authority_for(here, chosen)
    with nodes_table(f"Bringing up the nodes of {here.federation.name}", chosen) as table:
        return make_ready(chosen, here.federation, authority, table)


def _authority_for(here: Context, chosen: Sequence[Remote]) -> Authority | None:
    """Return the certificate authority where the coordinator sits, and None elsewhere."""
    is_coordinator = _authority_folder(here).exists() or any(remote.node.role == "aggregator" for remote in chosen)
    return authority_of(here) if is_coordinator else None


def supply_run_files(here: Context, chosen: Sequence[Remote]) -> None:
    """Write the run files anew before a start: what federation.yaml says now is what runs.

    Certificates that are about to expire are renewed where the coordinator sits.
    """
    from infra.nodes.enrolment import enrol
    from infra.nodes.supply import supply as supply_node

    release = release_of(here)
    authority = authority_of(here) if _authority_folder(here).exists() else None
    for remote in chosen:
        supply_node(remote, here.federation, release, None, approve=False)
        if authority is not None:
            enrol(remote, here.federation, authority)


def supply(ctx: typer.Context, only: Only = None, eicu: Eicu = None) -> None:
    """Bring release, run files and data to nodes, into their own accounts' buckets."""
    from infra.cli.nodes import remotes_of
    from infra.nodes.bring_up import nodes_table, supply_all

    here = context(ctx)
    chosen = remotes_of(here, only)
    data = data_of(here, chosen, eicu)
    release = release_of(here)
    with nodes_table(f"Supplying the nodes of {here.federation.name}", chosen) as table:
        done = supply_all(chosen, here.federation, release, data, table)
    lines = [f"  {one.node}: {one.data_objects} objects of data, {one.uploaded / 1e6:.1f} MB sent" for one in done]
    document = {one.node: {"data_objects": one.data_objects, "uploaded_bytes": one.uploaded} for one in done}
    here.answer({"release": release.digest, "nodes": document}, "\n".join([f"Release {release.digest}", *lines]))


def approve(
    ctx: typer.Context,
    only: Only = None,
    digest: Annotated[
        str | None, typer.Option("--digest", metavar="SHA256", help="This release; the one built here if left out.")
    ] = None,
) -> None:
    """Let an account's node run a release, by its digest; the account's admin does this, and nobody else."""
    from infra.cli.nodes import remotes_of
    from infra.nodes.supply import approve as approve_node

    here = context(ctx)
    chosen = remotes_of(here, only)
    wanted = digest or release_of(here).digest
    for remote in chosen:
        approve_node(remote, wanted)
    here.answer(
        {remote.node.id: wanted for remote in chosen}, f"{', '.join(r.node.id for r in chosen)} may run {wanted}."
    )
