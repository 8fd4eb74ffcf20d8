"""What passes by itself is waited for, what does not is told, and whatever ends a command, the same one goes on."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest
from failure_desk import ACCOUNTS, FailureDesk
from failure_table import Tell

SITE, ACCOUNT = "hospital-a", ACCOUNTS["hospital-a"]
DEPLOY = ("deploy", "--stacks-only", "--only", SITE)
NODE, NETWORK, STORAGE = f"SiteNode-{SITE}", f"SiteNetwork-{SITE}", f"SiteStorage-{SITE}"
WENT_ON = "goes on, exit 0"


def cloudformation(operation: str, code: str, message: str, **details: Any) -> dict[str, Any]:
    return {
        **{"service": "cloudformation", "operation": operation, "account": ACCOUNT},
        **{"code": code, "message": message, **details},
    }


@pytest.fixture(scope="module")
def deployed(desk: FailureDesk) -> FailureDesk:
    """Return the desk once everything is deployed."""
    said = desk.run("deploy", "--stacks-only")
    assert said.code == 0, said.err
    return desk


@pytest.mark.parametrize(
    ("rule", "injected"),
    [
        pytest.param(
            cloudformation("DescribeStacks", "Throttling", "Rate exceeded", times=2),
            "CloudFormation throttles two calls",
            marks=pytest.mark.failure("throttled-briefly"),
            id="throttled",
        ),
        pytest.param(
            cloudformation("DescribeStacks", "InternalFailure", "An internal error occurred", status=500, times=2),
            "CloudFormation fails twice (500)",
            marks=pytest.mark.failure("aws-ill-briefly"),
            id="ill",
        ),
    ],
)
def test_what_passes_by_itself_is_tried_again_and_not_noticed(
    deployed: FailureDesk, tell: Tell, rule: dict[str, Any], injected: str
) -> None:
    with deployed.failing(rule):
        said = deployed.run(*DEPLOY)
    assert said.code == 0
    assert said.out == "Deployed.\n"
    tell(
        injected=injected,
        where="`cloudformation:DescribeStacks`",
        message=said.out,
        code=said.code,
        after="not needed",
        todo="nothing: it was tried again, with growing pauses",
    )


@pytest.mark.failure("throttled")
def test_throttling_without_an_end_is_told_after_four_attempts(deployed: FailureDesk, tell: Tell) -> None:
    with deployed.failing(cloudformation("DescribeStacks", "Throttling", "Rate exceeded")):
        said = deployed.run(*DEPLOY)
    assert said.code == 4
    for words in ("(Throttling)", "reached max retries: 3", "Cause: Too many calls in this account", "Wait a minute."):
        assert words in said.error
    assert deployed.run(*DEPLOY).code == 0
    tell(
        injected="CloudFormation throttles every call",
        where="`cloudformation:DescribeStacks`",
        message=said.error,
        code=said.code,
        after=WENT_ON,
    )


@pytest.mark.failure("connection-lost")
def test_a_connection_that_is_lost_in_the_middle_is_told(deployed: FailureDesk, tell: Tell) -> None:
    deployed.delete("aggregator", f"HubLink-{SITE}")
    deployed.delete(SITE, NODE)
    # the look at what is left over, and at the site's first stack, succeed
    with deployed.failing(cloudformation("DescribeStacks", "-", "the connection ends", status=0, after=3)):
        said = deployed.run(*DEPLOY)
    assert said.code == 4
    for words in (f"AWS does not answer ({SITE}, account {ACCOUNT}", "Cause: nothing was reached", "machine online?"):
        assert words in said.error
    assert deployed.run(*DEPLOY).code == 0
    assert deployed.statuses(SITE)[NODE] == "CREATE_COMPLETE"
    tell(
        injected="the connection to AWS is lost in the middle of a deployment",
        where="`cloudformation:DescribeStacks`",
        message=said.error,
        code=said.code,
        after=WENT_ON,
    )


@pytest.mark.failure("stuck")
def test_a_stack_that_can_go_neither_forth_nor_back_is_told_with_the_command_that_frees_it(
    deployed: FailureDesk, tell: Tell
) -> None:
    update_that_cannot_be_undone(deployed)
    said = deployed.run(*DEPLOY)
    assert said.code == 1
    for words in (
        f"fed-{STORAGE} in account {ACCOUNT} (us-east-1): is UPDATE_ROLLBACK_FAILED: ",
        "Cause: A quota of the account is used up",
        f"aws cloudformation continue-update-rollback --stack-name fed-{STORAGE} --region us-east-1 --profile {SITE}",
        "it waits for you, as said above.",
    ):
        assert words in said.error
    # loopback AWS has no such call; a stack that is deleted is free as well
    deployed.delete("aggregator", f"HubLink-{SITE}")
    deployed.delete(SITE, NODE, NETWORK, STORAGE)
    assert deployed.run(*DEPLOY).code == 0
    tell(
        injected="an update failed, and so did its undoing",
        where="SiteStorage is `UPDATE_ROLLBACK_FAILED`",
        message=said.error,
        code=said.code,
        after=f"{WENT_ON}, once the stack is freed",
    )


def update_that_cannot_be_undone(desk: FailureDesk) -> None:
    """Have an update of the site's storage fail, and its undoing too: CloudFormation can go neither way then."""
    stacks = desk.client(SITE, "cloudformation")
    template = stacks.get_template(StackName=f"fed-{STORAGE}")["TemplateBody"]
    body = template if isinstance(template, dict) else json.loads(template)
    volume = next(name for name, found in body["Resources"].items() if found["Type"] == "AWS::EC2::Volume")
    body["Resources"][volume]["Properties"]["Size"] = 1000
    told = stacks.describe_stacks(StackName=f"fed-{STORAGE}")["Stacks"][0].get("Parameters", [])
    quota = {
        "service": "ec2",
        "operation": "ModifyVolume",
        "account": ACCOUNT,
        "code": "VolumeModificationSizeLimitExceeded",
    }
    with desk.failing({**quota, "message": "Cannot exceed quota for the size of volumes"}):
        stacks.update_stack(
            StackName=f"fed-{STORAGE}",
            TemplateBody=json.dumps(body),
            Parameters=[{"ParameterKey": one["ParameterKey"], "UsePreviousValue": True} for one in told],
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        deadline = time.monotonic() + 30
        while desk.statuses(SITE)[STORAGE].endswith("_IN_PROGRESS"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert desk.statuses(SITE)[STORAGE] == "UPDATE_ROLLBACK_FAILED"


@pytest.mark.failure("left-in-review")
def test_a_stack_that_was_left_before_it_began_is_made_anew(deployed: FailureDesk, tell: Tell) -> None:
    deployed.delete("aggregator", f"HubLink-{SITE}")
    deployed.delete(SITE, NODE)
    parameter = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "x"}}
    deployed.client(SITE, "cloudformation").create_change_set(
        StackName=f"fed-{NODE}",
        ChangeSetName="left",
        ChangeSetType="CREATE",
        TemplateBody=json.dumps({"Resources": {"Thing": parameter}}),
    )
    assert deployed.statuses(SITE)[NODE] == "REVIEW_IN_PROGRESS"
    said = deployed.run(*DEPLOY)
    assert said.code == 0
    words = f"fed-{NODE} is REVIEW_IN_PROGRESS from an earlier attempt: it is deleted and made anew."
    assert words in said.err
    assert deployed.statuses(SITE)[NODE] == "CREATE_COMPLETE"
    tell(
        injected="an earlier attempt ended before CloudFormation began",
        where="SiteNode is `REVIEW_IN_PROGRESS`",
        message=words,
        code=said.code,
        after="not needed",
        todo="nothing: that is the repair",
    )


@pytest.mark.failure("interrupted")
def test_ctrl_c_says_what_is_where(deployed: FailureDesk, tell: Tell) -> None:
    deployed.delete("aggregator", f"HubLink-{SITE}")
    deployed.delete(SITE, NODE, NETWORK, STORAGE)
    process = deployed.begin(*DEPLOY)
    try:
        deadline = time.monotonic() + 120
        while not deployed.statuses(SITE):  # the CDK command has begun with the site
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert "Stopped. The stacks are now:" in err, (process.returncode, err)
    error = err[err.index("Stopped. The stacks are now:") :]
    assert process.returncode == 130
    assert f"  fed-HubLink-{SITE}: not there" in error
    assert "The same command goes on from there." in error
    assert "Traceback" not in err
    assert deployed.run(*DEPLOY).code == 0
    head, *_, remedy = error.strip().splitlines()
    tell(  # how far it came differs from run to run
        injected="Ctrl-C in the middle of a deployment",
        where="the terminal",
        message=f"{head} …\n{remedy}",
        code=process.returncode,
        after=WENT_ON,
    )
