"""What is deployed, as the accounts themselves show it through their APIs."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from infra.federation.derive import AGGREGATOR_ID
from infra.local.aws.accounts import SECRET, static_key
from infra.local.twin import emulator
from node_bootstrap.user_data import NoFacts, facts_in

STATE_DEVICE = "/dev/sdf"
_ROOT_GIB = 8  # what EC2 gives where nobody says otherwise
_CONFIG = Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=30)
_TAG = "federate:federation"
_NODE_TAG = "federate:node"


@dataclass(frozen=True, slots=True)
class Instance:
    """A running instance that Federate's user data makes a node.

    Args:
        id: the instance's.
        account: whose it is.
        region: where it is.
        facts: what its user data says of the node.
        volume: id of the attached state volume.
        profile: name of its instance profile.
        interface: id of its network interface.
    """

    id: str
    account: str
    region: str
    facts: dict[str, str]
    volume: str
    profile: str
    interface: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """All instances of one moment: those that run and can boot (user data of ours, state volume attached) by id.

    ``existing`` holds the ids of stopped ones as well.
    """

    running: dict[str, Instance]
    existing: set[str]


class Places:
    """The accounts and Regions to look at; they are added to as federations come."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "places.json"

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Iterate over (account, Region)."""
        try:
            found = json.loads(self._path.read_text())
        except (OSError, ValueError):
            found = []
        return iter([(str(account), str(region)) for account, region in found])

    def add(self, places: Iterable[tuple[str, str]]) -> None:
        """Add accounts and Regions."""
        every = sorted({*self, *places})
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(every))
        part.replace(self._path)


class Deployed:
    """Reads the accounts on loopback AWS, each with its administrator's key."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._facts: dict[str, dict[str, str]] = {}

    def instances(self) -> Seen:
        """Look at all instances of federations."""
        running: dict[str, Instance] = {}
        existing: set[str] = set()
        for account, region in self._places:
            filters = [{"Name": "tag-key", "Values": [_TAG]}]
            pages = self.client("ec2", account, region).get_paginator("describe_instances").paginate(Filters=filters)
            for raw in (i for page in pages for r in page["Reservations"] for i in r["Instances"]):
                if raw["State"]["Name"] != "terminated":
                    existing.add(raw["InstanceId"])
                instance = self._instance(raw, account, region) if raw["State"]["Name"] == "running" else None
                if instance is not None:
                    running[instance.id] = instance
        return Seen(running, existing)

    def rebooted(self) -> set[str]:
        """Return the ids of instances whose reboot was asked through EC2's API; each time is told once.

        Raises:
            EndpointConnectionError: loopback AWS does not answer.
        """
        return set(emulator.take_reboots())

    def volumes(self) -> set[str]:
        """Return the ids of all volumes."""
        return {
            volume["VolumeId"]
            for account, region in self._places
            for volume in self.client("ec2", account, region).describe_volumes()["Volumes"]
        }

    def hub_address(self, federation: str) -> tuple[str, str] | None:
        """Return id and private address of the aggregator's network interface, or None while there is none."""
        wanted = {_TAG: federation, _NODE_TAG: AGGREGATOR_ID}
        filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in wanted.items()]
        for account, region in self._places:
            answer = self.client("ec2", account, region).describe_network_interfaces(Filters=filters)
            for interface in answer["NetworkInterfaces"]:
                if "fixed address" in interface.get("Description", ""):
                    return interface["NetworkInterfaceId"], interface["PrivateIpAddress"]
        return None

    def credentials(self, instance: Instance) -> dict[str, str]:
        """Return what the instance's metadata service would give: credentials of its own role, as the environment."""
        given = self.assume(instance)
        return {
            "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
            "AWS_SESSION_TOKEN": given["SessionToken"],
        }

    def assume(self, instance: Instance) -> dict[str, Any]:
        """Return new credentials of the instance's own role, as STS gives them."""
        _, role = self._profile(instance)
        sts = self.client("sts", instance.account, instance.region)
        given: dict[str, Any] = sts.assume_role(RoleArn=role, RoleSessionName=instance.id)["Credentials"]
        return given

    def description(self, instance: Instance) -> tuple[dict[str, Any], bytes, str, str]:
        """Return EC2's description of an instance, its user data, the id of its profile and the name of its role."""
        ec2 = self.client("ec2", instance.account, instance.region)
        raw = ec2.describe_instances(InstanceIds=[instance.id])["Reservations"][0]["Instances"][0]
        profile, role = self._profile(instance)
        return raw, self._user_data(instance.id, instance.account, instance.region), profile, role.rpartition("/")[2]

    def _profile(self, instance: Instance) -> tuple[str, str]:
        """Return the id of the instance's profile, and the ARN of the role in it."""
        iam = self.client("iam", instance.account, instance.region)
        found = iam.get_instance_profile(InstanceProfileName=instance.profile)["InstanceProfile"]
        return found["InstanceProfileId"], found["Roles"][0]["Arn"]

    def _instance(self, raw: Any, account: str, region: str) -> Instance | None:
        volume = next(
            (m["Ebs"]["VolumeId"] for m in raw.get("BlockDeviceMappings", []) if m["DeviceName"] == STATE_DEVICE), None
        )
        profile = raw.get("IamInstanceProfile", {}).get("Arn")
        facts = self._read_facts(raw["InstanceId"], account, region)
        if volume is None or profile is None or not facts:
            return None
        interfaces = raw.get("NetworkInterfaces", [])
        return Instance(
            raw["InstanceId"],
            account,
            region,
            facts,
            volume,
            profile.rpartition("/")[2],
            interfaces[0]["NetworkInterfaceId"] if interfaces else "",
        )

    def _read_facts(self, instance: str, account: str, region: str) -> dict[str, str]:
        if instance not in self._facts:
            script = self._user_data(instance, account, region).decode("utf-8", errors="replace")
            try:
                self._facts[instance] = facts_in(script)
            except NoFacts:
                self._facts[instance] = {}
        return self._facts[instance]

    def _user_data(self, instance: str, account: str, region: str) -> bytes:
        ec2 = self.client("ec2", account, region)
        told = ec2.describe_instance_attribute(InstanceId=instance, Attribute="userData")
        return base64.b64decode(told.get("UserData", {}).get("Value", ""))

    def sizes(self, instance: Instance) -> tuple[int, int]:
        """Return the sizes of an instance's root and state volume, in GiB."""
        ec2 = self.client("ec2", instance.account, instance.region)
        filters = [{"Name": "attachment.instance-id", "Values": [instance.id]}]
        sizes = {v["VolumeId"]: int(v["Size"]) for v in ec2.describe_volumes(Filters=filters)["Volumes"]}
        state = sizes.pop(instance.volume)
        return max(sizes.values(), default=_ROOT_GIB), state

    def client(self, service: str, account: str, region: str) -> Any:
        """Return a client that acts as an account's administrator."""
        key = (service, account, region)
        if key not in self._clients:
            session = boto3.Session(static_key(account), SECRET, region_name=region)
            self._clients[key] = session.client(service, config=_CONFIG)
        return self._clients[key]
