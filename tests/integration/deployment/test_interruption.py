"""Whatever ends a deployment in its middle, the same command picks up what is there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest
from desk import Desk


def wait_for_a_site(desk: Desk, process: subprocess.Popen[str]) -> None:
    """Return as soon as a site's first stack is begun."""
    cloudformation = desk.client("hospital-a", "cloudformation")
    deadline = time.monotonic() + 120
    while not cloudformation.describe_stacks()["Stacks"]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def cdk_processes(process: subprocess.Popen[str]) -> set[int]:
    """Return the process groups of the CDK commands that a command has started."""
    told = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return {int(pid) for pid, parent in (line.split() for line in told.splitlines()) if int(parent) == process.pid}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_says_what_is_where_and_the_same_command_goes_on(desk: Desk, number: signal.Signals) -> None:
    desk.aws()
    process = desk.begin("deploy", "--stacks-only")
    wait_for_a_site(desk, process)
    commands = cdk_processes(process)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "fed-HubNetwork: CREATE_COMPLETE" in said
    assert "The same command goes on from there." in said
    assert "Traceback" not in said
    assert commands
    assert not any(is_running(command) for command in commands)
    desk.run("deploy", "--stacks-only")
    desk.run("destroy")


def test_a_killed_deployment_is_picked_up_by_the_next(desk: Desk) -> None:
    desk.aws()
    process = desk.begin("deploy", "--stacks-only")
    wait_for_a_site(desk, process)
    for group in [*cdk_processes(process), process.pid]:
        os.killpg(group, signal.SIGKILL)
    process.wait(30)
    desk.run("deploy", "--stacks-only")
    assert set(desk.stacks("hospital-a").values()) == {"CREATE_COMPLETE"}
    desk.run("destroy")


def test_the_end_of_loopback_aws_in_the_middle_is_said_and_the_next_deployment_begins_anew(desk: Desk) -> None:
    desk.aws()
    process = desk.begin("deploy", "--stacks-only")
    wait_for_a_site(desk, process)
    os.kill(json.loads(desk.run("--json", "local", "status")[0])["pid"], signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode not in (0, 70)
    assert "AWS does not answer" in said
    assert "Traceback" not in said
    _, said = desk.run("deploy", "--stacks-only")
    assert "everything that was deployed into it" in said
    desk.run("destroy")


def test_a_stack_that_fails_is_named_with_its_reason_and_made_anew_once_that_is_repaired(desk: Desk) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam = desk.client("hospital-a", "iam")
    iam.create_role(RoleName="federate-fed-hospital-a", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    _, said = desk.run("deploy", "--stacks-only", code=1)
    assert (
        "fed-SiteNode-hospital-a in account 111111111111 (us-east-1): ROLLBACK_COMPLETE: Role (AWS::IAM::Role)" in said
    )
    assert "Role with name federate-fed-hospital-a already exists" in said
    assert set(desk.stacks("hospital-b").values()) == {"CREATE_COMPLETE"}
    assert "fed-HubLink-hospital-a" not in desk.stacks("aggregator")
    iam.delete_role(RoleName="federate-fed-hospital-a")
    desk.run("deploy", "--stacks-only")
    assert desk.stacks("hospital-a")["fed-SiteNode-hospital-a"] == "CREATE_COMPLETE"
    assert desk.stacks("aggregator")["fed-HubLink-hospital-a"] == "CREATE_COMPLETE"
    desk.run("destroy")


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
