"""A node whose user data fails: the deployment says why, in the script's own words, and after the repair it is done."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from training_desk import wait_until
from twin_desk import TwinDesk

_SITE = "fed-SiteNode-hospital-a"
#: Enough to lose the group descriptors of ext4; the superblock stays, so it is a file system that cannot be used.
_FROM, _DAMAGED = 2048, 1 << 20


@pytest.mark.timeout(290)
def test_the_deployment_reports_the_reason_that_the_script_gave(make_desk: Callable[..., TwinDesk]) -> None:
    desk = make_desk("machines")
    desk.run("deploy")
    cloudformation = desk.client("hospital-a", "cloudformation")
    cloudformation.delete_stack(StackName=_SITE)
    wait_until(lambda: _SITE not in desk.stacks("hospital-a"), what="the end of the node's stack")
    (volume,) = desk.client("hospital-a", "ec2").describe_volumes()["Volumes"]
    image = desk.twin / "volumes" / f"{volume['VolumeId']}.img"
    wait_until(lambda: not _is_attached(desk, image.name), what="the end of the machine")
    with image.open("r+b") as disk:
        disk.seek(_FROM)
        good = disk.read(_DAMAGED)
        disk.seek(_FROM)
        disk.write(b"\xff" * _DAMAGED)

    _, err = desk.run("deploy", code=6)
    assert "hospital-a failed: the state volume /dev/sdf is damaged" in err
    assert "    bootstrap: ERROR the state volume /dev/sdf is damaged" in err
    assert "federate replace hospital-a" in err
    (outputs,) = cloudformation.describe_stacks(StackName=_SITE)["Stacks"]
    (instance,) = (output["OutputValue"] for output in outputs["Outputs"] if output["OutputKey"] == "InstanceId")
    console = desk.client("hospital-a", "ec2").get_console_output(InstanceId=instance, Latest=True)
    assert "federate: the state volume /dev/sdf is damaged" in console["Output"]

    cloudformation.delete_stack(StackName=_SITE)
    wait_until(lambda: not _is_attached(desk, image.name), what="the end of the machine")
    with image.open("r+b") as disk:
        disk.seek(_FROM)
        disk.write(good)
    desk.run("deploy")
    assert desk.says("hospital-a")["state"] == "ready"


def _is_attached(desk: TwinDesk, name: str) -> bool:
    from twin_desk import Remains

    return any(name in loop for loop in Remains.now().loops)
