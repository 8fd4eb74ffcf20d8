"""What a node finds in its root is its own, and says nothing that EC2 would not."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from infra.local.twin.machines import config
from infra.local.twin.machines.config import Identity


def identity(**change: str) -> Identity:
    given = {
        "instance": "i-0123456789abcdef0",
        "region": "us-east-1",
        "address": "10.1.0.10",
        "resolver": "10.1.0.2",
        "ca": "-----BEGIN CERTIFICATE-----\n",
    }
    return Identity(**{**given, **change})


def test_the_resolver_is_the_vpcs() -> None:
    assert "nameserver 10.1.0.2\n" in config.files(identity())["etc/resolv.conf"]


@pytest.mark.parametrize(
    ("region", "name"),
    [("us-east-1", "ip-10-1-0-10.ec2.internal"), ("eu-west-1", "ip-10-1-0-10.eu-west-1.compute.internal")],
)
def test_a_node_is_named_as_ec2_names_it(region: str, name: str) -> None:
    files = config.files(identity(region=region))
    assert f"10.1.0.10 {name} ip-10-1-0-10\n" in files["etc/hosts"]
    assert files["etc/hostname"] == "ip-10-1-0-10\n"


def test_cloud_init_asks_ec2_and_leaves_the_network_alone() -> None:
    said = yaml.safe_load(config.files(identity())["etc/cloud/cloud.cfg.d/91-federate-twin.cfg"])
    assert said["datasource_list"] == ["Ec2"]
    assert said["datasource"]["Ec2"]["metadata_urls"] == ["http://169.254.169.254"]
    assert said["network"] == {"config": "disabled"}


def test_every_service_trusts_the_twins_authority() -> None:
    files = config.files(identity())
    assert "AWS_CA_BUNDLE=/etc/federate-twin/ca.pem" in files["etc/systemd/system.conf.d/federate-twin.conf"]
    assert config.CA_PATH[1:] not in files  # it may change: it is shown at each boot


def test_a_machine_id_is_an_instances_own_and_stays() -> None:
    ids = [config.files(identity(instance=name))["etc/machine-id"].strip() for name in ("i-1", "i-2", "i-1")]
    assert ids[0] == ids[2] != ids[1]
    assert all(len(each) == 32 and int(each, 16) for each in ids)


def test_the_stand_in_for_the_agent_is_installed_where_there_is_one(tmp_path: Path) -> None:
    script = tmp_path / "ssm_agent.py"
    assert config.agent_files(script) == {}
    script.write_text("print('here')\n")
    files = config.agent_files(script)
    unit = files["etc/systemd/system/amazon-ssm-agent.service"]
    path = next(name for name in files if name.endswith(".py"))
    assert files[path] == "print('here')\n"
    assert f"ExecStart=/opt/federate/venv/bin/python /{path}\n" in unit


def test_a_link_that_debian_has_is_replaced_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/resolv.conf").symlink_to(outside)
    config.write(root, identity())
    assert outside.read_text() == "untouched"
    assert (root / "etc/resolv.conf").read_text().startswith("nameserver")


def test_what_runs_before_systemd_can_be_run_and_the_shell_finds_no_fault(tmp_path: Path) -> None:
    config.write(tmp_path, identity())
    init = tmp_path / config.INIT_PATH[1:]
    assert stat.S_IMODE(init.stat().st_mode) == 0o755
    subprocess.run(["sh", "-n", init], check=True)
