"""What goes wrong once the stacks are there: the command says what the node, the bucket or the authority says.

The instance is a record here; its user data, the machine image's scripts and the agent are run by these tests.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from failure_desk import ACCOUNTS, FailureDesk
from failure_table import Tell
from small_disk import SmallDisk

from infra.identity import Authority
from node_bootstrap.contract import REQUEST
from node_bootstrap.user_data import BOOTSTRAP_PATH, FACTS_PATH

ACCOUNT = ACCOUNTS["aggregator"]
DEPLOY = ("deploy", "--only", "aggregator")
STATE = "/federate/fed/aggregator/state"
APPROVED = "/federate/fed/aggregator/approved-release"
IMAGE = Path(__file__).parents[2] / "node_bootstrap" / "image"
WENT_ON = "goes on, exit 0"


@pytest.fixture(scope="module")
def hub(desk: FailureDesk) -> FailureDesk:
    """Return the desk once the hub's stacks are deployed."""
    said = desk.run(*DEPLOY, "--stacks-only")
    assert said.code == 0, said.err
    return desk


def put(desk: FailureDesk, name: str, value: str) -> None:
    store = desk.client("aggregator", "ssm")
    store.put_parameter(Name=name, Value=value, Type="String", Overwrite=True)


def is_well(desk: FailureDesk) -> None:
    """Have the node say that it is ready."""
    put(desk, STATE, json.dumps({"state": "ready", "reason": "", "run": "", "progress": {}}))


def user_data(desk: FailureDesk) -> str:
    """Return the user data of the hub's instance, as its account holds it."""
    ec2 = desk.client("aggregator", "ec2")
    (instance,) = [
        found["InstanceId"]
        for reservation in ec2.describe_instances()["Reservations"]
        for found in reservation["Instances"]
        if found["State"]["Name"] == "running"
    ]
    told = ec2.describe_instance_attribute(InstanceId=instance, Attribute="userData")["UserData"]["Value"]
    return base64.b64decode(told).decode()


