"""At each look the bodies become what the accounts say: one for each running instance, none for any other."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.local.twin.deployed import Instance, Seen
from infra.local.twin.grounds.loopback import look


@dataclass
class FakeDeployed:
    """What the accounts show."""

    running: dict[str, Instance] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    without_role: set[str] = field(default_factory=set)
    hub: tuple[str, str] | None = ("eni-hub", "10.30.0.10")
    rebooted_now: set[str] = field(default_factory=set)

    def instances(self) -> Seen:
        return Seen(dict(self.running), {*self.running, *self.stopped})

    def rebooted(self) -> set[str]:
        taken, self.rebooted_now = self.rebooted_now, set()
        return taken

    def volumes(self) -> set[str]:
        return {instance.volume for instance in self.running.values()}

    def hub_address(self, federation: str) -> tuple[str, str] | None:
        return self.hub

    def credentials(self, instance: Instance) -> dict[str, str]:
        if instance.id in self.without_role:
            raise ClientError({"Error": {"Code": "NoSuchEntity", "Message": "no role"}}, "GetInstanceProfile")
        return {"AWS_ACCESS_KEY_ID": f"role-of-{instance.id}"}


@dataclass
class FakeBodies:
    """Bodies that are no processes; ``log`` tells what was done."""

    alive: dict[str, bool] = field(default_factory=dict)
    log: list[Any] = field(default_factory=list)

    def __iter__(self) -> Any:
        return iter(tuple(self.alive))

    def is_alive(self, instance: str) -> bool:
        return self.alive.get(instance, False)

    def start(self, instance: Instance, environment: dict[str, str]) -> None:
        assert instance.id not in self.alive
        self.alive[instance.id] = True
        self.log.append(("start", instance.id, environment["AWS_ACCESS_KEY_ID"], environment["FEDERATE_ADDRESS_MAP"]))

    def end(self, instance: str) -> None:
        if self.alive.pop(instance, None) is not None:
            self.log.append(("end", instance))

    def kill(self, instance: str) -> None:
        if self.alive.pop(instance, None) is not None:
            self.log.append(("kill", instance))

    def forget(self, instances: set[str], volumes: set[str]) -> None:
        self.log.append(("keep", *sorted(instances), *sorted(volumes)))

    def port_for(self, interface: str) -> int:
        return {"eni-hub": 20001}[interface]


@pytest.fixture
def deployed(instance: Instance) -> FakeDeployed:
    return FakeDeployed({"i-a": instance})


@pytest.fixture
def bodies() -> FakeBodies:
    return FakeBodies()


def test_a_running_instance_is_booted_once_with_its_own_role(deployed: FakeDeployed, bodies: FakeBodies) -> None:
    for _ in range(3):
        look(deployed, bodies)  # type: ignore[arg-type]
    starts = [entry for entry in bodies.log if entry[0] == "start"]
    assert starts == [("start", "i-a", "role-of-i-a", "10.30.0.10:*=127.0.0.1:20001")]


def test_a_dead_agent_is_followed_by_another_once_what_it_left_is_ended(
    deployed: FakeDeployed, bodies: FakeBodies
) -> None:
    look(deployed, bodies)  # type: ignore[arg-type]
    bodies.alive["i-a"] = False
    bodies.log.clear()
    look(deployed, bodies)  # type: ignore[arg-type]
    assert [entry[:2] for entry in bodies.log[:2]] == [("end", "i-a"), ("start", "i-a")]


def test_a_stopped_instance_has_no_body_and_keeps_its_volumes(deployed: FakeDeployed, bodies: FakeBodies) -> None:
    look(deployed, bodies)  # type: ignore[arg-type]
    deployed.running.clear()
    deployed.stopped.add("i-a")
    bodies.log.clear()
    look(deployed, bodies)  # type: ignore[arg-type]
    assert bodies.log == [("end", "i-a"), ("keep", "i-a")]


def test_what_is_terminated_is_forgotten(deployed: FakeDeployed, bodies: FakeBodies) -> None:
    look(deployed, bodies)  # type: ignore[arg-type]
    deployed.running.clear()
    bodies.log.clear()
    look(deployed, bodies)  # type: ignore[arg-type]
    assert bodies.log == [("end", "i-a"), ("keep",)]


def test_before_the_hubs_address_exists_nobody_is_booted(deployed: FakeDeployed, bodies: FakeBodies) -> None:
    deployed.hub = None
    look(deployed, bodies)  # type: ignore[arg-type]
    assert bodies.alive == {}
    deployed.hub = ("eni-hub", "10.30.0.10")
    look(deployed, bodies)  # type: ignore[arg-type]
    assert bodies.alive == {"i-a": True}


def test_a_replaced_instance_is_another_node_on_the_same_volume(
    deployed: FakeDeployed, bodies: FakeBodies, instance: Instance
) -> None:
    look(deployed, bodies)  # type: ignore[arg-type]
    deployed.running = {"i-b": dataclasses.replace(instance, id="i-b")}
    bodies.log.clear()
    look(deployed, bodies)  # type: ignore[arg-type]
    assert [entry[:2] for entry in bodies.log] == [("end", "i-a"), ("start", "i-b"), ("keep", "i-b")]


def test_a_node_that_cannot_be_booted_keeps_no_other_from_it(
    deployed: FakeDeployed, bodies: FakeBodies, instance: Instance
) -> None:
    deployed.running = {"i-0": dataclasses.replace(instance, id="i-0"), **deployed.running}
    deployed.without_role = {"i-0"}
    look(deployed, bodies)  # type: ignore[arg-type]
    assert bodies.alive == {"i-a": True}
    deployed.without_role = set()
    look(deployed, bodies)  # type: ignore[arg-type]
    assert bodies.alive == {"i-a": True, "i-0": True}


def test_a_rebooted_instance_has_another_body_at_once_on_what_is_there(
    deployed: FakeDeployed, bodies: FakeBodies, instance: Instance
) -> None:
    deployed.running["i-b"] = dataclasses.replace(instance, id="i-b")
    look(deployed, bodies)  # type: ignore[arg-type]
    bodies.log.clear()
    deployed.rebooted_now = {"i-a"}
    look(deployed, bodies)  # type: ignore[arg-type]
    assert [entry[:2] for entry in bodies.log[:2]] == [("kill", "i-a"), ("start", "i-a")]
    assert bodies.log[2:] == [("keep", "i-a", "i-b", "vol-a")]  # no root and no state volume is forgotten


def test_a_reboot_is_done_once(deployed: FakeDeployed, bodies: FakeBodies) -> None:
    look(deployed, bodies)  # type: ignore[arg-type]
    deployed.rebooted_now = {"i-a"}
    look(deployed, bodies)  # type: ignore[arg-type]
    bodies.log.clear()
    look(deployed, bodies)  # type: ignore[arg-type]
    assert bodies.log == [("keep", "i-a", "vol-a")]


def test_a_reboot_gives_no_body_to_what_is_stopped_or_has_just_been_booted(
    deployed: FakeDeployed, bodies: FakeBodies
) -> None:
    deployed.rebooted_now = {"i-a", "i-stopped"}
    deployed.stopped = {"i-stopped"}
    look(deployed, bodies)  # type: ignore[arg-type]
    assert [entry[:2] for entry in bodies.log[:-1]] == [("start", "i-a")]
