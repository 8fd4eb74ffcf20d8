"""A link of a given rate: the same benchmark once more, in a network namespace whose loopback carries no more."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

_INSIDE = "FEDERATE_BENCH_LINK"
_SET_UP = 'ip link set lo up && tc qdisc add dev lo root tbf rate "$1" burst 4mb latency 100ms && shift && exec "$@"'


def is_inside() -> bool:
    """Say whether this process is in such a namespace."""
    return _INSIDE in os.environ


def again_inside(gbit: float) -> NoReturn:
    """Run this command there instead; the namespace ends with it.

    All traffic passes the one queue, so the rate is that of both directions and all sites together.
    """
    inside = ["sh", "-c", _SET_UP, "sh", f"{gbit}gbit", sys.executable, *sys.argv]
    os.execvpe("unshare", ["unshare", "--net", *inside], {**os.environ, _INSIDE: "1"})
