"""What a round costs beyond the sites' fit, against the floor: a bare mutual-TLS gRPC stream with the same bytes.

- ``round``: real nodes (``python -m fl_app``), 22,100 x 2 weights, 2 sites, 50 rounds: round less the longest fit; the
  floor is an exchange of the same bytes by as many bare streams, in the same run.
- ``growth``: a real aggregator and 2, 8, 32, 128 sites that answer without fitting, sixteen in a process.
- ``compression``: the run of ``round`` with each ``policy.compression``.
- ``large``: 25 and 250 million weights, two sites: send the model, take the updates in, add them up. Beside it the same
  bytes in the same chunks over bare mutual-TLS gRPC streams, and over plain TCP. Peak memory of the hub in models.
- ``idle``: a core's share of an aggregator and a site that wait.

    python benchmarks/bench_wire.py                 # some minutes
    python benchmarks/bench_wire.py --parts round idle
    python benchmarks/bench_wire.py --parts large --gbit 2.5    # over a link that carries no more
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

from wire import floor, large, link, nodes, rounds  # noqa: E402  # the path is set above

ROLES: dict[str, Any] = {
    "hub": nodes.hub,
    "site": nodes.site,
    "swarm": nodes.swarm,
    "bare-server": floor.bare_server,
    "bare-client": floor.bare_client,
    "bare-swarm": floor.bare_swarm,
    "tcp-server": floor.tcp_server,
    "tcp-client": floor.tcp_client,
}
PARTS: dict[str, Any] = {
    "round": rounds.small_round,
    "idle": rounds.idle,
    "growth": rounds.growth,
    "compression": rounds.compression,
    "large": large.large,
}


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    if len(sys.argv) > 1 and sys.argv[1] in ROLES:
        ROLES[sys.argv[1]](*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=50, metavar="N")
    parser.add_argument("--sites", type=int, nargs="+", default=[2, 8, 32, 128], metavar="N", help="of the growth")
    parser.add_argument("--millions", type=int, nargs="+", default=[25, 250], metavar="N", help="of weights")
    parser.add_argument("--peers", type=int, default=2, metavar="N", help="sites with the large models")
    parser.add_argument("--turns", type=int, default=3, metavar="N", help="of which large takes medians")
    parser.add_argument("--gbit", type=float, metavar="N", help="a second over the link, both ways together (root)")
    chosen = parser.parse_args()
    if chosen.gbit and not link.is_inside():
        link.again_inside(chosen.gbit)
    found: dict[str, Any] = {"benchmark": "wire", "cores": os.cpu_count(), "link_gbit_per_s": chosen.gbit}
    for part in chosen.parts:
        found[part] = PARTS[part](chosen)
        print(f"{part}: {json.dumps(found[part])}", file=sys.stderr, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
