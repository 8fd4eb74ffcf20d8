"""Groups are made where this process may make them, in every layout, and are found again by the twin's tag."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local.twin.machines import cgroups

ONE_TREE = ("0::/user.slice/session-1.scope\n", "30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n")
BOTH = (
    "4:memory:/box/1\n3:cpuset:/\n2:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n",
    "30 25 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n"
    "31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "32 30 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "34 30 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
    "35 30 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup rw\n",
)
CONTAINER = (
    "1:memory:/docker/abc/inner\n",
    "31 30 0:27 /docker/abc /sys/fs/cgroup/memory rw,relatime master:9 - cgroup cgroup rw,memory\n",
)


@pytest.mark.parametrize(
    ("files", "trees"),
    [
        (ONE_TREE, ["/sys/fs/cgroup"]),
        (
            BOTH,
            [
                "/sys/fs/cgroup/memory/box/1",
                "/sys/fs/cgroup/cpu,cpuacct",
                "/sys/fs/cgroup/systemd",
                "/sys/fs/cgroup/unified",
            ],
        ),
        (CONTAINER, ["/sys/fs/cgroup/memory/inner"]),
    ],
    ids=["version 2", "both", "in a container"],
)
def test_groups_go_where_this_process_may_make_them(files: tuple[str, str], trees: list[str]) -> None:
    assert [str(tree) for tree in cgroups.trees_in(*files)] == trees


def test_a_machine_has_a_group_in_each_tree_and_enters_all(tmp_path: Path) -> None:
    trees = [tmp_path / "memory", tmp_path / "pids"]
    group = cgroups.make("t1", "i-1", trees)
    assert [str(path) for path in group.procs] == [f"{tree}/federate-twin-t1/i-1/cgroup.procs" for tree in trees]
    assert all(folder.is_dir() for folder in group.folders)


def test_the_twins_own_group_goes_with_its_last_machine(tmp_path: Path) -> None:
    first, second = (cgroups.make("t1", name, [tmp_path]) for name in ("i-1", "i-2"))
    first.remove()
    assert second.folders[0].exists()
    second.remove()
    assert list(tmp_path.iterdir()) == []


def test_sweeping_removes_what_is_empty_with_all_below_and_nothing_of_another_twin(tmp_path: Path) -> None:
    group = cgroups.make("t1", "i-1", [tmp_path])
    (group.folders[0] / "system.slice" / "ssh.service").mkdir(parents=True)
    other = cgroups.make("t2", "i-1", [tmp_path])
    assert cgroups.sweep("t1", [tmp_path]) == []
    assert [path.name for path in tmp_path.iterdir()] == ["federate-twin-t2"]
    assert other.folders[0].exists()


def test_a_group_that_still_holds_something_is_named_and_stays(tmp_path: Path) -> None:
    group = cgroups.make("t1", "i-1", [tmp_path])
    (group.folders[0] / "process").touch()  # a folder with a file cannot be removed, nor can a group with a process
    assert cgroups.sweep("t1", [tmp_path], timeout_seconds=0) == [tmp_path / "federate-twin-t1"]


def test_controllers_are_handed_on_to_a_machines_group(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "federate-twin-t1"):
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.controllers").write_text("cpuset memory pids\n")
        (folder / "cgroup.subtree_control").write_text("")
    cgroups.make("t1", "i-1", [tmp_path])
    # The kernel adds each one; a plain file keeps what was written last.
    assert (tmp_path / "federate-twin-t1" / "cgroup.subtree_control").read_text() == "+pids"
