"""Namespaces are entered by one thread at a time, and nothing of the test's own process goes with it."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twin_world import As

from infra.local.twin.network import namespaces
from infra.local.twin.network.namespaces import NetworkRefused

World = Callable[[Callable[[], Any]], Any]


def devices() -> list[str]:
    return sorted(name for _, name in socket.if_nameindex())


@pytest.mark.parametrize("who", ["root", "user"])
def test_a_function_and_a_process_run_inside_and_the_caller_stays_outside(world: World, who: As) -> None:
    def story() -> dict[str, Any]:
        namespaces.create(["one", "two"])
        namespaces.ip(["link add name here netns one type veth peer name there netns two"])
        process = namespaces.popen("two", ["ip", "-o", "link", "show", "there"], stdout=subprocess.PIPE, text=True)
        return {
            "in one": namespaces.call("one", devices),
            "in two": namespaces.call("two", devices),
            "a process in two": "there" in process.communicate()[0],
            "outside": devices(),
            "names": sorted(namespaces.names()),
        }

    assert world(story) == {
        "in one": ["here", "lo"],
        "in two": ["lo", "there"],
        "a process in two": True,
        "outside": ["lo"],
        "names": ["one", "two"],
    }


@pytest.mark.parametrize("who", ["root", "user"])
def test_sysctls_are_those_of_the_namespace(world: World, who: As) -> None:
    def forwards() -> str:
        return Path("/proc/sys/net/ipv4/ip_forward").read_text().strip()

    def story() -> tuple[str, str]:
        namespaces.create(["one", "two"])
        namespaces.sysctl("one", [("ipv4/ip_forward", "1"), ("ipv4/no_such_value", "1")])
        return namespaces.call("one", forwards), namespaces.call("two", forwards)

    assert world(story) == ("1", "0")


def test_an_error_inside_is_the_callers(world: World) -> None:
    def story() -> str:
        namespaces.create(["one"])
        with pytest.raises(ZeroDivisionError) as error:
            namespaces.call("one", lambda: 1 // 0)
        return str(error.value)

    assert "zero" in world(story)


def test_the_refused_line_is_named_among_many(world: World) -> None:
    def story() -> str:
        namespaces.create(["one"])
        with pytest.raises(NetworkRefused) as refused:
            namespaces.ip(["link set lo up", "link set no-such-dev up", "link set lo down"], "one")
        return str(refused.value)

    told = world(story)
    assert "ip link set no-such-dev up (in one)" in told
    assert 'Cannot find device "no-such-dev"' in told


def test_a_deleted_name_is_gone(world: World) -> None:
    def story() -> tuple[bool, bool]:
        namespaces.create(["one"])
        there = namespaces.exists("one")
        namespaces.delete(["one"])
        return there, namespaces.exists("one")

    assert world(story) == (True, False)
