"""Two desks at two places: the coordinator's, and a hospital admin's, who has the kit and own credentials, no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from identity_desk import IdentityDesk

SITE, ACCOUNT = "hospital-b", "222222222222"
#: More than any machine does while all of this happens.
ENDLESS = 1_000_000
FEDERATION = f"""\
# the coordinator's own page
name: fed
region: us-east-1
images: {{us-east-1: ami-0fed0000000000001}}
aggregator: {{account: "333333333333", profile: aggregator, cidr: 10.30.0.0/16}}
participants:
  - id: hospital-a   # operated by the coordinator
    account: "111111111111"
    profile: hospital-a
    cidr: 10.10.0.0/16
    on_destroy: delete
    data: {{source: sites/hospital-a}}

# a round waits for nobody
policy: {{quorum: 1, round_deadline_seconds: 2}}
training: {{optimizer: sgd, learning_rate: 0.02, rounds: {ENDLESS}, epochs: 1}}
"""


@dataclass
class HandOverDesk(IdentityDesk):
    """The coordinator's desk."""

    @property
    def file(self) -> Path:
        return self.folder / "federation.yaml"

    def rounds(self) -> list[dict[str, Any]]:
        """Return what the aggregator wrote of its rounds; a line that is being written is left out."""
        path = self.volume("aggregator") / "output" / "rounds.jsonl"
        whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
        return [json.loads(line) for line in whole.splitlines()]

    def of_round(self) -> int:
        """Return the round that the aggregator has come to."""
        found: int = self.says("aggregator")["progress"].get("round", 0)
        return found


@dataclass
class Admin:
    """The hospital's admin, with a kit in a folder and the credentials of one account."""

    kit: Path
    endpoint: str
    account: str = ACCOUNT

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.kit.parent / "home"),
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": f"AKIAEMUL{self.account}",
            "AWS_SECRET_ACCESS_KEY": "-",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run the kit's script by a Python that knows nothing of the toolkit; return what it says."""
        ran = subprocess.run(
            [sys.executable, "-I", str(self.kit / "site.py"), "--wait", "90", *arguments],
            cwd=self.kit,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        said = ran.stdout + ran.stderr
        assert ran.returncode == code, f"{arguments} ended with {ran.returncode}\n{said}"
        assert "Traceback" not in said
        return said

    @property
    def release(self) -> str:
        """The release's digest, as the admin reads it in the kit."""
        told: str = json.loads((self.kit / "kit.json").read_text())["release"]["sha256"]
        return told
