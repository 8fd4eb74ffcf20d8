"""What the tunnel service has to know of a local session: whose keys operators sign with, and what endpoints are."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from infra.local.aws.accounts import SECRET, static_account
from infra.local.twin.services.signature import AccessKey
from infra.local.twin.services.tunnel import TunnelEndpoint


def administrators_key(id_: str) -> AccessKey | None:
    """Return the access key of an account's administrator, which the profiles of a local session have.

    Keys of roles open no tunnels: that a node could use its own for one is not asked for, and so is refused.
    """
    account = static_account(id_)
    return None if account is None else AccessKey(id_, account, SECRET)


def tunnel_endpoint(described: Mapping[str, Any], ranges: Iterable[str]) -> TunnelEndpoint:
    """Return an endpoint as the tunnel service knows it.

    Args:
        described: one item of ``DescribeInstanceConnectEndpoints``.
        ranges: the IPv4 ranges of its VPC.
    """
    return TunnelEndpoint(
        id=described["InstanceConnectEndpointId"],
        account=described["OwnerId"],
        region=described["InstanceConnectEndpointArn"].split(":")[3],
        dns_name=described["DnsName"],
        networks=tuple(ipaddress.IPv4Network(text) for text in ranges),
    )
