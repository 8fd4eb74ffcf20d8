"""Who may launch the images that nodes get: an image's launch permission, beside the accounts that need it.

An image that the pipeline has made is shared with the sites of that time; one that joins later is not among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from infra.accounts import Accounts
from infra.federation.derive import Node, nodes
from infra.federation.model import Federation
from infra.images.found import ABSENT

EVERYBODY = "everybody"


@dataclass(frozen=True, slots=True)
class Sharing:
    """One image, and who may launch it. Accounts are 12-digit ids, sorted.

    Args:
        image: its id.
        region: where it is.
        name: as EC2 has it; empty where the aggregator's account does not see it.
        owner: the account that made it; empty likewise.
        is_ours: whether the aggregator's account owns it, and so can share it.
        users: account to the nodes in it that get this image.
        may: accounts of the federation that may launch it, as its permission says.
        lacking: accounts whose nodes get it and that may not launch it. Known only of one's own images.
        strangers: accounts of no node that may launch it.
        others: whom else the permission names: everybody, organisations.
    """

    image: str
    region: str
    name: str
    owner: str
    is_ours: bool
    users: Mapping[str, tuple[str, ...]]
    may: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def whose(self, account: str) -> str:
        """Return an account with the nodes in it that get the image."""
        return f"{account} ({', '.join(self.users[account])})" if account in self.users else account

    def text(self, *, revoke: bool) -> str:
        """Say it to a person: who may, who is added, who has it besides.

        Args:
            revoke: whether the accounts of no node lose it.
        """
        names = ", ".join(sorted(name for those in self.users.values() for name in those))
        lines = [f"{self.image}{f' ({self.name})' if self.name else ''} in {self.region}, for {names}"]
        if not self.is_ours:
            whose = f"belongs to account {self.owner}" if self.owner else "is not seen by the aggregator's account"
            return f"{lines[0]}\n  {whose}: who may launch it is for its owner to say"
        lines += [f"    may launch it      {self.whose(account)}" for account in (*self.others, *self.may)]
        lines += [f"  + is let launch it   {self.whose(account)}" for account in self.lacking]
        for account in self.strangers:
            lines.append(
                f"  - is let no longer   {account}, of no node"
                if revoke
                else f"    may launch it      {account}, of no node; --revoke takes that away"
            )
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        return {
            "image": self.image,
            "region": self.region,
            "owner": self.owner or None,
            "nodes": sorted(name for those in self.users.values() for name in those),
            "may": [*self.others, *self.may],
            "lacking": list(self.lacking),
            "of_no_node": list(self.strangers),
        }


def read(federation: Federation, accounts: Accounts) -> tuple[Sharing, ...]:
    """Return every pinned image with who may launch it, as the aggregator's account is told.

    Raises:
        BotoCoreError, ClientError: AWS does not answer, or refuses.
    """
    every = nodes(federation)
    users: dict[tuple[str, str], list[Node]] = {}
    for node in every:
        if node.image:
            users.setdefault((node.region, node.image), []).append(node)
    known = {node.account for node in every}
    return tuple(_read(every[0], image, those, known, accounts) for (_, image), those in sorted(users.items()))


def change(sharing: Sharing, hub: Node, accounts: Accounts, *, revoke: bool) -> None:
    """Let the accounts that lack it launch an image of one's own, in one step.

    Args:
        sharing: as it was read.
        hub: the aggregator's node.
        accounts: AWS's APIs.
        revoke: take it away from the accounts of no node.

    Raises:
        BotoCoreError, ClientError: AWS does not answer, or refuses; nothing was changed.
    """
    taken = sharing.strangers if revoke else ()
    permission = {
        what: [{"UserId": account} for account in those]
        for what, those in (("Add", sharing.lacking), ("Remove", taken))
        if those
    }
    if permission:
        ec2 = accounts.client("ec2", profile=hub.profile, region=sharing.region)
        ec2.modify_image_attribute(ImageId=sharing.image, LaunchPermission=permission)


def _read(hub: Node, image: str, those: list[Node], known: set[str], accounts: Accounts) -> Sharing:
    region = those[0].region
    ec2 = accounts.client("ec2", profile=hub.profile, region=region)
    users: dict[str, tuple[str, ...]] = {}
    for node in those:
        users[node.account] = (*users.get(node.account, ()), node.id)
    found = _described(ec2, image)
    owner, name = str(found.get("OwnerId", "")), str(found.get("Name", ""))
    if owner != hub.account:
        return Sharing(image, region, name, owner, is_ours=False, users=users)
    told = ec2.describe_image_attribute(ImageId=image, Attribute="launchPermission").get("LaunchPermissions", [])
    may = {str(one["UserId"]) for one in told if "UserId" in one}
    is_public = any(one.get("Group") == "all" for one in told)
    organisations = {
        str(one[key]) for one in told for key in ("OrganizationArn", "OrganizationalUnitArn") if key in one
    }
    return Sharing(
        image,
        region,
        name,
        owner,
        is_ours=True,
        users=users,
        may=tuple(sorted({*(may & known), owner})),
        lacking=() if is_public else tuple(sorted(users.keys() - may - {owner})),
        strangers=tuple(sorted(may - known)),
        others=(*([EVERYBODY] if is_public else []), *sorted(organisations)),
    )


def _described(ec2: Any, image: str) -> Mapping[str, Any]:
    """Return an image as EC2 describes it; nothing where the account does not see it."""
    try:
        found = ec2.describe_images(ImageIds=[image])["Images"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in ABSENT:
            raise
        found = []
    return found[0] if found else {}
