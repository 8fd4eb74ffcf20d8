"""``ec2-instance-connect:SendSSHPublicKey``, which moto answers and forgets."""

from __future__ import annotations

import re
import uuid
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models import ec2_backends
from moto.ec2instanceconnect.responses import Ec2InstanceConnectResponse

from infra.local.aws.additions.refusal import ServiceRefusal
from infra.local.aws.additions.ssh_keys import NoKey, SshKeys

#: The keys of every instance in this process.
KEYS = SshKeys()
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9@._-]{0,31}")


def add() -> None:
    """Have the call keep the key."""
    Ec2InstanceConnectResponse.send_ssh_public_key = _send_ssh_public_key


def _send_ssh_public_key(self: Any) -> ActionResult:
    id_, user = str(self._get_param("InstanceId")), str(self._get_param("InstanceOSUser"))
    instance = ec2_backends[self.current_account][self.region].get_instance_by_id(id_)
    if instance is None:
        raise ServiceRefusal("EC2InstanceNotFoundException", f"Instance {id_} not found")
    if instance.state != "running":
        raise ServiceRefusal("EC2InstanceStateInvalidException", f"Instance {id_} is {instance.state}, not running")
    if not _USER.fullmatch(user):
        raise ServiceRefusal("InvalidArgsException", f"{user!r} is no name of a user")
    try:
        KEYS.put(id_, user, str(self._get_param("SSHPublicKey")))
    except NoKey as error:
        raise ServiceRefusal("InvalidArgsException", f"SSHPublicKey is not valid: {error}") from None
    return ActionResult({"RequestId": str(uuid.uuid4()), "Success": True})
