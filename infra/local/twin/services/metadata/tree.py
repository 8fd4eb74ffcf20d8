"""What an instance finds at which path, listed exactly as EC2 lists it.

Source: "Instance metadata categories" of the EC2 User Guide. What needs a signature of AWS (``pkcs7``, ``signature``),
or has no counterpart here, is neither listed nor there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.local.twin.services.metadata.instance import Announced, Credentials, Metadata
from infra.local.twin.services.names import private_name

#: Those that EC2 lists at ``/``; all of them show the same here.
VERSIONS = (
    *("1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01"),
    *("2009-04-04", "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20", "2016-04-19"),
    *("2016-06-30", "2016-09-02", "2018-03-28", "2018-08-17", "2018-09-24", "2019-10-01", "2020-10-27", "2021-01-03"),
    *("2021-03-23", "2021-07-15", "2022-09-24", "2024-04-11", "latest"),
)
#: Names that Linux gives to users; nothing else is looked up.
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory of the tree.

    Args:
        entries: name to what is there.
        listing: what is listed where that is not just the entries.
        further: (name) to the text of an entry that is there but not listed, or None.
    """

    entries: Mapping[str, Node]
    listing: Sequence[str] | None = None
    further: Callable[[str], Node | None] = lambda _: None

    def __str__(self) -> str:
        """Return the listing: one name a line, directories with a slash."""
        names = [f"{name}/" if isinstance(entry, Directory) else name for name, entry in self.entries.items()]
        return "\n".join(self.listing if self.listing is not None else names)


#: A text, bytes, a text that is made when it is asked for, or a directory.
Node = str | bytes | Callable[[], str] | Directory


def find(root: Directory, path: str) -> str | bytes | None:
    """Return what is at a path, or None.

    Args:
        root: where to start.
        path: without the leading slash; a slash at the end and double slashes do not matter, as on EC2.
    """
    node: Node | None = root
    for name in filter(None, path.split("/")):
        if not isinstance(node, Directory):
            return None
        node = node.entries[name] if name in node.entries else node.further(name)
    if isinstance(node, Directory):
        return str(node) or None
    return node() if callable(node) else node


def tree(metadata: Metadata, credentials: Callable[[], Credentials], now: float) -> Directory:
    """Return all that an instance can see.

    Args:
        metadata: of the instance.
        credentials: gets those of its role, only when they are asked for.
        now: seconds since the epoch.
    """
    version = Directory(
        {
            "dynamic": Directory({"instance-identity": Directory({"document": _identity(metadata)})}),
            "meta-data": _meta_data(metadata, credentials, now),
            **({"user-data": metadata.user_data} if metadata.user_data else {}),
        },
        listing=["dynamic", "meta-data", *(["user-data"] if metadata.user_data else [])],
    )
    return Directory(dict.fromkeys(VERSIONS, version), listing=VERSIONS)


def _meta_data(metadata: Metadata, credentials: Callable[[], Credentials], now: float) -> Directory:
    name = private_name(metadata.address, metadata.region)
    placement = {"availability-zone": metadata.zone, "region": metadata.region}
    entries: dict[str, Node] = {
        "ami-id": metadata.image,
        "ami-launch-index": "0",
        "ami-manifest-path": "(unknown)",
        "block-device-mapping": Directory(dict(metadata.block_devices)),
        "hostname": name,
        "iam": _iam(metadata, credentials, now),
        "instance-action": "none",
        "instance-id": metadata.instance,
        "instance-life-cycle": metadata.life_cycle,
        "instance-type": metadata.instance_type,
        "local-hostname": name,
        "local-ipv4": metadata.address,
        "mac": metadata.mac,
        "network": Directory(
            {"interfaces": Directory({"macs": Directory({metadata.mac: _interface(metadata, name)})})}
        ),
        "placement": Directory(dict(placement)),
        "profile": "default-hvm",
        "public-keys": _public_keys(metadata),
        "security-groups": "\n".join(metadata.security_groups),
        "services": Directory({"domain": "amazonaws.com", "partition": "aws"}),
        "system": "nitro",
        **_notices(metadata.announced()),
    }
    shown = {key: entry for key, entry in entries.items() if not isinstance(entry, Directory) or entry.entries}
    # Where Amazon's package for EC2 Instance Connect looks; never listed, so that cloud-init does not copy keys.
    active = Directory({}, further=lambda user: _active_keys(metadata, user))
    connect = Directory({"active-keys": active})
    return Directory(shown, further=lambda asked: connect if asked == "managed-ssh-keys" else None)


