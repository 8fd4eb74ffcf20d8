"""What the twin asks loopback AWS besides the APIs of services: at the toolkit's own addresses, which AWS has not."""

from __future__ import annotations

import json
import os
import urllib.request
from typing import Any

from botocore.exceptions import EndpointConnectionError

_TIMEOUT_SECONDS = 10


def changes() -> int:
    """Return how often EC2 may have changed.

    Raises:
        EndpointConnectionError: loopback AWS does not answer.
    """
    return int(_ask("/_federate/health")["changes"])


def take_reboots() -> list[str]:
    """Return the instances whose reboot was asked through EC2's API since the last time; they are told once.

    Raises:
        EndpointConnectionError: loopback AWS does not answer.
    """
    return [str(instance) for instance in _ask("/_federate/reboots", data=b"")["instances"]]


def _ask(path: str, *, data: bytes | None = None) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    url = os.environ["AWS_ENDPOINT_URL"].rstrip("/") + path
    try:
        with opener.open(url, data, timeout=_TIMEOUT_SECONDS) as answer:
            return json.loads(answer.read())
    except (OSError, ValueError) as error:
        raise EndpointConnectionError(endpoint_url=url, error=error) from None
