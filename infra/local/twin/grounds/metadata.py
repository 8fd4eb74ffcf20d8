"""What the metadata service says of an instance: as EC2 describes it, with credentials of its own role."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from infra.local.twin.deployed import Deployed, Instance
from infra.local.twin.network.picture import Picture
from infra.local.twin.services.metadata import Metadata
from infra.local.twin.services.metadata.instance import Announced, Credentials

_TIMEOUT_SECONDS = 5.0


def metadata(
    instance: Instance,
    deployed: Deployed,
    picture: Picture,
    emulator: tuple[str, int],
    announced: Callable[[], Sequence[Announced]] = tuple,
) -> Metadata:
    """Return what there is to say.

    Raises:
        ClientError, BotoCoreError: the account does not tell.
        KeyError: its interface, subnet or VPC is not in the picture.
    """
    raw, user_data, profile_id, role = deployed.description(instance)
    interface = {found.id: found for found in picture.interfaces}[instance.interface]
    subnet = {found.id: found for found in picture.subnets}[interface.subnet]
    vpc = {found.id: found for found in picture.vpcs}[interface.vpc]
    names = {group.id: group.name for group in picture.groups}
    options = raw.get("MetadataOptions", {})
    return Metadata(
        instance=instance.id,
        account=instance.account,
        region=instance.region,
        zone=raw["Placement"]["AvailabilityZone"],
        image=raw["ImageId"],
        instance_type=raw["InstanceType"],
        address=interface.address,
        mac=interface.mac,
        subnet_id=subnet.id,
        vpc_id=vpc.id,
        security_groups=[names.get(group, group) for group in interface.groups],
        profile_arn=raw["IamInstanceProfile"]["Arn"],
        profile_id=profile_id,
        role=role,
        user_data=user_data,
        credentials=lambda: _credentials(deployed, instance),
        ssh_keys=lambda user: _ssh_keys(emulator, instance.id, user),
        hop_limit=int(options.get("HttpPutResponseHopLimit", 1)),
        tokens="required" if options.get("HttpTokens", "required") == "required" else "optional",
        enabled=options.get("HttpEndpoint", "enabled") == "enabled",
        interface_id=interface.id,
        security_group_ids=interface.groups,
        subnet_cidr=subnet.cidr,
        vpc_cidr=vpc.cidr,
        life_cycle="spot" if raw.get("InstanceLifecycle") == "spot" else "on-demand",
        launched=raw["LaunchTime"],
        announced=announced,
    )


def _credentials(deployed: Deployed, instance: Instance) -> Credentials:
    given: dict[str, Any] = deployed.assume(instance)
    expiration: datetime = given["Expiration"]
    return Credentials(
        AccessKeyId=given["AccessKeyId"],
        SecretAccessKey=given["SecretAccessKey"],
        Token=given["SessionToken"],
        Expiration=expiration,
    )


def _ssh_keys(emulator: tuple[str, int], instance: str, user: str) -> list[str]:
    """Return the public keys that EC2 Instance Connect holds for a user of an instance just now."""
    query = urllib.parse.urlencode({"instance": instance, "user": user})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    url = f"http://{emulator[0]}:{emulator[1]}/_federate/ssh-keys?{query}"
    with opener.open(url, timeout=_TIMEOUT_SECONDS) as answer:
        told: list[str] = json.loads(answer.read())
    return told