def _notices(announced: Sequence[Announced]) -> dict[str, Node]:
    """Return what gives notice. The one of maintenance is a reboot, which is announced as EC2 announces it."""
    by_kind = {notice.kind: notice for notice in announced}
    shown: dict[str, Node] = {}
    events: dict[str, Node] = {}
    if "spot" in by_kind:
        due = _time(by_kind["spot"].due)
        action = json.dumps({"action": "terminate", "time": due})
        shown["spot"] = Directory({"instance-action": action, "termination-time": due})
    if "maintenance" in by_kind:
        due_at = by_kind["maintenance"].due
        event = {
            "NotBefore": _gmt(due_at),
            "Code": "system-reboot",
            "Description": "scheduled reboot",
            "EventId": "instance-event-0fed0000000000001",
            "NotAfter": _gmt(due_at + timedelta(hours=1)),
            "State": "active",
        }
        events["maintenance"] = Directory({"history": "[]", "scheduled": json.dumps([event], indent=2)})
    if "rebalance" in by_kind:
        told = json.dumps({"noticeTime": _time(by_kind["rebalance"].given)})
        events["recommendations"] = Directory({"rebalance": told})
    return shown | ({"events": Directory(events)} if events else {})


def _interface(metadata: Metadata, name: str) -> Directory:
    told = {
        "device-number": "0",
        "interface-id": metadata.interface_id,
        "local-hostname": name,
        "local-ipv4s": metadata.address,
        "mac": metadata.mac,
        "owner-id": metadata.account,
        "security-group-ids": "\n".join(metadata.security_group_ids),
        "security-groups": "\n".join(metadata.security_groups),
        "subnet-id": metadata.subnet_id,
        "subnet-ipv4-cidr-block": metadata.subnet_cidr,
        "vpc-id": metadata.vpc_id,
        "vpc-ipv4-cidr-block": metadata.vpc_cidr,
        "vpc-ipv4-cidr-blocks": metadata.vpc_cidr,
    }
    return Directory({key: value for key, value in told.items() if value})


def _public_keys(metadata: Metadata) -> Directory:
    numbered = list(enumerate(metadata.public_keys))
    return Directory(
        {str(number): Directory({"openssh-key": key}) for number, (_, key) in numbered},
        listing=[f"{number}={name}" for number, (name, _) in numbered],
    )


def _active_keys(metadata: Metadata, user: str) -> str | None:
    keys = metadata.ssh_keys(user) if _USER.fullmatch(user) else ()
    return "\n".join(keys) or None


def _iam(metadata: Metadata, credentials: Callable[[], Credentials], now: float) -> Directory:
    if metadata.profile_arn is None:
        return Directory({})
    info = {
        "Code": "Success",
        "LastUpdated": _time(datetime.fromtimestamp(now, UTC)),
        "InstanceProfileArn": metadata.profile_arn,
        "InstanceProfileId": metadata.profile_id,
    }

    def of_role() -> str:
        given = credentials()
        told: dict[str, Any] = {"Code": "Success", "LastUpdated": info["LastUpdated"], "Type": "AWS-HMAC", **given}
        return _document({**told, "Expiration": _time(given["Expiration"])})

    return Directory({"info": _document(info), "security-credentials": Directory({metadata.role: of_role})})


def _identity(metadata: Metadata) -> str:
    return _document(
        {
            "accountId": metadata.account,
            "architecture": metadata.architecture,
            "availabilityZone": metadata.zone,
            "billingProducts": None,
            "devpayProductCodes": None,
            "marketplaceProductCodes": None,
            "imageId": metadata.image,
            "instanceId": metadata.instance,
            "instanceType": metadata.instance_type,
            "kernelId": None,
            "pendingTime": _time(metadata.launched),
            "privateIp": metadata.address,
            "ramdiskId": None,
            "region": metadata.region,
            "version": "2017-09-30",
        }
    )


def _document(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2)


def _gmt(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%d %b %Y %H:%M:%S GMT")


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
