"""``federate permissions``: the least that a person needs in an account, as a policy that its admin can attach."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.cli.context import context
from infra.errors import FederateError


class NoSuchRole(FederateError):
    """The role or the node is not one that there is."""

    exit_code = 2


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: federate --json permissions --role operator --node hospital-a > operator.json")(
        permissions
    )


def permissions(
    ctx: typer.Context,
    role: Annotated[str | None, typer.Option(help="deployer, operator, steward or shell; all if left out.")] = None,
    node: Annotated[str | None, typer.Option(help="In whose account; the aggregator's if left out.")] = None,
) -> None:
    """Print the IAM policy that a person needs in a node's account; asks no account."""
    import json

    from infra.federation.derive import AGGREGATOR_ID, nodes
    from stacks.operators import PURPOSES, ROLES, document

    here = context(ctx)
    by_id = {each.id: each for each in nodes(here.federation)}
    wanted = node or AGGREGATOR_ID
    if wanted not in by_id:
        raise NoSuchRole(f"There is no node {wanted}.", remedy=f"One of: {', '.join(by_id)}.")
    if role is not None and role not in ROLES:
        raise NoSuchRole(f"There is no role {role}.", remedy=f"One of: {', '.join(ROLES)}.")
    found = by_id[wanted]
    made = {each: document(here.federation, found, each) for each in ROLES if role in (None, each)}
    if role is not None:
        (policy,) = made.values()
        here.answer(policy, json.dumps(policy, indent=1))
        return
    lines = [f"  {each:<9} {PURPOSES[each]}" for each in made]
    head = f"Roles of people in the account of {found.id} ({found.account}):"
    here.answer(made, "\n".join([head, *lines, "The policy of one: federate permissions --role ROLE --node NODE"]))
