"""What AWS has before anyone deploys: machine images, and the public parameters that name the newest of them."""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).with_name("images.json")
#: The federation's own image in ``images.json``; it belongs to whoever made it, the aggregator's account.
OWN_IMAGE = "ami-0fed0000000000001"
_DLAMI = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-{system}/latest/ami-id"
#: Source: "Finding the DLAMI ID with AWS CLI" in the AWS Deep Learning AMIs Developer Guide.
PARAMETERS = {
    _DLAMI.format(system="ubuntu-22.04"): "ami-0d1a0000000000001",
    _DLAMI.format(system="ubuntu-24.04"): "ami-0d1a0000000000002",
    _DLAMI.format(system="amazon-linux-2023"): "ami-0d1a0000000000003",
}


def configure_moto() -> None:
    """Set moto's own switches; they are read when its modules are first imported.

    An unknown image or instance type is refused, AWS's managed policies exist, another account's buckets are closed.
    """
    os.environ["MOTO_AMIS_PATH"] = str(IMAGES)
    os.environ["MOTO_ENABLE_AMI_VALIDATION"] = "true"
    os.environ["MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION"] = "true"
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    os.environ["MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS"] = "false"


def own_image(account: str) -> None:
    """Give the federation's image to an account; before any EC2 backend exists."""
    from moto.ec2.models import amis

    for image in amis.AMIS:
        if image["ami_id"] == OWN_IMAGE:
            image["owner_id"] = account


@functools.cache
def seed_parameters() -> None:
    """Put the public image parameters into every store of this process; AWS's own, they are read, but not listed."""
    from moto.ssm.models import Parameter, ParameterDict, SimpleSystemManagerBackend

    made: Any = ParameterDict.__init__
    described: Any = SimpleSystemManagerBackend.describe_parameters

    def init(self: Any, account_id: str, region_name: str) -> None:
        made(self, account_id, region_name)
        for name, value in PARAMETERS.items():
            parameter = Parameter(
                account_id=account_id,
                name=name,
                value=value,
                parameter_type="String",
                description=None,
                allowed_pattern=None,
                keyid=None,
                last_modified_date=time.time(),
                version=1,
                data_type="aws:ec2:image",
            )
            self[name].append(parameter)

    def describe_parameters(self: Any, *args: Any, **kwargs: Any) -> list[Parameter]:
        return [item for item in described(self, *args, **kwargs) if not item.name.startswith("/aws/")]

    ParameterDict.__init__ = init
    SimpleSystemManagerBackend.describe_parameters = describe_parameters
