"""Machine images as EC2 knows them, in the aggregator's account: the pipeline's newest, or one by its id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from botocore.exceptions import ClientError

from infra.accounts import Accounts, explained
from infra.errors import FederateError
from infra.federation.derive import Node
from infra.federation.images import LockedImage, Slot

#: Tags of the images that the pipeline makes; :mod:`stacks.node_image` puts them there.
OF, KIND, VERSION = "federate:image-of", "federate:kind", "federate:version"
_UNKNOWN = "unknown"
#: What EC2 calls an image that is not there, or that the account may not see.
ABSENT = ("InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "InvalidAMIID.Unavailable")


class NoSuchImage(FederateError):
    """There is no such machine image, or this account may not see it."""

    exit_code = 4


class UnfitImage(FederateError):
    """The image cannot be what it is to be."""

    exit_code = 2


class Images:
    """The images of one federation.

    Args:
        hub: the aggregator's node, whose account makes images, or may launch those of others.
        accounts: AWS's APIs.
    """

    def __init__(self, hub: Node, accounts: Accounts) -> None:
        self._hub, self._accounts = hub, accounts

    def newest(self, slot: Slot) -> LockedImage | None:
        """Return the newest image that the pipeline has made for a slot; None if it has made none."""
        wanted = {
            f"tag:{OF}": self._hub.federation,
            f"tag:{KIND}": slot.kind,
            "architecture": slot.architecture,
            "state": "available",
        }
        filters = [{"Name": name, "Values": [value]} for name, value in wanted.items()]
        with explained(self._where):
            found = self._ec2(slot.region).describe_images(Owners=["self"], Filters=filters)["Images"]
        if not found:
            return None
        return self._locked(max(found, key=lambda image: str(image.get("CreationDate", ""))), slot.region)

    def by_id(self, image: str, region: str, kind: Literal["gpu", "cpu"] | None) -> tuple[Slot, LockedImage]:
        """Return an image of whoever's making, and what it fits.

        Args:
            image: its id.
            region: where it is.
            kind: what it is for; its tags say it if left out.

        Raises:
            NoSuchImage: it is not there, or not for this account to launch.
            UnfitImage: it is not ready, is encrypted, or nobody says what it is for.
        """
        try:
            described = self._ec2(region).describe_images(ImageIds=[image])["Images"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in ABSENT:
                with explained(self._where):
                    raise
            described = []
        if not described:
            raise NoSuchImage(
                f"{image} is not in {region}, or account {self._hub.account} may not launch it.",
                remedy="Images are of one Region; whose it is lets accounts launch it (launch permission).",
            )
        found = described[0]
        tagged = _tags(found).get(KIND)
        chosen = kind or (tagged if tagged in ("gpu", "cpu") else None)
        if chosen is None:
            raise UnfitImage(
                f"{image} ({found.get('Name')}) does not say what it is for.", remedy="Add --kind gpu or cpu."
            )
        if found.get("State") != "available":
            raise UnfitImage(
                f"{image} is {found.get('State')}, not available.", remedy="Wait until it is, or choose another."
            )
        if any(mapping.get("Ebs", {}).get("Encrypted") for mapping in found.get("BlockDeviceMappings", ())):
            raise UnfitImage(
                f"{image} is encrypted: the sites' accounts could launch it only with its key.",
                remedy="Make it unencrypted: it holds no data, and each node's volume is encrypted at launch.",
            )
        slot = Slot(region, str(found.get("Architecture")), "gpu" if chosen == "gpu" else "cpu")
        return slot, self._locked(found, region)

    def _locked(self, found: Mapping[str, Any], region: str) -> LockedImage:
        return LockedImage(
            image=str(found["ImageId"]),
            name=str(found.get("Name") or _UNKNOWN),
            owner=str(found.get("OwnerId") or _UNKNOWN),
            parent=self._parent(found, region),
            federate=_tags(found).get(VERSION, _UNKNOWN),
            created=str(found.get("CreationDate") or _UNKNOWN),
        )

    def _parent(self, found: Mapping[str, Any], region: str) -> str:
        """Return what an image was made from, with its name where this account may see it."""
        parent = found.get("SourceImageId")
        if not parent:
            return _UNKNOWN
        try:
            described = self._ec2(region).describe_images(ImageIds=[parent])["Images"]
        except ClientError:
            described = []
        return f"{parent} ({described[0]['Name']})" if described else str(parent)

    @property
    def _where(self) -> str:
        return f"{self._hub.id}, account {self._hub.account}, profile {self._hub.profile}"

    def _ec2(self, region: str) -> Any:
        return self._accounts.client("ec2", profile=self._hub.profile, region=region)


def _tags(image: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in image.get("Tags", ())}
