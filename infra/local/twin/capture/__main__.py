"""``python -m infra.local.twin.capture``: records what crosses the peerings of a twin, until its standard input ends.

To be run by a test within the twin's world (nsenter), where the namespaces have their names.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import boto3

from infra.local.aws.accounts import SECRET, static_key
from infra.local.twin.capture.record import crossings, recording
from infra.local.twin.deployed import Places
from infra.local.twin.network import plan, read


def main() -> int:
    """Record; ``ready`` on standard output says that it has begun."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.twin.capture", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="the twin's folder")
    parser.add_argument("--identities", type=Path, required=True, metavar="DIR", help="see capture.record.recording")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to")
    parser.add_argument("--tls-name", required=True, help="of the aggregator's certificate")
    parser.add_argument("--port", type=int, required=True, help="the FL port")
    options = parser.parse_args()
    found = crossings(plan(read(Places(options.folder), _client)))
    with recording(found, options.out, identities=options.identities, tls_name=options.tls_name, port=options.port):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()
    return 0


def _client(service: str, account: str, region: str) -> Any:
    return boto3.Session(static_key(account), SECRET, region_name=region).client(service)


if __name__ == "__main__":
    sys.exit(main())
