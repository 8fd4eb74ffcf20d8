"""SSH to a node through a signed tunnel: only with the account's credentials, a fresh key, and to the known host."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from reachable import Reachable, reachable
from ssh_node import line, new_key

from infra.local.aws.additions import ssh_keys_api
from infra.local.aws.additions.ssh_keys import SshKeys
from infra.local.process import started_at
from infra.nodes.reach import NobodyAnswers, Outcome, Ssh, TimedOut
from infra.nodes.reach import tunnel as tunnel_module
from infra.nodes.reach.ssh import HostKeyUnknown, NotAdmitted, WrongHostKey
from infra.nodes.reach.tunnel import TunnelRefused
from infra.nodes.reach.unit import Action, act
from infra.nodes.remote import NotDeployed, Remote


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def node(deployed: Mapping[str, Remote], fed: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reachable]:
    with reachable(deployed["hospital-a"], fed) as (made, where):
        monkeypatch.setenv("FEDERATE_TUNNEL", where)
        made.publish()
        yield made


def test_a_command_runs_as_the_operators_user_and_its_outcome_comes_back(node: Reachable) -> None:
    found = Ssh().run(node.remote, "echo to out; echo to err >&2; exit 7", 10)
    assert found == Outcome(7, "to out\n", "to err\n")
    assert node.ssh.users == ["federate-operator"]


def refuse_to_run_on(pid: int) -> None:
    deadline = time.monotonic() + 10
    while started_at(pid) is not None:
        assert time.monotonic() < deadline, "it runs on"


def test_a_command_that_reads_finds_nothing_to_read_and_its_words_stay_what_they_were(node: Reachable) -> None:
    found = Ssh().run(node.remote, """cat; printf '%s|' "it's" a\\ b '$HOME'; exit 5""", 10)
    assert (found.exit_code, found.stdout) == (5, "it's|a b|$HOME|")


def test_a_flood_on_both_outputs_comes_through_whole(node: Reachable) -> None:
    found = Ssh().run(node.remote, "head -c 3000000 /dev/zero | tr '\\0' x; head -c 3000000 /dev/zero >&2", 30)
    assert (len(found.stdout), len(found.stderr)) == (3_000_000, 3_000_000)


def test_every_connection_has_a_key_of_its_own(node: Reachable) -> None:
    Ssh().run(node.remote, "true", 10)
    Ssh().run(node.remote, "true", 10)
    assert len(set(ssh_keys_api.KEYS.of(node.instance, "federate-operator"))) == 2


def test_a_command_that_takes_too_long_is_ended_with_what_it_has_started(node: Reachable, tmp_path: Path) -> None:
    mark = tmp_path / "child"
    with pytest.raises(TimedOut, match=r"did not end within 0\.5 s"):
        Ssh().run(node.remote, f"sleep 1000 & echo $! > {mark}; wait", 0.5)
    refuse_to_run_on(int(mark.read_text()))


def test_a_command_that_nobody_waits_for_any_more_is_ended(node: Reachable, tmp_path: Path) -> None:
    stop, mark = threading.Event(), tmp_path / "shell"

    def interrupt() -> None:
        while not mark.exists() or not mark.read_text():
            stop.wait(0.01)
        stop.set()

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        Ssh(stop).run(node.remote, f"echo $$ > {mark}; exec sleep 1000", 30)
    refuse_to_run_on(int(mark.read_text()))


def test_another_host_key_than_the_published_one_is_refused(node: Reachable) -> None:
    node.publish(line(new_key()))
    with pytest.raises(WrongHostKey, match="which is not what the node has published") as refusal:
        Ssh().run(node.remote, "true", 10)
    assert refusal.value.exit_code == 3
    assert node.ssh.users == []


def test_a_host_whose_key_is_of_another_type_is_refused(node: Reachable) -> None:
    import paramiko

    node.publish(line(paramiko.ECDSAKey.generate()))
    with pytest.raises(WrongHostKey):
        Ssh().run(node.remote, "true", 10)
    assert node.ssh.users == []


@pytest.mark.parametrize(("text", "told"), [(" ", "has not published"), ("ssh-ed25519 nokey", "what is no key")])
def test_a_host_that_has_published_no_key_is_not_even_dialled(node: Reachable, text: str, told: str) -> None:
    node.publish(text)
    node.is_cut = True
    with pytest.raises(HostKeyUnknown, match=told):
        Ssh().run(node.remote, "true", 10)


def test_a_key_that_is_older_than_a_minute_is_not_taken(node: Reachable, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(ssh_keys_api, "KEYS", SshKeys(clock))
    shown = node.ssh.keys_of

    def slowly(user: str) -> list[str]:
        clock.now += 59.0
        return shown(user)

    node.ssh.keys_of = slowly
    assert Ssh().run(node.remote, "true", 10).exit_code == 0
    clock.now = 0.0
    monkeypatch.setattr(ssh_keys_api, "KEYS", SshKeys(clock))

    def too_slowly(user: str) -> list[str]:
        clock.now += 60.0
        return shown(user)

    node.ssh.keys_of = too_slowly
    with pytest.raises(NotAdmitted) as refusal:
        Ssh().run(node.remote, "true", 10)
    assert (refusal.value.exit_code, node.ssh.refused > 0) == (3, True)


def test_credentials_with_a_wrong_secret_open_no_tunnel(node: Reachable) -> None:
    node.secret = "another"
    with pytest.raises(TunnelRefused, match="the signature does not match") as refusal:
        Ssh().run(node.remote, "true", 10)
    assert refusal.value.exit_code == 3


def test_a_node_behind_a_closed_door_is_said_not_to_answer(node: Reachable) -> None:
    node.is_cut = True
    with pytest.raises(NobodyAnswers, match=r"10\.10\.0\.10:22 does not answer"):
        Ssh().run(node.remote, "true", 10)


def test_a_node_without_an_ssh_server_is_said_not_to_answer(node: Reachable) -> None:
    node.ssh.is_silent = True
    with pytest.raises(NobodyAnswers, match="there is no SSH server"):
        Ssh().run(node.remote, "true", 10)


def test_a_stopped_instance_is_said_to_be_so(node: Reachable) -> None:
    node.remote.client("ec2").stop_instances(InstanceIds=[node.instance])
    with pytest.raises(NobodyAnswers, match="is stopped"):
        Ssh().run(node.remote, "true", 10)


def test_a_node_that_is_not_deployed_is_said_to_be_so(deployed: Mapping[str, Remote]) -> None:
    with pytest.raises(NotDeployed, match="has no stack fed"):
        Ssh().run(deployed["hospital-b"], "true", 10)


def test_on_aws_the_endpoint_is_dialled_by_its_own_name_over_tls(
    node: Reachable, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialled: list[tuple[str, Any]] = []

    def connect(url: str, **options: Any) -> None:
        dialled.append((url, options.get("sock")))
        raise OSError("there is no network")

    monkeypatch.delenv("FEDERATE_TUNNEL")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(tunnel_module, "connect", connect)
    with pytest.raises(NobodyAnswers, match="cannot be reached"):
        Ssh().run(node.remote, "true", 10)
    ((url, given),) = dialled
    endpoint = node.find(node.remote.stack_output("Network", "ConnectEndpointId"))
    assert endpoint is not None
    assert url.startswith(f"wss://{endpoint.dns_name}/openTunnel?")
    assert "X-Amz-Expires=60" in url
    assert given is None


def test_on_loopback_aws_no_name_of_an_endpoint_is_looked_up_in_the_world(
    node: Reachable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FEDERATE_TUNNEL")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("a name is looked up"))
    with pytest.raises(NobodyAnswers, match="no local session says where tunnels are taken") as refusal:
        Ssh().run(node.remote, "true", 10)
    assert "depth machines only" in str(refusal.value)


def test_on_loopback_aws_a_node_that_is_no_machine_is_said_not_to_answer(
    node: Reachable, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.publish(" ")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(NobodyAnswers, match="has no SSH server") as refusal:
        Ssh().run(node.remote, "true", 10)
    assert "depth machines only" in str(refusal.value)


def test_the_unit_is_acted_on_by_commands_that_the_image_lets_operators_give(node: Reachable) -> None:
    found = act(Action.RESTART, node.remote, Ssh(), 10)
    # There is no such unit here, and perhaps no sudo either: what counts is that it was tried over this way.
    assert found.exit_code != 0
    assert node.ssh.users == ["federate-operator"]
