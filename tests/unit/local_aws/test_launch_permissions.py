"""Who may launch an image is kept by the emulated EC2, in the account that owns it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from emulated_accounts import EmulatedAccounts
from small_visit import federation

from infra.federation.derive import nodes
from infra.images.sharing import change, read
from infra.local.aws.clients import InProcessClients
from infra.local.aws.server import LoopbackAws

HUB, SITE, GONE = "494949494949", "505050505050", "515151515151"


def test_an_image_is_shared_with_the_site_that_lacks_it_and_taken_from_nobody_unasked() -> None:
    emulator = LoopbackAws([HUB, SITE])
    accounts: Any = EmulatedAccounts(InProcessClients(emulator), {"aggregator": HUB})
    ec2 = accounts.client("ec2", profile="aggregator", region="us-east-1")
    image = ec2.register_image(Name="federate-fed-gpu-x86_64")["ImageId"]
    ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"UserId": GONE}]})
    fed = federation(images={"us-east-1": image}, hub={"account": HUB}, site={"account": SITE})

    (before,) = read(fed, accounts)
    assert (before.lacking, before.strangers) == ((SITE,), (GONE,))
    change(before, nodes(fed)[0], accounts, revoke=False)
    (shared,) = read(fed, accounts)
    assert (shared.lacking, shared.strangers) == ((), (GONE,))
    change(shared, nodes(fed)[0], accounts, revoke=True)
    (after,) = read(fed, accounts)
    assert (after.lacking, after.strangers, after.may) == ((), (), (HUB, SITE))