def boot(desk: FailureDesk, root: Path) -> int:
    """Run the instance's user data with ``root`` in place of the machine's own, and return its exit code.

    The commands that would change this machine are there, and fail.
    """
    tools = root / "tools"
    tools.mkdir(parents=True)
    for name in ("chown", "systemctl", "install"):
        (tools / name).write_text("#!/bin/sh\nexit 1\n")
    (tools / "aws").write_text(
        f"#!{sys.executable}\nimport sys, boto3\ngiven = dict(zip(sys.argv, sys.argv[1:]))\n"
        "boto3.client('ssm', region_name=given['--region']).put_parameter(\n"
        "    Name=given['--name'], Value=given['--value'], Type='String', Overwrite=True)\n"
    )
    for tool in tools.iterdir():
        tool.chmod(0o755)
    text = elsewhere(user_data(desk), root)
    script = root / "user-data"
    script.write_text(text)
    environment = {**desk.environment, "AWS_PROFILE": "aggregator", "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(["bash", script], env=environment, cwd=root, capture_output=True, check=False).returncode


def elsewhere(script: str, root: Path) -> str:
    """Return a script whose folders are below ``root``."""
    for folder in ("/etc/federate", "/opt/federate", "/var/lib/federate"):
        script = script.replace(folder, f"{root}{folder}")
    assert FACTS_PATH.startswith("/etc/federate")
    assert BOOTSTRAP_PATH.startswith("/opt/federate")
    return script


def image(root: Path) -> None:
    """Put the machine image's bootstrap where user data look for it, and what it publishes failures with.

    That is a stand-in, as short as can be: the image's own reads the facts where they are on a node.
    """
    folder = (root / BOOTSTRAP_PATH.lstrip("/")).parent
    folder.mkdir(parents=True)
    (folder / "federate-bootstrap").write_text(elsewhere((IMAGE / "federate-bootstrap").read_text(), root))
    (folder / "federate-failed").write_text(
        f"#!{sys.executable}\nimport json, sys, boto3\n"
        f"boto3.client('ssm', region_name='us-east-1').put_parameter(Name='{STATE}', Type='String', Overwrite=True,\n"
        "    Value=json.dumps({'state': 'failed', 'reason': sys.argv[1]}))\n"
    )
    for script in folder.iterdir():
        script.chmod(0o755)


def first_and_last(error: str) -> str:
    """Return what the node says, and what to do: between them is what its account shows, which is not this test's."""
    lines = error.splitlines()
    return f"{lines[0]}\n{lines[-1]}"


@pytest.mark.failure("image-without-federate")
def test_an_image_that_has_no_federate_says_so(hub: FailureDesk, tell: Tell, tmp_path: Path) -> None:
    assert boot(hub, tmp_path) == 1
    said = hub.run(*DEPLOY)
    assert said.code == 6
    assert "aggregator failed: the machine image has no " in said.error
    assert "it is not one that Federate's install script has made" in said.error
    is_well(hub)
    assert hub.run(*DEPLOY).code == 0
    tell(
        injected="the machine image is not one of Federate's",
        where="user data of the instance",
        message=first_and_last(said.error.replace(str(tmp_path), "")),
        code=said.code,
        after=WENT_ON,
    )


@pytest.mark.failure("user-data-fails")
def test_user_data_that_fail_say_at_which_command(hub: FailureDesk, tell: Tell, tmp_path: Path) -> None:
    image(tmp_path)
    assert boot(hub, tmp_path) == 1
    said = hub.run(*DEPLOY)
    assert said.code == 6
    assert "aggregator failed: federate-bootstrap failed at line " in said.error
    assert "chown federate:federate" in said.error
    is_well(hub)
    assert hub.run(*DEPLOY).code == 0
    tell(
        injected="a command of user data fails, which end with 1",
        where="`federate-bootstrap` of the machine image",
        message=first_and_last(said.error.replace(str(tmp_path), "")),
        code=said.code,
        after=WENT_ON,
    )


@pytest.mark.failure("not-approved")
def test_a_release_that_the_account_has_not_approved_is_refused(hub: FailureDesk, tell: Tell) -> None:
    put(hub, APPROVED, "0" * 64)
    is_well(hub)
    said = hub.run(*DEPLOY)
    assert said.code == 3
    assert "this account has approved 000000000000." in said.error
    assert "Its admin approves it with: federate approve --only aggregator" in said.error
    assert hub.run("approve", "--only", "aggregator").code == 0
    assert hub.run(*DEPLOY).code == 0
    tell(
        injected="the account has approved another release",
        where="approved digest in the parameter store",
        message=said.error,
        code=said.code,
        after=WENT_ON,
    )


@pytest.mark.failure("bucket-key")
def test_a_bucket_whose_key_is_disabled_is_told(hub: FailureDesk, tell: Tell) -> None:
    is_well(hub)
    message = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab is disabled."
    rule = {"service": "s3", "operation": "PUT object", "code": "KMS.DisabledException", "message": message}
    with hub.failing(rule):
        said = hub.run(*DEPLOY)
    assert said.code == 4
    for words in (message, "Cause: The KMS key that encrypts the disk or bucket cannot be used", "aws kms enable-key"):
        assert words in said.error
    assert hub.run(*DEPLOY).code == 0
    tell(
        injected="the key that encrypts the bucket is disabled",
        where="`s3:PutObject` of the release",
        message=said.error,
        code=said.code,
        after=WENT_ON,
    )


@pytest.mark.failure("authority-expired")
def test_an_authority_that_has_expired_is_told(hub: FailureDesk, tell: Tell) -> None:
    is_well(hub)
    folder = hub.folder / "home" / "identity" / "fed"
    if folder.exists():
        folder.rename(folder.with_name("kept"))
    Authority.open(folder, "fed", now=datetime(2001, 1, 1, tzinfo=UTC))
    said = hub.run(*DEPLOY)
    folder.rename(folder.with_name("expired"))
    assert said.code == 3
    for words in ("is valid from 2000-12-31 23:55 to 2011-01-02", "Set this machine's clock; or move the folder away"):
        assert words in said.error
    assert hub.run(*DEPLOY).code == 0
    tell(
        injected="the certificate of the federation's authority has expired",
        where="`identity/` in the local state",
        message=re.sub(r"now is [\d-]+ [\d:]+", "now is …", said.error),
        code=said.code,
        after="goes on once there is an authority that is valid, exit 0",
    )


@pytest.mark.failure("node-disk-full")
def test_a_full_disk_of_a_node_is_heard_of_in_its_log(hub: FailureDesk, tell: Tell, tmp_path: Path) -> None:
    facts = tmp_path / "node.json"
    text = user_data(hub)
    facts.write_text(text[text.index("{\n") : text.index("\n}") + 2])
    state = tmp_path / "state"
    state.mkdir()
    try:
        disk = SmallDisk(state, kib=64)
    except OSError as error:
        pytest.skip(str(error))
    disk.fill()
    agent = subprocess.Popen(
        [
            *(*disk.prefix, sys.executable, "-m", "node_bootstrap.agent", "--facts", facts),
            *("--root", tmp_path / "root", "--state", state, "--poll", "0.2"),
        ],
        cwd=IMAGE.parents[1],
        env={**hub.environment, "AWS_PROFILE": "aggregator"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 200
        while "No space left on device" not in (said := hub.run("logs", "aggregator")).out:
            assert agent.poll() is None, agent.stderr and agent.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        disk.free()
        while f"aggregator/{REQUEST}" not in parameters(hub):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        agent.terminate()
        agent.communicate(timeout=20)
        disk.close()
    line = next(line for line in said.out.splitlines() if "No space left on device" in line)
    found, _, todo = line[line.index("ERROR") :].partition(": free ")
    assert todo.startswith("space on the node's disk, or enlarge its volume; tried again in ")
    tell(
        injected="the node's state volume is full",
        where="`federate logs aggregator`",
        message=f"{found}\n  free {todo}".replace(str(tmp_path), ""),
        code=said.code,
        after="not needed: the node goes on by itself",
    )


def parameters(desk: FailureDesk) -> set[str]:
    pages = (
        desk.client("aggregator", "ssm")
        .get_paginator("get_parameters_by_path")
        .paginate(Path="/federate/fed", Recursive=True)
    )
    return {item["Name"].removeprefix("/federate/fed/") for page in pages for item in page["Parameters"]}
