"""``federate image share``: let the accounts of the federation launch the images that their nodes get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.context import Context, context
from infra.errors import FederateError

if TYPE_CHECKING:
    from infra.federation.derive import Node


class NothingPinned(FederateError):
    """No node has an image yet."""

    exit_code = 4


def share(
    ctx: typer.Context,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Take it away from the accounts that are of no node.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Let each account launch the pinned images that its nodes get: show what changes, and do it once confirmed.

    An image is shared with the sites of the time when it was made; a site that joined since needs this. Nobody loses
    anything without --revoke, and running nodes are not touched.
    """
    from infra.accounts import AwsAccounts, explained
    from infra.cli.images import ask_first
    from infra.federation.derive import nodes
    from infra.images.sharing import change, read

    here = context(ctx)
    hub = nodes(here.federation)[0]
    if not any(node.image for node in nodes(here.federation)):
        raise NothingPinned("No machine image is pinned for any node.", remedy="federate image lock pins the newest.")
    here.reach_aws()
    accounts = AwsAccounts()
    where = f"{hub.id}, account {hub.account}, profile {hub.profile}"
    with explained(where, profile=hub.profile, region=hub.region):
        found = read(here.federation, accounts)
    changed = [one for one in found if one.lacking or (revoke and one.strangers)]
    document = {"images": [one.as_dict() for one in found], "revoke": revoke, "changed": False}
    text = "\n".join(one.text(revoke=revoke) for one in found)
    if not changed:
        here.answer(document, f"{text}\nNothing changes.")
        return
    if not here.json:
        print(text)
    ask_first("Change who may launch them?", what="the launch permission is changed", yes=yes)
    for one in changed:
        with explained(where, profile=hub.profile, region=one.region):
            change(one, hub, accounts, revoke=revoke)
    here.answer({**document, "changed": True}, f"Changed: {', '.join(one.image for one in changed)}.")


def warn_of_image(here: Context, site: Node) -> None:
    """Say it where a site's account may not launch the image that its node gets, or where that cannot be asked."""
    from botocore.exceptions import BotoCoreError, ClientError

    from infra.accounts import AwsAccounts
    from infra.images.sharing import read

    try:
        found = read(here.federation, AwsAccounts())
    except (BotoCoreError, ClientError) as error:
        here.say(f"Not checked: whether account {site.account} may launch the image {site.image} ({error}).")
        return
    for one in found:
        if site.account in one.lacking and site.id in one.users[site.account]:
            here.say(
                f"Account {site.account} may not launch the image {one.image}: the node of {site.id} cannot be made "
                "from it. federate image share lets it."
            )
