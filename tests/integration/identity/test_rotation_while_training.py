"""Every key, every certificate and the authority change while a federation trains: it finishes, and no round is lost.

The tests go in the order of the file: one run, which each of them finds in the middle, and then its end.
"""

from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from identity_desk import NODES, IdentityDesk, Reader, wait_until

#: More than any machine does while all of this happens; the run is brought to its end when it has.
ENDLESS = 1_000_000


@pytest.fixture(scope="module")
def readers(desk: IdentityDesk) -> Iterator[dict[str, Reader]]:
    """Who reads each node's folder from the start of the run to its end."""
    made = {node: Reader(desk.volume(node) / "tls") for node in NODES}
    with made["aggregator"], made["hospital-a"], made["hospital-b"]:
        yield made


@pytest.fixture(scope="module")
def run(desk: IdentityDesk, readers: dict[str, Reader]) -> dict[str, int]:
    """A run that has come to its second round; returns the pid of each node's application."""
    desk.write(rounds=ENDLESS, epochs=1)
    desk.run("start", "--detach")
    desk.wait_for("aggregator", "running", round_=2)
    return {node: desk.application(node) for node in NODES}


def goes_on(desk: IdentityDesk, run: dict[str, int]) -> None:
    """Make sure that the run is in its middle still, and comes to another round with the processes that began it."""
    at = desk.wait_for("aggregator", "running")["progress"]["round"]
    desk.wait_for("aggregator", "running", round_=at + 1)
    assert {node: desk.application(node) for node in NODES} == run


def bring_to_its_end(desk: IdentityDesk) -> int:
    """Let a run without an end finish two rounds after where it is; return how many rounds it has then."""
    desk.run("stop")
    rounds: int = desk.wait_for("aggregator", "stopped")["progress"]["round"] + 2
    desk.write(rounds=rounds, epochs=1)
    desk.run("start", "--detach")
    for node in NODES:
        desk.wait_for(node, "finished", round_=rounds)
    return rounds


