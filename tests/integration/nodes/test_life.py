"""A federation's whole life through the command: deployed, refused what is not approved, trained, and gone."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from fake_node import digest_of, release_of
from training_desk import NODES, TrainingDesk, found_in, stays_of, wait_until

from infra.local.process import started_at
from node_bootstrap import contract
from node_bootstrap.contract import Desired, Manifest
from node_bootstrap.user_data import facts_in, render

SITES = ("hospital-a", "hospital-b")


@pytest.fixture(scope="module")
def trained(desk: TrainingDesk) -> dict[str, Any]:
    """What is said while the federation is started server first and trains to its end."""
    server = desk.run("start", "server", "--detach")[0]
    clients = desk.run("start", "clients")[0]
    watched = desk.run("watch")[1]
    return {"server": server, "clients": clients, "watched": watched, "status": desk.status()}


@pytest.fixture(scope="module")
def held(desk: TrainingDesk, trained: dict[str, Any]) -> dict[str, list[tuple[str, bytes]]]:
    """All that a node's account and its volumes hold after training: place and content, by node."""
    return {
        node: [
            *desk.objects(node),
            *desk.files(node),
            *desk.log(node),
            *((f"parameter {name}", value.encode()) for name, value in desk.parameters(node).items()),
        ]
        for node in NODES
    }


def test_after_the_deployment_every_node_is_ready_and_has_a_certificate(desk: TrainingDesk) -> None:
    status = desk.status()
    assert list(status) == list(NODES)
    for line in status.values():
        assert (line["state"], line["reason"], line["desired"]) == ("ready", "", None)
        assert set(line["stacks"].values()) == {"CREATE_COMPLETE"}
        assert line["certificate_expires"]
    assert "89 days left" in desk.run("status")[0]


@pytest.mark.parametrize(("command", "why"), [("run", "no Systems Manager agent"), ("ssh", "has no SSH server")])
def test_a_node_that_is_a_process_has_no_shell_and_says_so(desk: TrainingDesk, command: str, why: str) -> None:
    _, said = desk.run(command, "hospital-a", "--", "true", code=4)
    assert "Nobody answers on hospital-a" in said
    assert why in said
    assert "depth machines only" in said


def test_data_that_are_there_are_not_sent_again(desk: TrainingDesk) -> None:
    sent = json.loads(desk.run("--json", "supply")[0])
    release = desk.folder / "home" / "releases" / f"{sent['release']}.zip"
    for done in sent["nodes"].values():
        assert done["uploaded_bytes"] <= release.stat().st_size
    for site in SITES:
        assert sent["nodes"][site]["data_objects"] == len([*(desk.folder / "sites" / site).iterdir()])


def test_user_data_hold_facts_and_no_secret(desk: TrainingDesk) -> None:
    for node, body in desk.bodies().items():
        told = desk.client(node, "ec2").describe_instance_attribute(InstanceId=body["instance"], Attribute="userData")
        script = base64.b64decode(told["UserData"]["Value"]).decode()
        facts = facts_in(script)
        assert render(facts) == script
        assert (facts["node"], facts["bucket"]) == (node, desk.bucket(node))
        assert set(facts) == {
            *("federation", "node", "role", "region", "bucket"),
            *("parameter_prefix", "secret_prefix", "log_group"),
        }
        assert not any(secret in script for secret in desk.secrets())


def test_a_release_that_the_account_has_not_approved_is_refused_to_the_operator(desk: TrainingDesk) -> None:
    approved = desk.parameters("hospital-b")[contract.APPROVED_RELEASE]
    desk.run("approve", "--only", "hospital-b", "--digest", "0" * 64)
    for command in ("start", "supply"):
        _, said = desk.run(command, code=3)
        assert f"the release {approved[:12]} is to run, this account has approved 000000000000." in said
        assert "federate approve --only hospital-b" in said
    assert [desk.says(node)["state"] for node in NODES] == ["ready"] * 3
    desk.run("approve", "--only", "hospital-b")
    assert desk.parameters("hospital-b")[contract.APPROVED_RELEASE] == approved


