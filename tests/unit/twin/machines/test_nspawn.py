"""The command that boots a machine keeps it in its network, its groups and its disks."""

from __future__ import annotations

import subprocess
from pathlib import Path

from infra.local.twin.machines import nspawn


def boot(files: dict[str, Path] | None = None, **devices: str) -> list[str]:
    return nspawn.boot_command(
        name="i-1",
        root=Path("/twin/i-1/root"),
        network=Path("/run/netns/eni-1"),
        devices={f"/dev/{inside}": Path(outside) for inside, outside in devices.items()},
        files=files or {},
    )


def test_it_boots_in_the_network_of_its_interface() -> None:
    assert "--network-namespace-path=/run/netns/eni-1" in boot()


def test_it_asks_no_machine_manager_and_stays_in_the_group_in_which_it_is_started() -> None:
    assert {"--register=no", "--keep-unit"} <= set(boot())


def test_a_volume_has_inside_the_name_under_which_it_is_attached() -> None:
    assert "--bind=/dev/loop7:/dev/sdf" in boot(sdf="/dev/loop7")


def test_a_file_that_is_shown_inside_cannot_be_written_there() -> None:
    assert "--bind-ro=/twin/ca.pem:/etc/ca.pem" in boot({"/etc/ca.pem": Path("/twin/ca.pem")})


def test_its_root_cannot_make_itself_the_device_of_another_machines_disk() -> None:
    assert "--drop-capability=CAP_MKNOD" in boot()


def test_no_file_beside_the_root_changes_how_it_boots() -> None:
    assert "--settings=no" in boot()


def test_groups_are_entered_before_the_command_runs(tmp_path: Path) -> None:
    procs = [tmp_path / "one", tmp_path / "two words"]
    command = nspawn.in_groups(procs, ["cat", *map(str, procs)])
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0\n0\n"


def test_a_command_does_not_run_outside_a_group_that_cannot_be_entered(tmp_path: Path) -> None:
    command = nspawn.in_groups([tmp_path / "missing" / "cgroup.procs"], ["echo", "ran"])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (70, "")


def test_a_command_inside_gets_nothing_of_the_twins_environment() -> None:
    command = nspawn.enter_command(42, ["systemctl", "status"])
    assert command[:2] == ["nsenter", "--target=42"]
    assert command[command.index("env") + 1] == "--ignore-environment"
    assert command[-2:] == ["systemctl", "status"]