def nodes_of(shown: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {line["node"]: line for line in shown["nodes"]}


@pytest.mark.parametrize("node", ["hospital-a", "aggregator"])
def test_a_node_takes_a_new_key_and_certificate_in_the_middle_of_a_run(
    desk: IdentityDesk, run: dict[str, int], readers: dict[str, Reader], node: str
) -> None:
    before = nodes_of(desk.answer("identity", "show"))
    told = desk.answer("identity", "rotate", node)
    after = nodes_of(desk.answer("identity", "show"))
    assert told["done"]
    assert after[node]["serial"] == told["serial"] != before[node]["serial"]
    assert (after[node]["in_use"], after[node]["state"]) == (True, "good")
    others = [other for other in NODES if other != node]
    assert [after[other]["serial"] for other in others] == [before[other]["serial"] for other in others]
    (first, second) = readers[node].seen[-2:]
    assert [first[0], second[0]] == [before[node]["serial"], after[node]["serial"]]
    assert first[1] != second[1]  # the key as well, and both at once
    goes_on(desk, run)


def test_the_hub_shows_its_new_certificate_without_a_restart(desk: IdentityDesk, run: dict[str, int]) -> None:
    due = nodes_of(desk.answer("identity", "show"))["aggregator"]["serial"]
    wait_until(lambda: desk.serial_on_the_wire() == due, what="the new certificate on the wire", seconds=10)


def test_the_authority_s_next_step_waits_for_a_node_that_does_not_follow_and_names_it(
    desk: IdentityDesk, run: dict[str, int]
) -> None:
    agent = desk.bodies()["hospital-b"]["pid"]
    os.kill(agent, signal.SIGSTOP)
    try:
        _, said = desk.run("identity", "rotate-authority", "begin", "--wait", "4", code=6)
        assert "hospital-b trusts" in said
        assert "hospital-a trusts" not in said
        _, said = desk.run("identity", "rotate-authority", "switch", code=6)
        assert "hospital-b trusts" in said
        _, said = desk.run("identity", "rotate-authority", "finish", code=2)
        assert "rotate-authority switch" in said
    finally:
        os.kill(agent, signal.SIGCONT)
    goes_on(desk, run)


def test_the_authority_is_replaced_in_the_middle_of_a_run(
    desk: IdentityDesk, run: dict[str, int], readers: dict[str, Reader]
) -> None:
    before = desk.answer("identity", "show")
    assert desk.answer("identity", "rotate-authority", "begin")["phase"] == "begun"
    begun = desk.answer("identity", "show")
    old, new = (one["name"] for one in begun["authorities"])
    assert [one["signs"] for one in begun["authorities"]] == [True, False]
    assert {tuple(line["trusts"]) for line in begun["nodes"]} == {(old, new)}
    assert [line["serial"] for line in begun["nodes"]] == [line["serial"] for line in before["nodes"]]
    goes_on(desk, run)
    assert desk.answer("identity", "rotate-authority", "switch")["phase"] == "switched"
    switched = desk.answer("identity", "show")
    assert [one["signs"] for one in switched["authorities"]] == [False, True]
    assert {tuple(line["trusts"]) for line in switched["nodes"]} == {(old, new)}
    for node, line in nodes_of(switched).items():
        assert line["in_use"]
        assert line["serial"] != nodes_of(begun)[node]["serial"]
    goes_on(desk, run)
    assert desk.answer("identity", "rotate-authority", "finish")["authorities"] == [new]
    finished = desk.answer("identity", "show")
    assert {tuple(line["trusts"]) for line in finished["nodes"]} == {(new,)}
    assert [line["serial"] for line in finished["nodes"]] == [line["serial"] for line in switched["nodes"]]
    goes_on(desk, run)
    assert all(reader.wrong == [] for reader in readers.values())


def test_the_hub_shows_its_certificate_of_the_new_authority_without_a_restart(
    desk: IdentityDesk, run: dict[str, int]
) -> None:
    due = nodes_of(desk.answer("identity", "show"))["aggregator"]["serial"]
    wait_until(lambda: desk.serial_on_the_wire() == due, what="the new certificate on the wire", seconds=10)


def test_the_run_finishes_and_no_round_is_lost(
    desk: IdentityDesk, run: dict[str, int], readers: dict[str, Reader]
) -> None:
    last = bring_to_its_end(desk)
    brought = desk.answer("results", "--no-compare")
    rounds = [json.loads(line) for line in (Path(brought["folder"]) / "rounds.jsonl").read_text().splitlines()]
    assert [one["round"] for one in rounds] == list(range(last))
    assert "starts again" not in desk.run("logs")[0]
    for node, reader in readers.items():
        assert reader.wrong == []
        assert reader.looks > 300
        assert len({serial for serial, _ in reader.seen}) == (2 if node == "hospital-b" else 3)


def test_the_next_run_is_made_with_the_new_certificates(desk: IdentityDesk, run: dict[str, int]) -> None:
    desk.write(rounds=ENDLESS, epochs=1)
    desk.run("start", "--detach")
    assert desk.serial_on_the_wire() == nodes_of(desk.answer("identity", "show"))["aggregator"]["serial"]
    bring_to_its_end(desk)


def test_a_revoked_site_is_refused_until_it_is_admitted_and_has_a_new_key(desk: IdentityDesk) -> None:
    serial = nodes_of(desk.answer("identity", "show"))["hospital-b"]["serial"]
    told = desk.answer("identity", "revoke", "hospital-b", "--reason", "a disk was lost")
    assert serial in told["serials"]
    refused = json.loads((desk.volume("aggregator") / "tls" / "revoked.json").read_text())
    assert serial in refused
    assert nodes_of(desk.answer("identity", "show"))["hospital-b"]["state"] == "revoked"
    assert {line["node"]: line["certificate_state"] for line in desk.answer("status")}["hospital-b"] == "revoked"
    for command in (("start", "hospital-b"), ("deploy", "--only", "hospital-b"), ("identity", "rotate", "hospital-b")):
        _, said = desk.run(*command, code=3)
        assert "hospital-b was revoked (a disk was lost)" in said
        assert "federate identity admit hospital-b" in said
    desk.run("identity", "admit", "hospital-b")
    desk.run("identity", "rotate", "hospital-b")
    renewed = nodes_of(desk.answer("identity", "show"))["hospital-b"]
    assert (renewed["state"], renewed["in_use"]) == ("good", True)
    assert renewed["serial"] not in refused
    assert json.loads((desk.volume("aggregator") / "tls" / "revoked.json").read_text()) == refused
    desk.run("start", "--detach")
    for node in NODES:
        desk.wait_for(node, "finished", round_=3)


def test_certificates_pass_by_hand_where_nobody_shares_credentials(desk: IdentityDesk) -> None:
    home = desk.folder / "home" / "identity"
    home.rename(home.with_name("elsewhere"))  # the hospital's desk has no authority
    try:
        assert not desk.answer("identity", "rotate", "hospital-a")["done"]
        request, certificate = desk.folder / "csr.pem", desk.folder / "certificate.pem"
        request.write_text(desk.run("identity", "request", "hospital-a")[0])
        before = nodes_of(desk.answer("identity", "show", "hospital-a"))["hospital-a"]["serial"]
    finally:
        home.with_name("elsewhere").rename(home)
    certificate.write_text(desk.run("identity", "sign", "hospital-a", str(request))[0])
    desk.run("identity", "install", "hospital-a", str(certificate))

    def taken() -> bool:
        line = nodes_of(desk.answer("identity", "show", "hospital-a"))["hospital-a"]
        return bool(line["in_use"]) and line["serial"] != before

    wait_until(taken, what="the new certificate at hospital-a", seconds=30)
    _, said = desk.run("identity", "install", "hospital-b", str(certificate), code=2)
    assert "not of the key that hospital-b asks for" in said


def test_the_authority_is_stored_in_the_aggregator_s_account_and_fetched_elsewhere(desk: IdentityDesk) -> None:
    home = desk.folder / "home" / "identity"
    assert desk.answer("identity", "store")["new"]
    assert not desk.answer("identity", "store")["new"]
    secrets = {node: desk.client(node, "secretsmanager").list_secrets()["SecretList"] for node in NODES}
    assert {node: [one["Name"] for one in found] for node, found in secrets.items()} == {
        "aggregator": ["federate-authority/fed"],
        "hospital-a": [],
        "hospital-b": [],
    }
    home.rename(home.with_name("lost"))
    # A new authority must not take the place of the one that the nodes trust.
    _, said = desk.run("deploy", code=3)
    assert "trusts the authority" in said
    assert "federate identity fetch" in said
    (home / "fed").rename(home / "fed.wrong")
    assert desk.answer("identity", "fetch")["new"]
    for name in ("key.pem", "certificate.pem", "revoked.jsonl"):
        assert (home / "fed" / name).read_bytes() == (home.with_name("lost") / "fed" / name).read_bytes()
    desk.run("deploy")
    desk.client("aggregator", "secretsmanager").delete_secret(
        SecretId="federate-authority/fed", ForceDeleteWithoutRecovery=True
    )


def secrets_of(desk: IdentityDesk) -> dict[str, bytes]:
    """Return the middle of every private key that there is, by its file: what a search must find nowhere else."""
    keys = [path for path in desk.folder.rglob("*key.pem") if b"PRIVATE KEY" in path.read_bytes()]
    return {str(path): b"".join(path.read_bytes().splitlines()[1:-1])[40:120] for path in keys}


def places(desk: IdentityDesk) -> Iterator[tuple[str, bytes]]:
    """Yield all that lies in accounts, templates and logs."""
    for node, body in desk.bodies().items():
        told = desk.client(node, "ec2").describe_instance_attribute(InstanceId=body["instance"], Attribute="userData")
        yield f"user data of {node}", base64.b64decode(told["UserData"]["Value"])
        yield f"parameters of {node}", json.dumps(desk.parameters(node)).encode()
        yield from desk.objects(node)
        for secret in desk.client(node, "secretsmanager").list_secrets()["SecretList"]:
            yield f"secret {secret['Name']} of {node}", b"secret"
    yield "log", desk.run("logs")[0].encode()
    for path in desk.folder.rglob("*"):
        if path.is_file() and path.suffix in (".log", ".json", ".yaml", ".txt"):
            yield str(path), path.read_bytes()


def leaks(desk: IdentityDesk, searched: list[tuple[str, bytes]]) -> list[str]:
    """Return where a private key is found, as it stands or without line ends."""
    secrets = secrets_of(desk)
    assert len(secrets) >= 4
    plain = [(where, content.replace(b"\\n", b"").replace(b"\n", b"")) for where, content in searched]
    return [where for where, content in plain for secret in secrets.values() if secret in content]


def test_no_key_is_in_user_data_templates_parameters_buckets_or_logs(desk: IdentityDesk) -> None:
    searched = list(places(desk))
    assert any(where.endswith(".template.json") for where, _ in searched)
    assert leaks(desk, searched) == []
    # Negative control: the same search finds a key that was put into a parameter and into a log.
    key = next((desk.volume("hospital-a") / "tls").glob("key.pem")).read_text()
    assert leaks(desk, [("parameter", json.dumps({"x": key}).encode()), ("log", key.encode())]) == ["parameter", "log"]


def test_every_key_is_closed_to_others(desk: IdentityDesk) -> None:
    for path in map(Path, secrets_of(desk)):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_site_that_is_revoked_in_the_middle_of_a_run_is_put_out_and_the_others_go_on(desk: IdentityDesk) -> None:
    desk.write(policy="{quorum: 1, round_deadline_seconds: 2}", rounds=ENDLESS, epochs=1)
    desk.run("start", "--detach")
    desk.wait_for("aggregator", "running", round_=2)
    stays = {node: desk.application(node) for node in ("aggregator", "hospital-a")}
    desk.run("identity", "revoke", "hospital-b", "--reason", "a disk was lost")
    said = desk.wait_for("hospital-b", "failed")
    assert "is revoked" in json.dumps(said)
    at = desk.wait_for("aggregator", "running")["progress"]["round"]
    desk.wait_for("aggregator", "running", round_=at + 2)
    assert {node: desk.application(node) for node in stays} == stays
    lines = (desk.volume("aggregator") / "audit.jsonl").read_text().splitlines()
    refused = [line for line in map(json.loads, lines) if line["direction"] == "refused"]
    assert {line["peer"] for line in refused} == {"hospital-b"}
    assert "is revoked" in refused[0]["reason"]
    last = max(
        line["n"] for line in map(json.loads, lines) if line["direction"] == "received" and "hospital-a" in line["peer"]
    )
    assert last > refused[0]["n"]
    desk.run("stop")
