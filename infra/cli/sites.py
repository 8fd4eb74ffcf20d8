"""``federate add-site`` and ``remove-site``: one block of the file, and no other site is touched."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.context import Aws, Context, context
from infra.errors import FederateError
from infra.federation.derive import AGGREGATOR_ID

if TYPE_CHECKING:
    from infra.handover.others import Comparison

#: What a site takes over from the one that it is like; whatever else stands in a block is that account's own.
_LIKE = ("region", "availability_zone", "instance_type", "image", "volume_gib", "spot", "gpu_mapping", "internet")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the change of the file; change nothing.")]


class NotConfirmed(FederateError):
    """What deletes a site's resources wants a person's yes."""

    exit_code = 2


class NotWritten(FederateError):
    """The federation's file, or its folder, is not writable."""

    exit_code = 2


class NoRange(FederateError):
    """There is no free range to propose."""

    exit_code = 2


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("add-site", epilog='Example: federate add-site hospital-c --account "444444444444" --like hospital-a')(
        add_site
    )
    app.command("remove-site", epilog="Example: federate remove-site hospital-c --yes")(remove_site)


def add_site(
    ctx: typer.Context,
    site: Annotated[str, typer.Argument(metavar="ID", help="The new site's name.")],
    account: Annotated[str, typer.Option("--account", metavar="ID", help="Its AWS account, 12 digits.")],
    cidr: Annotated[
        str | None, typer.Option("--cidr", metavar="RANGE", help="Its VPC's range; a free one if left out.")
    ] = None,
    like: Annotated[
        str | None, typer.Option("--like", metavar="SITE", help="Take hardware and Region from this site.")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", metavar="NAME", help="Its AWS profile; its own admin operates it if left out."),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Add a site's block to the file, once it is proven that no other site's templates change by a byte."""
    from infra.handover import block as blocks

    here = context(ctx, makes_nodes=True)
    _ = here.federation  # a file that describes none is refused with its problems
    text = _text(here)
    kept = {key: value for key, value in blocks.block_of(text, like).items() if key in _LIKE} if like else {}
    block = {
        "id": site,
        "account": account,
        **({"profile": profile} if profile else {"operated_by": "site"}),
        "cidr": cidr or _free(here),
        **kept,
    }
    after = blocks.with_block(text, block)
    comparison = _proven(here, after, site)
    _write(here, text, after, dry_run=dry_run)
    # Its image was shared with the sites of the time when it was made.
    share = "" if account == here.federation.aggregator.account else "federate image share, then "
    then = share + (
        f"federate deploy --only {AGGREGATOR_ID}, then federate export {site}"
        if profile is None
        else f"federate deploy --only {AGGREGATOR_ID} --only {site}, then federate start {site}"
    )
    _tell(here, text, after, comparison, {"site": site, "cidr": block["cidr"], "written": not dry_run}, f"Next: {then}")


def remove_site(
    ctx: typer.Context,
    site: Annotated[str, typer.Argument(metavar="ID", help="The site that leaves.")],
    keep: Annotated[bool, typer.Option("--keep", help="Leave its stacks deployed.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded with the revocation.")] = "it has left",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Take a site out: its certificate, its link and its stacks, then its block; no other site is touched."""
    from infra.handover import block as blocks

    here = context(ctx, makes_nodes=True)
    _ = here.federation  # a file that describes none is refused with its problems
    text = _text(here)
    after = blocks.without_block(text, site)
    comparison = _proven(here, after, site)
    if dry_run:
        _tell(here, text, after, comparison, {"site": site, "written": False}, "Nothing was changed.")
        return
    _confirm(here, site, yes=yes)
    done = list(_taken_out(here, site, keep=keep, reason=reason))
    _write(here, text, after, dry_run=False)
    done += _settle_the_hub(here, keep=keep)
    _tell(here, text, after, comparison, {"site": site, "written": True, "done": done}, "\n".join(done))


def _taken_out(here: Context, site: str, *, keep: bool, reason: str) -> Iterator[str]:
    """Revoke a site's certificate and delete its stacks; say what was done."""
    from infra.cli.deploy import place
    from infra.cli.identity_change import authority_folder, authority_here
    from infra.cli.nodes import remotes_of
    from infra.federation.derive import nodes
    from infra.identity import NothingToRevoke
    from infra.nodes.enrolment import tell_revoked

    if authority_folder(here).exists():
        authority = authority_here(here)
        with contextlib.suppress(NothingToRevoke):  # it never had one, or it has expired
            authority.revoke(site, reason=reason)
            yield f"Revoked: the certificates of {site}."
        (hub,) = remotes_of(here, [AGGREGATOR_ID])
        if hub.parameters():
            tell_revoked(hub, hub.parameters(), authority)
    else:
        yield f"The authority is not here: revoke {site} where it is (federate identity revoke)."
    node = next(one for one in nodes(here.federation) if one.id == site)
    if keep:
        yield f"Kept: the stacks of {site}; federate deploy deletes the hub's link to it, now that no block names it."
        return
    audit = place(here).destroy([site])
    if node.is_operated_here:
        audit.verdict()
        yield f"Deleted: the stacks of {site}, and the hub's link to it. {audit.text()}"
    else:
        yield f"Deleted: the hub's link to {site}. Its own stacks its admin deletes: python3 site.py destroy."


def _settle_the_hub(here: Context, *, keep: bool) -> list[str]:
    """Take back the role that would accept the site's peering, and give the aggregator's node the new roster.

    The node takes it over while it runs.
    """
    from infra.cli.deploy import place
    from infra.cli.nodes import remotes_of
    from infra.cli.supplying import supply_run_files
    from infra.nodes.remote import NotDeployed
    from infra.nodes.supply import NotApproved

    fresh = Context(here.file, here.aws, here.json, here.makes_nodes)
    done = []
    (hub,) = hubs = remotes_of(fresh, [AGGREGATOR_ID])
    try:
        hub.stack_output("Network", "VpcId")
        if not keep:
            place(fresh).update_hub()
            done.append("Taken back: the hub's role that accepts its peering.")
        supply_run_files(fresh, hubs)
    except NotDeployed:
        return done
    except NotApproved as error:
        return [*done, f"The aggregator's roster is as before: {error}"]
    return [*done, "The aggregator has its new roster."]


def _free(here: Context) -> str:
    from infra.federation.cidr import free_range

    taken = [here.federation.aggregator.cidr, *(site.cidr for site in here.federation.participants)]
    found = free_range(here.federation.participants[-1].cidr, taken)
    if found is None:
        raise NoRange("No private range of the last site's size is free.", remedy="Name a smaller one: --cidr RANGE.")
    return str(found)


def _proven(here: Context, after: str, site: str) -> Comparison:
    """Check the new text as a whole, and that it changes no other site's templates.

    Raises:
        InvalidFederation: it is no federation.
        OthersTouched: another site's templates would be others.
    """
    from infra.deployment.assembly import synthesize
    from infra.federation.load import load_text
    from infra.handover.others import compare

    changed = load_text(after, here.file).federation
    before = synthesize(here.file, here.federation, home=here.home)
    proposed = here.file.with_name(f".{here.file.name}.proposed")
    with _written(here):
        proposed.write_text(after, "utf-8")
    try:
        return compare(before, synthesize(proposed, changed, home=here.home / "proposed"), site)
    finally:
        proposed.unlink(missing_ok=True)


def _text(here: Context) -> str:
    """Return the federation's file as it is written, its line ends included."""
    from infra.federation.load import text_of

    return text_of(here.file)


@contextlib.contextmanager
def _written(here: Context) -> Iterator[None]:
    """Turn what keeps a file from being written beside the federation's into an error that says so."""
    try:
        yield
    except OSError as error:
        raise NotWritten(
            f"{here.file} cannot be changed: {error.strerror}.",
            remedy="The folder that it lies in must be writable; a new text is written beside it first.",
        ) from None


def _confirm(here: Context, site: str, *, yes: bool) -> None:
    if yes or here.aws is not Aws.REAL:
        return
    if not sys.stdin.isatty():
        raise NotConfirmed(f"Nobody is there to confirm that {site} is taken out.", remedy="Add --yes.")
    typer.confirm(f"Take {site} out of {here.federation.name}?", abort=True)


def _write(here: Context, before: str, after: str, *, dry_run: bool) -> None:
    """Replace the file in one step, unless somebody else has changed it meanwhile."""
    if dry_run:
        return
    file: Path = here.file.resolve()
    if _text(here) != before:
        raise FederateError(
            f"{here.file} was changed meanwhile; it is left as it is.", remedy="The same command again."
        )
    part = file.with_name(f".{file.name}.part")
    with _written(here):
        part.write_text(after, "utf-8")
        part.chmod(file.stat().st_mode & 0o777)
        part.replace(file)


def _tell(here: Context, before: str, after: str, comparison: Comparison, document: dict[str, Any], then: str) -> None:
    from dataclasses import asdict

    from infra.handover.block import difference

    changes = difference(before, after, here.file.name)
    here.answer(
        {**document, "diff": changes, "templates": asdict(comparison)}, f"{changes}\n{comparison.text()}\n{then}"
    )