def test_a_release_that_the_account_has_not_approved_is_refused_by_the_node_whoever_brings_it(
    desk: TrainingDesk,
) -> None:
    evil = release_of({"fl_app/__init__.py": b"", "fl_app/__main__.py": b"open('/tmp/pwned', 'w')"})
    s3, bucket = desk.client("hospital-b", "s3"), desk.bucket("hospital-b")
    s3.put_object(Bucket=bucket, Key=contract.release_key(digest_of(evil)), Body=evil)
    s3.put_object(Bucket=bucket, Key=contract.MANIFEST_KEY, Body=Manifest(digest_of(evil), {}).text().encode())
    desk.tell("hospital-b", contract.DESIRED, Desired("started", "by-hand").text())
    desk.wait_for("hospital-b", "failed")
    line = desk.status()["hospital-b"]
    assert (line["state"], line["run"]) == ("failed", "by-hand")
    assert f"the release {digest_of(evil)[:12]} is to run, this account's admin approved" in line["reason"]
    assert "`federate approve`" in line["reason"]
    assert digest_of(evil) not in " ".join(where for where, _ in desk.files("hospital-b"))
    s3.delete_object(Bucket=bucket, Key=contract.release_key(digest_of(evil)))


def test_credentials_of_another_account_are_refused_before_anything_is_asked(desk: TrainingDesk) -> None:
    aws = dict(desk.aws())
    mixed = desk.folder / "mixed-up-credentials"
    right = Path(aws["AWS_SHARED_CREDENTIALS_FILE"]).read_text()
    mixed.write_text(right.replace("AKIAEMUL222222222222", "AKIAEMUL111111111111"))
    before = desk.parameters("hospital-b")
    for command in (("start", "hospital-b"), ("deploy",)):
        _, said = desk.run(*command, code=3, FEDERATE_AWS="real", **{**aws, "AWS_SHARED_CREDENTIALS_FILE": str(mixed)})
        assert "profile hospital-b (hospital-b): its credentials are of account 111111111111" in said
        assert "It must have credentials for account 222222222222." in said
    assert desk.parameters("hospital-b") == before


def test_started_in_the_other_order_they_say_what_they_wait_for(trained: dict[str, Any]) -> None:
    assert "aggregator: waiting, waits for hospital-a, hospital-b" in trained["server"]
    for site in SITES:
        assert f"{site}: " in trained["clients"]
    assert "3/3 rounds" in trained["watched"]
    for line in trained["status"].values():
        assert (line["state"], line["desired"], line["progress"]["round"]) == ("finished", "started", 3)
    assert "auroc" in trained["status"]["aggregator"]["progress"]["metrics"]


def test_what_is_over_is_begun_anew_only_by_another_start(desk: TrainingDesk, trained: dict[str, Any]) -> None:
    runs = {node: line["run"] for node, line in trained["status"].items()}
    assert {node: desk.says(node)["run"] for node in NODES} == runs
    assert desk.processes("-m fl_app") == {}


@pytest.mark.usefixtures("trained")
def test_the_results_come_to_the_operator(desk: TrainingDesk) -> None:
    brought = json.loads(desk.run("--json", "results", "--no-compare")[0])
    folder = Path(brought["folder"])
    model = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert brought["summary"]["model_sha256"] == model
    assert len((folder / "rounds.jsonl").read_text().splitlines()) == 3
    assert Path(brought["report"]).exists()


def test_no_row_of_a_site_is_anywhere_but_at_that_site(
    desk: TrainingDesk, held: dict[str, list[tuple[str, bytes]]]
) -> None:
    stays = {site: stays_of(desk.folder / "sites" / site) for site in SITES}
    assert not stays["hospital-a"] & stays["hospital-b"]
    for node in NODES:
        for site in SITES:
            found = found_in(held[node], stays[site])
            if node == site:  # the same search finds them where they belong
                assert f"s3 {site} data/patient.csv.gz" in found
                assert any("/data/patient.csv.gz" in where for where in found if not where.startswith("s3"))
            else:
                assert found == {}


