"""``federate permissions``: what people need in an account, and what its own bucket and key are to say, as policies."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.context import Context, context
from infra.errors import FederateError

if TYPE_CHECKING:
    from infra.federation.derive import Node


class Own(StrEnum):
    """What an account may have already, and use for its node."""

    BUCKET = "bucket"
    KEY = "key"


class NoSuchRole(FederateError):
    """The role or the node is not one that there is, or both a role and a bucket or key are asked for."""

    exit_code = 2


class NothingOfItsOwn(FederateError):
    """The account names no bucket or key: Federate makes one, with its policy."""

    exit_code = 2


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: federate permissions hospital-a --role operator > operator.json")(permissions)


def permissions(
    ctx: typer.Context,
    whose: Annotated[
        str | None, typer.Argument(metavar="[NODE]", help="In whose account; the aggregator's if left out.")
    ] = None,
    role: Annotated[
        str | None, typer.Option(help="deployer, operator, steward, shell or builder; all if left out.")
    ] = None,
    for_: Annotated[
        Own | None,
        typer.Option("--for", help="The statements that the policy of the account's own bucket or key is to have."),
    ] = None,
    node: Annotated[str | None, typer.Option(help="The same as NODE.")] = None,
) -> None:
    """Print the IAM policy that a person needs in a node's account, or that of a bucket or key of its own; asks nobody.

    What --for prints is whole and to be merged: its statements beside those that the bucket's or key's policy has.
    """
    here = context(ctx)
    found = _node(here, whose, node)
    if for_ is not None:
        if role is not None:
            raise NoSuchRole("--role is for people, --for for a bucket or key.", remedy="Ask for one of them.")
        policy = json.dumps(_of_its_own(found, for_), indent=1)
        here.say(_how_to_merge(found, for_))
        print(policy)
        return
    _of_people(here, found, role)


def _node(here: Context, whose: str | None, node: str | None) -> Node:
    from infra.federation.derive import AGGREGATOR_ID, nodes

    if whose and node and whose != node:
        raise NoSuchRole(f"{whose} and --node {node} are two nodes.", remedy="Name one.")
    by_id = {each.id: each for each in nodes(here.federation)}
    wanted = whose or node or AGGREGATOR_ID
    if wanted not in by_id:
        raise NoSuchRole(f"There is no node {wanted}.", remedy=f"One of: {', '.join(by_id)}.")
    return by_id[wanted]


def _of_people(here: Context, node: Node, role: str | None) -> None:
    from infra.federation.derive import AGGREGATOR_ID
    from stacks.operators import PURPOSES, ROLES, document, roles_in

    if role is not None and role not in ROLES:
        raise NoSuchRole(f"There is no role {role}.", remedy=f"One of: {', '.join(ROLES)}.")
    if role is not None and role not in roles_in(node):
        raise NoSuchRole(
            f"There is no {role} in the account of {node.id}: images are made in the aggregator's account alone.",
            remedy=f"federate permissions {AGGREGATOR_ID} --role {role}, or one of: {', '.join(roles_in(node))}.",
        )
    made = {each: document(here.federation, node, each) for each in roles_in(node) if role in (None, each)}
    if role is not None:
        (policy,) = made.values()
        here.answer(policy, json.dumps(policy, indent=1))
        return
    lines = [f"  {each:<9} {PURPOSES[each]}" for each in made]
    head = f"Roles of people in the account of {node.id} ({node.account}):"
    last = "The policy of one: federate permissions NODE --role ROLE"
    own = [kind for kind, name in ((Own.BUCKET, node.spec.bucket), (Own.KEY, node.spec.kms_key)) if name]
    more = [f"What its own {kind} is to say: federate permissions {node.id} --for {kind}" for kind in own]
    here.answer(made, "\n".join([head, *lines, last, *more]))


def _of_its_own(node: Node, kind: Own) -> dict[str, Any]:
    """Return the policy of a node's own bucket or key.

    Raises:
        NothingOfItsOwn: it names none.
    """
    from stacks.permissions import policy
    from stacks.resource_policies import own_bucket_statements, own_key_statements

    name = node.spec.bucket if kind is Own.BUCKET else node.spec.kms_key
    if name is None:
        entry = "bucket" if kind is Own.BUCKET else "kms_key"
        raise NothingOfItsOwn(
            f"{node.id} names no {kind} of its own: Federate makes one, with its policy.",
            remedy=f"To use one that is there, write {entry} into its block (docs/data-protection.md).",
        )
    return policy(*(own_bucket_statements(node) if kind is Own.BUCKET else own_key_statements(node)))


def _how_to_merge(node: Node, kind: Own) -> str:
    cli = f"--profile {node.profile} --region {node.region}"
    if kind is Own.BUCKET:
        there = f"aws s3api get-bucket-policy --bucket {node.spec.bucket} {cli}"
        unsaid = "" if node.spec.kms_key else " Without kms_key in the block, nothing is said about its encryption."
    else:
        there, unsaid = f"aws kms get-key-policy --policy-name default --key-id {node.spec.kms_key} {cli}", ""
    return f"To be merged into what is there, by the account's admin: {there}.{unsaid}"
