"""EC2's machine images of one account, as DescribeImages tells of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

_KEYS = {"architecture": "Architecture", "state": "State"}


def ami(id_: str, **details: Any) -> dict[str, Any]:
    """Return an image as EC2 describes it; ``tags`` are by name."""
    tags = [{"Key": key, "Value": value} for key, value in details.pop("tags", {}).items()]
    return {
        "ImageId": id_,
        "Name": f"name of {id_}",
        "OwnerId": "333333333333",
        "Architecture": "x86_64",
        "State": "available",
        "CreationDate": "2026-11-01T00:00:00.000Z",
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"Encrypted": False}}],
        "Tags": tags,
        **details,
    }


@dataclass
class FakeImages:
    """Accounts whose EC2 knows images, by Region; ``own`` is the account whose images "self" names."""

    by_region: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    own: str = "333333333333"
    #: Image to its launch permission.
    launch: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    #: What was changed: image and the request's permission.
    changed: list[tuple[str, Any]] = field(default_factory=list)

    def client(self, service: str, *, profile: str, region: str) -> Any:
        assert (service, profile) == ("ec2", "aggregator")
        return _Ec2(self.by_region.get(region, []), self.own, self.launch, self.changed)


@dataclass
class _Ec2:
    images: list[dict[str, Any]]
    own: str
    launch: dict[str, list[dict[str, str]]]
    changed: list[tuple[str, Any]]

    def describe_images(self, *, ImageIds: Any = None, Owners: Any = None, Filters: Any = ()) -> Any:  # noqa: N803
        found = self.images
        if ImageIds is not None:
            found = [image for image in found if image["ImageId"] in ImageIds]
            if not found:
                error = {"Code": "InvalidAMIID.NotFound", "Message": f"The image id '{ImageIds}' does not exist"}
                raise ClientError({"Error": error}, "DescribeImages")
        if Owners is not None:
            assert Owners == ["self"]
            found = [image for image in found if image["OwnerId"] == self.own]
        for one in Filters:
            found = [image for image in found if self._value(image, one["Name"]) in one["Values"]]
        return {"Images": found}

    def describe_image_attribute(self, *, ImageId: str, Attribute: str) -> Any:  # noqa: N803
        assert Attribute == "launchPermission"
        self._refuse_of_others(ImageId, "DescribeImageAttribute")
        return {"ImageId": ImageId, "LaunchPermissions": list(self.launch.get(ImageId, []))}

    def modify_image_attribute(self, *, ImageId: str, LaunchPermission: Any) -> Any:  # noqa: N803
        self._refuse_of_others(ImageId, "ModifyImageAttribute")
        self.changed.append((ImageId, LaunchPermission))
        kept = [one for one in self.launch.get(ImageId, []) if one not in LaunchPermission.get("Remove", [])]
        self.launch[ImageId] = kept + LaunchPermission.get("Add", [])
        return {}

    def _refuse_of_others(self, image: str, operation: str) -> None:
        if next(one["OwnerId"] for one in self.images if one["ImageId"] == image) != self.own:
            raise ClientError({"Error": {"Code": "AuthFailure", "Message": "Not authorized"}}, operation)

    @staticmethod
    def _value(image: dict[str, Any], name: str) -> Any:
        if name.startswith("tag:"):
            return {tag["Key"]: tag["Value"] for tag in image["Tags"]}.get(name.removeprefix("tag:"))
        return image[_KEYS[name]]
