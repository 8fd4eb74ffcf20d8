"""What is written into a node's root before it first boots, where AWS has hardware, DHCP and an agent of its own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

#: The twin's authority, which vouches for the emulated services. It is shown there at each boot, as it is then.
CA_PATH = "/etc/federate-twin/ca.pem"
#: What runs before systemd; see the script.
INIT_PATH = "/usr/lib/federate-twin/init"
_INIT_SOURCE = Path(__file__).with_name("init.sh")
_AGENT_PATH = "/usr/lib/federate-twin/ssm_agent.py"
_AGENT_UNIT = "amazon-ssm-agent.service"
_AGENT_SOURCE = Path(__file__).with_name("ssm_agent.py")

#: EC2's metadata at its address: no hardware shows that this is an instance. A shell script of cloud-init's reads the
#: first line, so it must look as it does.
_CLOUD_INIT = """\
datasource_list: [ Ec2 ]
datasource:
  Ec2:
    strict_id: false
    metadata_urls: ["http://169.254.169.254"]
    max_wait: 30
    timeout: 5
network:
  config: disabled
"""

_UNIT = f"""\
[Unit]
Description=The twin's stand-in for the Systems Manager agent
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart=/opt/federate/venv/bin/python {_AGENT_PATH}
Environment=PYTHONUNBUFFERED=1
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a machine is.

    Args:
        instance: its id.
        region: where it is.
        address: of its network interface.
        resolver: address of its VPC's resolver.
        ca: the twin's authority, as PEM.
    """

    instance: str
    region: str
    address: str
    resolver: str
    ca: str

    @property
    def hostname(self) -> str:
        """The name that EC2 gives an instance after its address."""
        return f"ip-{self.address.replace('.', '-')}"

    @property
    def domain(self) -> str:
        """The domain of private names; us-east-1 has the oldest.

        Source: Amazon VPC User Guide, "DNS attributes for your VPC".
        """
        return "ec2.internal" if self.region == "us-east-1" else f"{self.region}.compute.internal"


def files(identity: Identity) -> dict[str, str]:
    """Return path in the root to content."""
    name = identity.hostname
    environment = f"AWS_CA_BUNDLE={CA_PATH} FEDERATE_THREADS=1"
    return {
        "etc/hostname": f"{name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n{identity.address} {name}.{identity.domain} {name}\n",
        "etc/resolv.conf": f"nameserver {identity.resolver}\nsearch {identity.domain}\noptions timeout:2 attempts:2\n",
        # The same at each boot, and another for each instance.
        "etc/machine-id": f"{hashlib.sha256(identity.instance.encode()).hexdigest()[:32]}\n",
        INIT_PATH[1:]: _INIT_SOURCE.read_text("utf-8"),
        "etc/systemd/system.conf.d/federate-twin.conf": f"[Manager]\nDefaultEnvironment={environment}\n",
        "etc/cloud/cloud.cfg.d/91-federate-twin.cfg": _CLOUD_INIT,
    }


def agent_files(source: Path = _AGENT_SOURCE) -> dict[str, str]:
    """Return the files of the stand-in for the Systems Manager agent; none where it is not there."""
    if not source.exists():
        return {}
    return {_AGENT_PATH[1:]: source.read_text("utf-8"), f"etc/systemd/system/{_AGENT_UNIT}": _UNIT}


def write(root: Path, identity: Identity) -> None:
    """Write a node's files into its root, before it boots for the first time.

    Not later: what a node has made of its root since, links above all, might lead out of it.

    Args:
        root: the node's own, mounted; nothing is ever written into the base.
        identity: whose.
    """
    agent = agent_files()
    for name, content in {**files(identity), **agent}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # Debian's own may be a link
        path.write_text(content)
        path.chmod(0o755 if name == INIT_PATH[1:] else 0o644)
    if agent:
        wants = root / "etc/systemd/system/multi-user.target.wants" / _AGENT_UNIT
        wants.parent.mkdir(parents=True, exist_ok=True)
        wants.unlink(missing_ok=True)
        wants.symlink_to(f"/etc/systemd/system/{_AGENT_UNIT}")
