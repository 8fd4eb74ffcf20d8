"""``federate identity rotate-authority``, ``store`` and ``fetch``: the authority itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.context import Context, context
from infra.cli.identity_change import Wait, authority_folder, authority_here

if TYPE_CHECKING:
    from infra.nodes.remote import Remote

ByHand = Annotated[
    list[str] | None,
    typer.Option(
        "--by-hand",
        metavar="NODE",
        help="You cannot reach this node's account; its admin has told you that it followed the step before. "
        "May be repeated.",
    ),
]


def register(group: typer.Typer) -> None:
    """Add the commands."""
    steps = typer.Typer(
        no_args_is_help=True,
        help="Replace the authority while rounds go on, in three steps; each may be repeated, and goes on.",
    )
    steps.command(epilog="Example: federate identity rotate-authority begin")(begin)
    steps.command(epilog="Example: federate identity rotate-authority switch --by-hand hospital-a")(switch)
    steps.command(epilog="Example: federate identity rotate-authority finish")(finish)
    group.add_typer(steps, name="rotate-authority")
    group.command(epilog="Example: federate identity store")(store)
    group.command(epilog="Example: federate identity fetch")(fetch)


def begin(ctx: typer.Context, by_hand: ByHand = None, wait: Wait = 60.0) -> None:
    """Step 1: a next authority, which all nodes come to trust beside the present one."""
    from infra.nodes import rotation

    _step(
        context(ctx),
        rotation.begin,
        by_hand or [],
        wait,
        "All nodes trust both authorities. Next: federate identity rotate-authority switch.",
    )


def switch(ctx: typer.Context, by_hand: ByHand = None, wait: Wait = 60.0) -> None:
    """Step 2: the next authority signs, and all nodes take a certificate of it. The old key is deleted."""
    from infra.nodes import rotation

    _step(
        context(ctx),
        rotation.switch,
        by_hand or [],
        wait,
        "All nodes use certificates of the new authority. Next: federate identity rotate-authority finish.",
    )


def finish(ctx: typer.Context, by_hand: ByHand = None, wait: Wait = 60.0) -> None:
    """Step 3: no node trusts the old authority any more."""
    from infra.nodes import rotation

    _step(context(ctx), rotation.finish, by_hand or [], wait, "All nodes trust the new authority and no other.")


def store(ctx: typer.Context) -> None:
    """Store the authority, its key included, in Secrets Manager of the aggregator's own account."""
    from infra.federation.derive import authority_secret
    from infra.nodes.safekeeping import store as store_at

    here = context(ctx)
    hub = _hub(here)
    is_new = store_at(hub, authority_folder(here))
    name = authority_secret(here.federation.name)
    said = "Stored" if is_new else "Nothing new to store"
    here.answer({"secret": name, "new": is_new}, f"{said}: secret {name} in account {hub.node.account}.")


def fetch(ctx: typer.Context) -> None:
    """Fetch the stored authority onto this machine."""
    from infra.federation.derive import authority_secret
    from infra.nodes.safekeeping import fetch as fetch_from

    here = context(ctx)
    folder = authority_folder(here)
    is_new = fetch_from(_hub(here), folder)
    authority_here(here)
    said = "Fetched into" if is_new else "The same is already in"
    document = {"secret": authority_secret(here.federation.name), "folder": str(folder), "new": is_new}
    here.answer(document, f"{said} {folder}.")


def _step(here: Context, do: Callable[..., None], by_hand: list[str], wait: float, done: str) -> None:
    from infra.cli.nodes import OperatedElsewhere, remotes_of
    from infra.federation.derive import nodes
    from infra.nodes.enrolment import names_of
    from infra.nodes.remote import remotes

    authority = authority_here(here)
    if by_hand:  # who is named must be there
        from infra.accounts import AwsAccounts

        remotes(here.federation, AwsAccounts(), by_hand)
    elsewhere = [node.id for node in nodes(here.federation) if not node.is_operated_here]
    untold = [id_ for id_ in elsewhere if id_ not in by_hand]
    if untold:
        options = " ".join(f"--by-hand {id_}" for id_ in untold)
        raise OperatedElsewhere(
            f"{', '.join(untold)}: its own admin operates it, and nobody here can see whether its node has followed.",
            remedy=f"Once its admin says that it has: the same command with {options}.",
        )
    reached = [node.id for node in nodes(here.federation) if node.id not in by_hand]
    chosen = remotes_of(here, reached) if reached else ()
    do(chosen, here.federation, authority, timeout_seconds=wait)
    names = names_of(authority.bundle.decode("ascii"))
    document: dict[str, Any] = {
        "phase": authority.phase.value,
        "authorities": list(names),
        "nodes": [remote.node.id for remote in chosen],
        "by_hand": by_hand,
    }
    lines = [done]
    for id_ in by_hand:
        if id_ in elsewhere:
            lines.append(
                f"{id_}: federate join its hand-over again, and send its admin the answer, before the next step."
            )
            continue
        lines.append(
            f"{id_}, by hand: sign its request again and have it installed; its federate identity show {id_} must then "
            f"say that it trusts {' '.join(names)}, before the next step."
        )
    here.answer(document, "\n".join(lines))


def _hub(here: Context) -> Remote:
    from infra.cli.nodes import remotes_of
    from infra.federation.derive import AGGREGATOR_ID

    (hub,) = remotes_of(here, [AGGREGATOR_ID])
    return hub
