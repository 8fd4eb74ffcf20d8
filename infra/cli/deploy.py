"""``federate plan``, ``deploy``, ``replace``, ``diff`` and ``destroy``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.context import Aws, Context, context
from infra.cli.supplying import Eicu
from infra.errors import FederateError

if TYPE_CHECKING:
    from infra.deployment.assembly import Assembly
    from infra.deployment.place import Place

Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="NODE", help="This node's stacks only: aggregator or a site; may be repeated."),
]


class NotConfirmed(FederateError):
    """What deletes real resources wants a person's yes."""

    exit_code = 2


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: federate plan")(plan)
    app.command(epilog="Example: federate --aws loopback deploy --only hospital-a")(deploy)
    app.command(epilog="Example: federate replace hospital-a")(replace)
    app.command(epilog="Example: federate diff --fail")(diff)
    app.command(epilog="Example: federate --aws loopback destroy --yes")(destroy)


def place(here: Context) -> Place:
    """Return the federation with its accounts, once AWS is reached."""
    from infra.accounts import AwsAccounts
    from infra.deployment.place import Place

    here.reach_aws()
    return Place(here.file, here.federation, here.home, AwsAccounts())


def plan(ctx: typer.Context) -> None:
    """Synthesise: one template per stack, and the plan that deploys them. Asks no account."""
    from infra.deployment.assembly import synthesize

    here = context(ctx, makes_nodes=True)
    assembly = synthesize(here.file, here.federation, home=here.home)
    document = {"folder": str(assembly.folder), "stacks": [stack.name for stack in assembly.plan.stacks]}
    lines = [f"  {stack.phase:6} {stack.account}  {stack.name}" for stack in assembly.plan.stacks]
    here.answer(document, "\n".join([*lines, f"Templates: {assembly.folder}"]))


def deploy(
    ctx: typer.Context,
    only: Only = None,
    eicu: Eicu = None,
    stacks_only: Annotated[
        bool, typer.Option("--stacks-only", help="Do not give the nodes anything, and do not wait for them.")
    ] = False,
    no_preflight: Annotated[
        bool, typer.Option("--no-preflight", help="Do not ask the accounts first whether it can succeed.")
    ] = False,
) -> None:
    """Deploy hub, sites side by side, and links, and bring up the nodes; run again, it goes on where it ended."""
    from infra.cli.nodes import in_words, remotes_of
    from infra.cli.preflight import refuse_if_not_cleared
    from infra.cli.supplying import bring_up, data_of

    here = context(ctx, makes_nodes=True)
    at = place(here)
    chosen = remotes_of(here, only)
    if not stacks_only:
        data_of(here, chosen, eicu)  # what is wrong with the data is better said before anything costs money

    def before(assembly: Assembly) -> None:
        if not no_preflight:
            refuse_if_not_cleared(here, at.accounts, assembly, only or ())

    deployed = at.deploy(only or (), before=before)
    document: dict[str, Any] = {"deployed": [stack.name for stack in deployed]}
    old_images = at.outdated(deployed)
    document["outdated"] = [asdict(one) for one in old_images]
    lines = ["Deployed.", *(f"  {one}" for one in old_images)]
    if not stacks_only:
        found = bring_up(here, chosen, eicu)
        document["nodes"] = {id_: report.as_dict() for id_, report in found.items()}
        lines += [f"  {id_}: {in_words(report)}" for id_, report in found.items()]
    here.answer(document, "\n".join(lines))


def replace(
    ctx: typer.Context,
    nodes: Annotated[list[str], typer.Argument(metavar="NODE...", help="aggregator or a site; several in one go.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait until the nodes are ready.")] = False,
) -> None:
    """Make nodes anew from the image that is pinned now; keys, checkpoints and what is wanted of them stay.

    A node that was training goes on from its last checkpoint, and the others wait for it as for any node that is away.
    """
    from infra.cli.nodes import in_words, remotes_of
    from infra.cli.supplying import await_ready

    here = context(ctx, makes_nodes=True)
    chosen = remotes_of(here, nodes)
    confirm(
        here, f"Terminate the node of {', '.join(nodes)} and make it anew?", what="a real node is replaced", yes=yes
    )
    place(here).replace([remote.node.id for remote in chosen])
    if no_wait:
        here.answer({"replaced": nodes}, f"Replaced: {', '.join(nodes)}.")
        return
    found = await_ready(here, chosen)
    here.answer(
        {"replaced": nodes, "nodes": {id_: report.as_dict() for id_, report in found.items()}},
        "\n".join(["Replaced.", *(f"  {id_}: {in_words(report)}" for id_, report in found.items())]),
    )


def confirm(here: Context, question: str, *, what: str, yes: bool) -> None:
    """Ask a person before something is done that cannot be undone.

    Raises:
        NotConfirmed: nobody is there to say yes, and it would be done to real accounts.
    """
    if here.aws is Aws.REAL and not yes and not sys.stdin.isatty():
        raise NotConfirmed(f"Nobody is there to confirm that {what}.", remedy="Add --yes.")
    if sys.stdin.isatty() and not yes:
        typer.confirm(question, abort=True)


def diff(
    ctx: typer.Context,
    only: Only = None,
    fail: Annotated[bool, typer.Option("--fail", help="Exit with 1 if there are differences.")] = False,
) -> None:
    """Show what a deployment would change."""
    here = context(ctx, makes_nodes=True)
    differences = place(here).diff(only or ())
    changed = [difference for difference in differences if difference.text]
    texts = [f"{difference.stack.name}\n{difference.text}\n" for difference in changed]
    summary = f"{len(changed)} of {len(differences)} stacks differ from what is deployed."
    here.answer({difference.stack.name: difference.text for difference in differences}, "\n".join([*texts, summary]))
    if fail and changed:
        raise typer.Exit(1)


def destroy(
    ctx: typer.Context,
    only: Only = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete what deploy made, phases backwards, and prove that nothing is left."""
    here = context(ctx)
    question = f"Delete {', '.join(only) if only else 'all'} of {here.federation.name}?"
    confirm(here, question, what="real accounts' stacks are deleted", yes=yes)
    audit = place(here).destroy(only or ())
    audit.verdict()
    here.answer(audit.as_dict(), audit.text())
