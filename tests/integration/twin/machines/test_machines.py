"""Machines boot their user data into the image's own units, and what the units state holds in them."""

from __future__ import annotations

import io
import json
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest
from fake_node import FACTS
from machine_lab import Lab
from needs import cannot_run

from infra.local.twin import machines
from infra.local.twin.machines import cgroups, tools
from infra.local.twin.machines.volumes import VolumeInUse
from node_bootstrap.user_data import render

#: The first one builds the base, if no other has.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

AGENT = "federate-agent.service"
STATE = "/var/lib/federate/state"
POWER_ON_TO_READY_SECONDS = 15.0


def _needs_machines() -> None:
    try:
        tools.require(*tools.PACKAGES)
    except tools.CannotHaveMachines as error:
        cannot_run(str(error))


@pytest.fixture(scope="module")
def base() -> str:
    _needs_machines()
    return str(machines.ensure(machines.cache_folder(), print))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def up(base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Machine 0, up and left as it was found by each test."""
    made = Lab(tmp_path_factory.mktemp("machines"))
    boot(made, base, 0)
    yield made
    made.close()


def boot(lab: Lab, base: str, number: int, volume: str = "") -> None:
    lab.call("add", number, base, render(FACTS), volume)
    lab.call("do", number, "start")
    lab.until(lambda: "PutParameter" in operations(lab, number))  # the agent of ours; the SSM agent is heard before


def operations(lab: Lab, number: int) -> list[str]:
    """Return what the node's own agent asked for; the one of Systems Manager, which begins earlier, does not count."""
    return [operation for _, operation, path, _ in lab.call("heard", number) if not path.startswith("/_federate/")]


def run(lab: Lab, number: int, script: str) -> str:
    code, said, errors = lab.call("enter", number, "sh", "-c", script)
    assert code == 0, f"{script}: {said}{errors}"
    return said.strip()


def fails(lab: Lab, number: int, script: str) -> bool:
    return lab.call("enter", number, "sh", "-c", script)[0] != 0


def comes_to(lab: Lab, number: int, script: str) -> Callable[[], bool]:
    """Return what says whether the script succeeds; in a machine that is off, or just booting, it does not."""

    def succeeds() -> bool:
        return bool(lab.call("try_to_enter", number, "sh", "-c", script))

    return succeeds


def agent_is_up(lab: Lab, number: int) -> Callable[[], bool]:
    return comes_to(lab, number, f"systemctl is-active {AGENT}")


def main_pid(lab: Lab, number: int) -> str:
    return run(lab, number, f"systemctl show --property MainPID --value {AGENT}")


def processor_seconds(tag: str) -> float:
    """Return what a twin's machines have used of the processors, whoever else uses them."""
    for tree in cgroups.own_trees():
        for group in (tree / f"federate-twin-{tag}").glob("cpu*"):
            if group.name == "cpuacct.usage":  # nanoseconds
                return int(group.read_text()) / 1e9
            if group.name == "cpu.stat" and tree == Path("/sys/fs/cgroup"):
                return int(group.read_text().split()[1]) / 1e6
    pytest.skip("no control group here counts processor time")


def test_three_nodes_are_ready_after_no_more_work_than_two_cores_do_in_time(base: str, lab: Lab) -> None:
    for number in range(3):
        lab.call("add", number, base, render(FACTS))
    began = time.time()
    for number in range(3):
        lab.call("do", number, "start")
    lab.until(lambda: all(operations(lab, number) for number in range(3)))
    took = max(lab.call("heard", number)[0][0] for number in range(3)) - began
    worked = processor_seconds(lab.call("tag", 0))
    print(f"three nodes: {took:.1f} s from power-on to their agents' first call, {worked:.1f} s of work")
    assert worked < POWER_ON_TO_READY_SECONDS  # half of what two cores do in that time: nodes also wait


def test_the_agent_runs_under_its_user_with_no_capability_and_no_way_to_get_one(up: Lab) -> None:
    status = run(up, 0, f"cat /proc/{main_pid(up, 0)}/status")
    told = {name: value.split() for name, _, value in (line.partition(":") for line in status.splitlines())}
    user = run(up, 0, "id -u federate")
    assert set(told["Uid"]) == {user} != {"0"}
    assert {name: int(told[name][0], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == dict.fromkeys(
        ("CapEff", "CapPrm", "CapBnd"), 0
    )
    assert (told["NoNewPrivs"], told["Seccomp"]) == (["1"], ["2"])


@pytest.mark.parametrize(
    ("path", "is_open"), [("/etc", False), ("/usr", False), (STATE, True), ("/var/lib/federate", True)]
)
def test_in_the_agents_sandbox_only_its_own_folders_can_be_written(up: Lab, path: str, is_open: bool) -> None:
    inside = f"nsenter --target {main_pid(up, 0)} --mount"
    assert fails(up, 0, f"{inside} touch {path}/probe && rm {path}/probe") is not is_open


def test_negative_control_outside_the_agents_sandbox_root_may_write(up: Lab) -> None:
    run(up, 0, "touch /etc/probe && rm /etc/probe")


def test_the_state_volume_is_mounted_for_the_agent_alone(up: Lab) -> None:
    told = run(up, 0, f"findmnt --noheadings --output SOURCE,FSTYPE,OPTIONS {STATE}").split()
    assert told[:2] == ["/dev/sdf", "ext4"]
    assert {"noexec", "nosuid", "nodev"} <= set(told[2].split(","))
    assert run(up, 0, f"stat --format '%U %a' {STATE}") == "federate 700"


def test_a_limit_that_a_unit_states_holds_and_without_it_nothing_stops_the_same_unit(up: Lab) -> None:
    greedy = "python3 -c 'bytearray(200 << 20)'"
    assert fails(up, 0, f"systemd-run --wait --quiet --property MemoryMax=50M {greedy}")
    run(up, 0, f"systemd-run --wait --quiet {greedy}")


def test_a_node_makes_its_own_host_key_and_the_base_has_none(up: Lab, base: str) -> None:
    assert run(up, 0, "ls /etc/ssh | grep host").split() == ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"]
    assert list(Path(base, "etc/ssh").glob("ssh_host_*")) == []
    assert Path(base, "etc/machine-id").read_text() == ""


def test_what_a_node_writes_is_its_own(up: Lab, base: str) -> None:
    run(up, 0, "touch /usr/bin/mine")
    assert not Path(base, "usr/bin/mine").exists()


def test_root_makes_no_device_file_by_which_another_nodes_disk_could_be_read(up: Lab) -> None:
    as_unit = "systemd-run --quiet --pipe --wait"  # what enters from outside may more than what runs inside
    assert fails(up, 0, f"{as_unit} mknod /root/disk b 7 0")
    run(up, 0, f"{as_unit} mkfifo /root/pipe")  # the negative control: what is no device can be made
    run(up, 0, "rm /root/pipe")


def test_temporary_files_are_on_the_root_disk(up: Lab) -> None:
    assert run(up, 0, "findmnt --noheadings --output TARGET --target /tmp") == "/"


def test_there_is_one_torch_without_graphics_packages(base: str) -> None:
    packages = next(Path(base, "opt/federate/venv/lib").glob("python3*/site-packages"))
    assert len(list(packages.glob("torch-*.dist-info"))) == 1
    assert list(packages.glob("nvidia*")) == []


def key_pair() -> tuple[str, str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()
    made = paramiko.Ed25519Key.from_private_key(io.StringIO(secret))
    return secret, f"{made.get_name()} {made.get_base64()}"


@pytest.fixture(scope="module")
def operator(up: Lab) -> str:
    """A key that EC2 Instance Connect holds for the operator, and for two others."""
    secret, public = key_pair()
    for user in ("federate-operator", "root", "federate"):
        up.call("publish_key", user, public)
    up.until(lambda: not fails(up, 0, "systemctl is-active ssh.service"))
    return secret


def test_an_operator_comes_in_by_a_key_of_instance_connect_and_sees_the_one_host_key(up: Lab, operator: str) -> None:
    code, said, _, host_key = up.call("ssh", 0, "federate-operator", operator, "id -un")
    assert (code, said.strip(), host_key) == (0, "federate-operator", "ssh-ed25519")


@pytest.mark.parametrize("user", ["root", "federate"])
def test_nobody_else_comes_in_by_such_a_key(up: Lab, operator: str, user: str) -> None:
    with pytest.raises(AssertionError, match="AuthenticationException"):
        up.call("ssh", 0, user, operator, "true")


def test_a_key_that_instance_connect_does_not_hold_opens_nothing(up: Lab, operator: str) -> None:
    with pytest.raises(AssertionError, match="AuthenticationException"):
        up.call("ssh", 0, "federate-operator", key_pair()[0], "true")


def test_no_password_is_ever_asked_for(up: Lab, operator: str) -> None:
    run(up, 0, "echo federate-operator:secret | chpasswd")
    with pytest.raises(AssertionError, match="BadAuthenticationType"):
        up.call("ssh", 0, "federate-operator", operator, "true", "secret")


@pytest.mark.parametrize(
    ("command", "is_allowed"),
    [
        (f"sudo -n systemctl restart {AGENT}", True),
        (f"sudo -n systemctl status --no-pager {AGENT}", True),
        (f"sudo -n journalctl --no-pager -u {AGENT}", True),
        (f"journalctl --no-pager -u {AGENT} -n 1", True),
        ("sudo -n systemctl restart ssh.service", False),
        (f"sudo -n systemctl edit {AGENT}", False),
        ("sudo -n journalctl --no-pager", False),
        ("sudo -n id", False),
        (f"systemctl restart {AGENT}", False),
    ],
)
def test_an_operator_may_act_on_the_unit_alone(up: Lab, operator: str, command: str, is_allowed: bool) -> None:
    code, said, errors, _ = up.call("ssh", 0, "federate-operator", operator, command)
    assert (code == 0) is is_allowed, said + errors
    up.until(agent_is_up(up, 0))


def test_a_killed_agent_is_started_again(up: Lab) -> None:
    before = main_pid(up, 0)
    up.call("fault", 0, "kill")
    assert up.until(lambda: {main_pid(up, 0)} - {"0", before})
    up.until(agent_is_up(up, 0))


def test_a_frozen_agent_stands_still_until_it_is_thawed(up: Lab) -> None:
    up.until(agent_is_up(up, 0))
    state = f"cut -d' ' -f3 /proc/{main_pid(up, 0)}/stat"
    up.call("fault", 0, "freeze")
    assert run(up, 0, state) == "T"
    up.call("fault", 0, "thaw")
    assert run(up, 0, state) != "T"


@pytest.mark.parametrize("folder", ["/var/lib/federate", STATE])
def test_a_full_disk_takes_nothing_more_until_it_is_emptied_and_costs_no_room_here(up: Lab, folder: str) -> None:
    write = f"runuser -u federate -- dd if=/dev/zero of={folder}/probe bs=64k count=16 status=none"
    free = shutil.disk_usage("/").free
    up.call("fault", 0, "fill", folder)
    assert fails(up, 0, write)
    assert free - shutil.disk_usage("/").free < 1 << 30
    up.call("fault", 0, "empty", folder)
    run(up, 0, f"{write} && rm {folder}/probe")


def test_a_skewed_clock_is_the_agents_alone_and_is_set_right_again(up: Lab) -> None:
    def year() -> int:
        line = run(up, 0, f"journalctl --unit {AGENT} --output cat --lines 1 _PID={main_pid(up, 0)}")
        return int(line[:4]) if line[:4].isdigit() else 0

    now = time.gmtime().tm_year
    up.call("fault", 0, "skew", 10 * 366 * 86_400)
    up.until(lambda: year() >= now + 10)
    assert run(up, 0, "date +%Y") == str(now)
    up.call("fault", 0, "set_right")
    up.until(lambda: year() == now)


def test_a_reboot_resumes_the_unit_and_runs_no_user_data_again(base: str, lab: Lab) -> None:
    boot(lab, base, 0)
    run(lab, 0, f"echo kept > {STATE}/probe")
    before = run(lab, 0, "cat /proc/sys/kernel/random/boot_id")
    heard = len(operations(lab, 0))
    lab.call("do", 0, "reboot")
    lab.until(comes_to(lab, 0, f"test $(cat /proc/sys/kernel/random/boot_id) != {before}"))
    lab.until(agent_is_up(lab, 0))
    lab.until(lambda: len(operations(lab, 0)) > heard)
    assert run(lab, 0, f"cat {STATE}/probe") == "kept"
    assert run(lab, 0, "ls /var/lib/cloud/instances") == "i-00000000000000000"
    assert lab.call("console", 0).count("federate-agent.service") >= 2
    assert run(lab, 0, "grep -c 'Running command.*part-001' /var/log/cloud-init.log") == "1"


def test_user_data_may_be_a_cloud_config_as_well(base: str, lab: Lab) -> None:
    lab.call("add", 0, base, "#cloud-config\nruncmd:\n- touch /root/ran\n")
    lab.call("do", 0, "start")
    lab.until(comes_to(lab, 0, "test -e /root/ran"))


def test_power_off_keeps_disk_volume_and_host_key(base: str, lab: Lab) -> None:
    boot(lab, base, 0)
    run(lab, 0, f"echo kept > {STATE}/probe; echo kept > /root/probe")
    key = run(lab, 0, "cat /etc/ssh/ssh_host_ed25519_key.pub")
    lab.call("do", 0, "power_off")
    assert not lab.call("is_alive", 0)
    lab.call("do", 0, "start")
    lab.until(agent_is_up(lab, 0))
    assert run(lab, 0, f"cat {STATE}/probe /root/probe").split() == ["kept", "kept"]
    assert run(lab, 0, "cat /etc/ssh/ssh_host_ed25519_key.pub") == key


def test_a_machine_is_powered_on_again_while_one_that_booted_after_it_runs(base: str, lab: Lab) -> None:
    boot(lab, base, 0)
    boot(lab, base, 1)  # it has copies of the mounts that it found
    lab.call("do", 0, "power_off")
    lab.call("do", 0, "start")
    lab.until(agent_is_up(lab, 0))


def test_the_state_volume_outlives_the_node_even_if_its_power_is_taken_away(base: str, lab: Lab) -> None:
    boot(lab, base, 0, "volume.img")
    run(lab, 0, f"echo kept > {STATE}/probe; sync")
    lab.call("do", 0, "kill")
    boot(lab, base, 1, "volume.img")
    assert run(lab, 1, f"cat {STATE}/probe") == "kept"


def test_a_damaged_volume_is_not_formatted_and_the_node_says_why_it_does_not_come_up(
    base: str, lab: Lab, tmp_path: Path
) -> None:
    volume = tmp_path / "damaged.img"
    machines.Volume(volume, 1).attach().close()
    subprocess.run(["mkfs.ext4", "-q", "-L", "precious", volume], check=True)
    with volume.open("r+b") as file:  # the inode table, and its groups' descriptors
        file.seek(4096)
        file.write(b"\xa5" * (4 << 20))
    lab.call("add", 0, base, render(FACTS), "damaged.img")
    lab.call("do", 0, "start")
    lab.until(lambda: {"PutLogEvents", "PutParameter"} <= {*operations(lab, 0)})
    heard = [(operation, body) for _, operation, _, body in lab.call("heard", 0)]
    logged = [body for operation, body in heard if operation == "PutLogEvents"]  # its lines and its measures
    assert any("the state volume /dev/sdf is damaged" in body for body in logged)
    said: dict[str, Any] = json.loads([body for operation, body in heard if operation == "PutParameter"][-1])
    assert said["Name"] == "/federate/fed/hospital-a/state"
    assert json.loads(said["Value"])["state"] == "failed"
    assert "the state volume /dev/sdf is damaged" in json.loads(said["Value"])["reason"]
    assert fails(lab, 0, f"systemctl is-active {AGENT}")
    assert "precious" in subprocess.run(["blkid", volume], capture_output=True, text=True, check=True).stdout
    assert "the state volume /dev/sdf is damaged" in lab.call("console", 0)


def test_a_twin_that_is_killed_leaves_no_mount_or_device_and_groups_that_are_swept(base: str, tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    boot(lab, base, 0)
    tag = lab.call("tag", 0)
    assert str(tmp_path) in attached()
    lab.kill()
    lab.until(lambda: str(tmp_path) not in attached())
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    left = [tree / f"federate-twin-{tag}" for tree in cgroups.own_trees()]
    assert all(folder.exists() for folder in left)  # the negative control: there is something to sweep
    lab.until(lambda: machines.sweep(tag) == [])
    assert not any(folder.exists() for folder in left)


def test_a_machine_boots_under_control_groups_of_version_2_as_well(base: str, tmp_path: Path) -> None:
    lab = Lab(tmp_path, one_tree=True)
    try:
        boot(lab, base, 0)
        lab.until(agent_is_up(lab, 0))
        assert run(lab, 0, "stat --file-system --format %T /sys/fs/cgroup") == "cgroup2fs"
    finally:
        lab.close()


def attached() -> str:
    return "".join(path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file"))


def test_a_volume_is_attached_once_and_again_when_it_was_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _needs_machines()
    monkeypatch.setattr("infra.local.twin.machines.volumes._DETACH_SECONDS", 0.2)
    volume = machines.Volume(tmp_path / "volume.img", 1)
    loop = volume.attach()
    with pytest.raises(VolumeInUse, match="attached to another machine"):
        volume.attach()
    loop.close()
    volume.attach().close()


def test_a_machine_that_is_to_end_does_not_boot_again(base: str, lab: Lab) -> None:
    boot(lab, base, 0)
    lab.call("do", 0, "reboot")
    lab.call("do", 0, "kill")
    assert not lab.call("is_alive", 0)


def test_a_volume_takes_no_room_before_it_is_used(tmp_path: Path) -> None:
    _needs_machines()
    loop = machines.Volume(tmp_path / "volume.img", 100).attach()
    loop.close()
    made = (tmp_path / "volume.img").stat()
    assert (made.st_size, made.st_blocks, stat.S_IMODE(made.st_mode)) == (100 << 30, 0, 0o600)