@pytest.mark.usefixtures("trained")
def test_negative_control_a_row_in_another_place_is_found(desk: TrainingDesk) -> None:
    stays = stays_of(desk.folder / "sites" / "hospital-a")
    one = min(stays)
    s3, bucket = desk.client("aggregator", "s3"), desk.bucket("aggregator")
    s3.upload_file(str(desk.folder / "sites" / "hospital-a" / "patient.csv.gz"), bucket, "results/leak")
    s3.delete_object(Bucket=bucket, Key="results/leak")  # an older version is a copy as well
    leak = desk.node_folders("hospital-b")[0] / "leak.txt"
    leak.write_text(f'{{"stay": {one}}}')
    try:
        assert found_in(desk.objects("aggregator"), stays) == {"s3 aggregator results/leak": stays}
        assert list(found_in(desk.files("hospital-b"), stays).values()) == [{one}]
    finally:
        leak.unlink()


@pytest.mark.usefixtures("trained")
def test_the_log_has_all_nodes_in_the_order_of_time_and_no_secret(desk: TrainingDesk) -> None:
    said, _ = desk.run("logs")
    lines = [line.split(maxsplit=4) for line in said.splitlines()]
    assert {line[2] for line in lines} == set(NODES)
    assert {line[3] for line in lines} == {"agent", "application"}
    assert [line[:2] for line in lines] == sorted(line[:2] for line in lines)
    assert "round 3 of 3" in said
    begin, middle = said.index("round 1 of 3"), said.index("round 2 of 3")
    assert begin < middle < said.index("round 3 of 3")
    assert "PRIVATE KEY" not in said
    secrets = desk.secrets()
    assert secrets
    assert not any(secret in said for secret in secrets)
    only, _ = desk.run("logs", "hospital-a")
    assert {line.split()[2] for line in only.splitlines()} == {"hospital-a"}


@pytest.mark.parametrize("node", NODES)
def test_a_nodes_key_is_on_its_own_volume_alone(held: dict[str, list[tuple[str, bytes]]], node: str) -> None:
    (key,) = {where for where, content in held[node] if b"BEGIN PRIVATE KEY" in content}
    assert key.startswith(f"{node} volumes/")
    assert re.search(r"/tls(\.sets/\d+)?/key\.pem$", key)


@pytest.mark.usefixtures("trained")
def test_after_destroy_only_what_is_retained_is_left_and_after_down_nothing(desk: TrainingDesk) -> None:
    retained = [folder.name for folder in desk.node_folders("hospital-b") if folder.parent.name == "volumes"]
    pids = [body["pid"] for body in desk.bodies().values()]
    assert set(desk.processes("-m node_bootstrap.agent")) == set(pids)
    audit = json.loads(desk.run("--json", "destroy")[0])
    assert audit["left"] == []
    assert {(kept["account"], kept["kind"]) for kept in audit["retained"]} == {
        ("222222222222", kind) for kind in ("volume", "bucket", "access-log bucket", "log group", "KMS key")
    }
    wait_until(lambda: volumes(desk) == retained, what="the end of the others' volumes", seconds=30)
    assert [path.name for path in (desk.twin / "nodes").glob("*")] == []
    assert desk.processes("-m node_bootstrap.agent") == desk.processes("-m fl_app") == {}
    assert [pid for pid in pids if started_at(pid)] == []
    assert [desk.parameters(node) for node in NODES] == [{}, {}, {}]

    emulator = json.loads(desk.run("--json", "local", "status")[0])["pid"]
    assert started_at(emulator)
    desk.run("local", "down")
    assert started_at(emulator) is None
    assert desk.processes() == {}
    assert {path.name for path in desk.twin.iterdir()} <= {"twin.log"}


def volumes(desk: TrainingDesk) -> list[str]:
    return [path.name for path in (desk.twin / "volumes").glob("*")]
