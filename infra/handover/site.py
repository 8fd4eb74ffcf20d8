#!/usr/bin/env python3
"""A site's own script: deploys this startup kit into the site's account, and operates the node that it makes.

It needs Python 3.9 or newer and boto3 (AWS CloudShell has both), and credentials of the site's account. It talks to
AWS in that account and to nobody else. `python3 site.py --help` lists the commands.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

HERE = Path(__file__).resolve().parent
MANIFEST, HAND_OVER = "MANIFEST.sha256", "handover.json"
_PEM = re.compile(r"(-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n?)+")
_ALIVE = ("waiting", "running")
_DELETABLE = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED")
_POLL_SECONDS = 1.0
#: A node that is being terminated may still speak: what it told is deleted until nothing comes back in this time.
_SILENCE_SECONDS, _FAREWELLS = 2.0, 10


class Stop(Exception):
    """What ends the script: a message, and the exit code (1 failed, 2 bad input, 3 identity, 4 AWS, 6 node)."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def wait_for(look: Callable[[], Any], what: str, seconds: float) -> Any:
    """Look until there is something, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() >= deadline:
            raise Stop(f"{what} did not come about in {seconds:.0f} s. The same command goes on waiting.", 6)
        time.sleep(_POLL_SECONDS)


def verify(folder: Path) -> str:
    """Check every file of the kit against MANIFEST.sha256; return the SHA-256 of that file, which names the kit."""
    listed = (folder / MANIFEST).read_bytes()
    for line in listed.decode("utf-8").splitlines():
        digest, _, name = line.partition("  ")
        path = folder / name
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
        if found != digest:
            raise Stop(f"{name}: {found}, and {MANIFEST} says {digest}. Fetch the kit anew from the coordinator.", 2)
    return hashlib.sha256(listed).hexdigest()


class Stacks:
    """The kit's stacks as the account's CloudFormation has them."""

    def __init__(self, client: Any, seconds: float) -> None:
        self._client, self._seconds = client, seconds

    def describe(self, name: str) -> dict[str, Any]:
        """Return CloudFormation's description of a stack; empty if there is none."""
        try:
            found: dict[str, Any] = self._client.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return {}
            raise
        return found

    def output(self, name: str, output: str) -> str:
        """Return an output of a deployed stack."""
        for one in self.describe(name).get("Outputs", []):
            if one["OutputKey"] == output:
                return str(one["OutputValue"])
        raise Stop(f"{name} has no output {output}: it is not deployed. python3 site.py deploy", 4)

    def deploy(self, name: str, template: str, parameters: Mapping[str, str], set_name: str) -> None:
        """Create or update a stack by a change set, and show what it changes and what happens."""
        self._settle(name)
        status = self.describe(name).get("StackStatus")
        if status in _DELETABLE:
            print(f"  {name} is {status} from an earlier attempt: it is deleted and made anew")
            self.delete(name)
            status = None
        is_new = status in (None, "DELETE_COMPLETE", "REVIEW_IN_PROGRESS")
        if not is_new and "FAILED" in str(status):
            raise Stop(f"{name} is {status}: {self._reason(name)}. Repair that in the CloudFormation console.")
        given: list[dict[str, Any]] = [
            {"ParameterKey": key, "ParameterValue": value} for key, value in sorted(parameters.items())
        ]
        declared = json.loads(template).get("Parameters", {})
        for before in () if is_new else self.describe(name).get("Parameters", []):
            key = before["ParameterKey"]
            if key in declared and key not in parameters:  # such as the image: an update keeps it, replace changes it
                given.append({"ParameterKey": key, "UsePreviousValue": True})
                if declared[key].get("Default", before["ParameterValue"]) != before["ParameterValue"]:
                    print(f"  {name} keeps {key} {before['ParameterValue']}; the kit has {declared[key]['Default']}")
        if status == "REVIEW_IN_PROGRESS" or not is_new:
            self._client.delete_change_set(StackName=name, ChangeSetName=set_name)  # of an attempt before
        if not self._changes(name, template, given, set_name, "CREATE" if is_new else "UPDATE"):
            print(f"  {name}: no changes")
            return
        self._client.execute_change_set(StackName=name, ChangeSetName=set_name)
        self._settle(name, show=True)
        status = str(self.describe(name).get("StackStatus"))
        if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise Stop(f"{name} is {status}: {self._reason(name)}. Repair that; the same command goes on.")

    def delete(self, name: str) -> None:
        """Delete a stack and wait until it is gone."""
        self._client.delete_stack(StackName=name)

        def over() -> str:
            status = str(self.describe(name).get("StackStatus", "DELETE_COMPLETE"))
            return status if status in ("DELETE_COMPLETE", "DELETE_FAILED") else ""

        if wait_for(over, f"The deletion of {name}", self._seconds) == "DELETE_FAILED":
            raise Stop(
                f"{name} is not deleted: {self._reason(name)}. Remove what stands in the way; then again. "
                "A bucket that is not retained must be empty; --delete-data empties it.",
                5,
            )

    def resources(self, name: str) -> dict[str, str]:
        """Return the physical ids of a stack's resources by their logical ids."""
        found = self._client.describe_stack_resources(StackName=name)["StackResources"]
        return {one["LogicalResourceId"]: str(one.get("PhysicalResourceId", "")) for one in found}

    def _changes(self, name: str, template: str, given: list[dict[str, Any]], set_name: str, kind: str) -> bool:
        here = {"StackName": name, "ChangeSetName": set_name}
        self._client.create_change_set(
            **here,
            ChangeSetType=kind,
            TemplateBody=template,
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=given,
            ImportExistingResources=True,  # a log group that was retained has the name that the new one needs
        )

        def made() -> Any:
            found = self._client.describe_change_set(**here)
            return found if found["Status"] in ("CREATE_COMPLETE", "FAILED") else None

        found = wait_for(made, f"The change set of {name}", self._seconds)
        if found["Status"] == "FAILED":
            self._client.delete_change_set(**here)
            reason = str(found.get("StatusReason", ""))
            if "didn't contain changes" in reason or "No updates" in reason:
                return False
            raise Stop(f"{name}: CloudFormation refuses the change set: {reason}")
        for change in (one["ResourceChange"] for one in found["Changes"]):
            replaced = ", REPLACED" if change.get("Replacement") == "True" else ""
            print(f"  {change['Action']:7} {change['ResourceType']:40} {change['LogicalResourceId']}{replaced}")
        return True

    def _settle(self, name: str, show: bool = False) -> None:
        """Wait until nothing is going on in a stack."""
        shown: set[str] = set() if show else {"all"}

        def settled() -> bool:
            status = str(self.describe(name).get("StackStatus", "DELETE_COMPLETE"))
            for event in self._events(name) if show else ():
                if event["EventId"] not in shown:
                    shown.add(event["EventId"])
                    if event["ResourceStatus"].endswith(("_COMPLETE", "_FAILED")):
                        reason = event.get("ResourceStatusReason", "")
                        print(f"    {event['ResourceStatus']:18} {event['LogicalResourceId']} {reason}".rstrip())
            # Under review is a stack that was never made, unless a change set is being carried out.
            return (status == "REVIEW_IN_PROGRESS" and not show) or not status.endswith("_IN_PROGRESS")

        wait_for(settled, f"The end of what goes on in {name}", self._seconds)

    def _events(self, name: str) -> list[dict[str, Any]]:
        """Return the stack's events since its last operation began, oldest first."""
        try:
            events = self._client.describe_stack_events(StackName=name)["StackEvents"]
        except ClientError:
            return []
        found: list[dict[str, Any]] = []
        for event in events:
            found.insert(0, event)
            is_begin = event["ResourceStatus"] in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
            if event["LogicalResourceId"] == name and is_begin:
                break
        return found

    def _reason(self, name: str) -> str:
        for event in self._events(name):
            reason = str(event.get("ResourceStatusReason") or "")
            if event["ResourceStatus"].endswith("_FAILED") and reason and "cancelled" not in reason:
                return f"{event['LogicalResourceId']} ({event.get('ResourceType', '')}): {reason}"
        return str(self.describe(name).get("StackStatusReason", "CloudFormation does not say why"))


class Site:
    """The kit, and the account that it is for."""

    def __init__(self, folder: Path, profile: str | None, seconds: float) -> None:
        self.folder, self.seconds = folder, seconds
        self.kit: dict[str, Any] = json.loads((folder / "kit.json").read_text("utf-8"))
        self._session = boto3.Session(profile_name=profile, region_name=self.kit["region"])
        self.stacks = Stacks(self.client("cloudformation"), seconds)
        self._ssm = self.client("ssm")

    def client(self, service: str) -> Any:
        """Return a client for a service of the site's account."""
        return self._session.client(service)

    def check_account(self) -> None:
        """Make sure that the credentials are of the account that the kit is for."""
        caller = self.client("sts").get_caller_identity()
        if caller["Account"] != self.kit["account"]:
            raise Stop(
                f"These credentials are of account {caller['Account']} ({caller['Arn']}); the kit is for account "
                f"{self.kit['account']}. Use that account's: --profile NAME.",
                3,
            )

    def parameters(self) -> dict[str, str]:
        """Return what the node and its operators tell each other, by name."""
        prefix = f"{self.kit['parameter_prefix']}/"
        pages = self._ssm.get_paginator("get_parameters_by_path").paginate(Path=prefix)
        return {one["Name"][len(prefix) :]: str(one["Value"]) for page in pages for one in page["Parameters"]}

    def put(self, name: str, value: str) -> None:
        """Tell the node something."""
        path = f"{self.kit['parameter_prefix']}/{name}"
        self._ssm.put_parameter(Name=path, Value=value, Type="String", Overwrite=True)

    def forget(self, names: Iterable[str]) -> None:
        """Delete parameters of the node."""
        for name in names:
            try:
                self._ssm.delete_parameter(Name=f"{self.kit['parameter_prefix']}/{name}")
            except self._ssm.exceptions.ParameterNotFound:
                continue

    def state(self) -> dict[str, Any]:
        """Return what the node last said of itself; empty if nothing."""
        try:
            found = json.loads(self.parameters().get("state", "{}"))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def give(self) -> None:
        """Bring the release and the run files into the site's own bucket."""
        bucket = self.stacks.output(**self.kit["bucket"])
        s3, release = self.client("s3"), self.kit["release"]
        for name, key in ((release["file"], release["key"]), (self.kit["run"]["file"], self.kit["run"]["key"])):
            s3.put_object(Bucket=bucket, Key=key, Body=(self.folder / name).read_bytes())
        print(f"  release and run files are in s3://{bucket}")

    def follow_key(self, key: str) -> None:
        """Encrypt by this key what is logged from now on: a log group that was taken over has the one of before."""
        logs = self.client("logs")
        for name in self.kit["log_groups"]:
            for group in logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]:
                if group["logGroupName"] == name and group.get("kmsKeyId") != key:
                    logs.associate_kms_key(logGroupName=name, kmsKeyId=key)
                    print(f"  {name} was here before: what comes is encrypted by the new key")

    def close_default_group(self, vpc: str) -> None:
        """Revoke the rules of a VPC's default security group, which CloudFormation makes with it and cannot change."""
        ec2 = self.client("ec2")
        filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]
        (group,) = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        for rules, revoke in (
            (group["IpPermissions"], ec2.revoke_security_group_ingress),
            (group["IpPermissionsEgress"], ec2.revoke_security_group_egress),
        ):
            if rules:
                asked = [{key: value for key, value in rule.items() if value != []} for rule in rules]
                revoke(GroupId=group["GroupId"], IpPermissions=asked)
                print(f"  {vpc}: its default security group is emptied")

    def empty(self, buckets: Iterable[str]) -> None:
        """Delete every version of every object in buckets; no access log of the one may fill the other again."""
        s3, found = self.client("s3"), tuple(buckets)
        for bucket in found:
            s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
        for bucket in found:
            self._empty(s3, bucket)

    def _empty(self, s3: Any, bucket: str) -> None:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
            if objects:
                s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})

    def value(self, source: Mapping[str, str]) -> str:
        """Return the value of a template's parameter."""
        if "value" in source:
            return source["value"]
        if "output" in source:
            return self.stacks.output(source["name"], source["output"])
        lists = self.client("ec2").describe_managed_prefix_lists(
            Filters=[{"Name": "prefix-list-name", "Values": [source["managed_prefix_list"]]}]
        )["PrefixLists"]
        if not lists:
            raise Stop(f"There is no managed prefix list {source['managed_prefix_list']} in this Region.", 4)
        return str(lists[0]["PrefixListId"])


def deploy(site: Site, approve: str | None) -> None:
    """Review, approve and deploy; then write the hand-over file."""
    kit, name = site.kit, verify(site.folder)
    print(f"Kit {name}\n")
    print((site.folder / "SUMMARY.md").read_text("utf-8").partition("\n## ")[0].strip() + "\n")
    site.check_account()
    digest = kit["release"]["sha256"]
    ask_approval(digest, approve)
    for stack in kit["stacks"]:
        deploy_stack(site, stack, name)
    site.give()
    site.put("approved-release", digest)
    print("Waiting for the node's signing request …")

    def asked() -> str:
        state = site.state()
        if state.get("state") == "failed" and not state.get("run"):
            raise Stop(f"The node failed: {state.get('reason')}", 6)
        return site.parameters().get("csr", "")

    hand_over(site, wait_for(asked, "The node's signing request", site.seconds))


def deploy_stack(site: Site, stack: Mapping[str, Any], kit: str) -> None:
    """Deploy one of the kit's stacks."""
    print(f"{stack['name']}:")
    if stack["is_node"] and not site.stacks.describe(stack["name"]):
        site.forget(("state", "csr"))  # of a node before: they would be taken for the new one's
    template = json.dumps(json.loads((site.folder / stack["template"]).read_text("utf-8")), separators=(",", ":"))
    values = {key: site.value(source) for key, source in stack["parameters"].items()}
    site.stacks.deploy(stack["name"], template, values, f"federate-{kit[:12]}")
    if stack["key"]:
        site.follow_key(site.stacks.output(stack["name"], stack["key"]))
    if stack["vpc"]:
        site.close_default_group(site.stacks.output(stack["name"], stack["vpc"]))


def replace(site: Site) -> None:
    """Make the node anew, from the kit's image; keys, checkpoints and what is wanted of it stay."""
    site.check_account()
    name = verify(site.folder)
    for stack in site.kit["stacks"]:
        if stack["is_node"]:
            site.stacks.delete(stack["name"])
            deploy_stack(site, stack, name)
    wait_for(site.state, "A word of the new node", site.seconds)
    print(f"The node is made anew: {site.state().get('state')}.")


def hand_over(site: Site, request: str) -> None:
    """Write what the coordinator is given."""
    kit = site.kit
    told = {key: site.value(source) for key, source in kit["hand_over"].items()}
    own = {key: kit[key] for key in ("federation", "site", "account", "region")}
    release = kit["release"]["sha256"]
    document = {"format": "federate-hand-over/1", **own, "values": told, "release": release, "request": request}
    path = site.folder / HAND_OVER
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", "utf-8")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"\nGive the coordinator {path} (nothing in it is secret; SHA-256 {sha256}).")
    print("With the answer: python3 site.py admit certificate.json")


def rotate(site: Site) -> None:
    """Have the node make a new key, while the old one serves, and write what the coordinator signs for it."""
    site.check_account()
    before = site.parameters().get("csr", "")
    if not before:
        raise Stop("The node has asked for no certificate yet, so there is nothing to rotate.", 2)
    site.put("rotate", new_name())

    def asked() -> str:
        request = site.parameters().get("csr", "")
        return request if request != before else ""

    hand_over(site, wait_for(asked, "The request for a new key", site.seconds))


def new_name() -> str:
    """Return a name for a start or a rotation that none had before."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(2)}"


def ask_approval(digest: str, given: str | None) -> None:
    """Have the admin approve exactly this release; the node runs no other."""
    if given is None and not sys.stdin.isatty():
        raise Stop(f"The release {digest} needs your approval: --approve {digest}", 3)
    asked = f"The node will run the release\n  {digest}\nand no other. Approve it by its SHA-256: "
    typed = input(asked) if given is None else given
    if typed.strip().lower() != digest:
        raise Stop(f"Not approved: the kit's release is {digest}. Nothing was changed.", 3)


def admit(site: Site, file: Path) -> None:
    """Put the coordinator's answer into the site's own parameter store, where the node takes it from."""
    try:
        answer = json.loads(file.read_text("utf-8"))
        told = {key: str(answer[key]) for key in ("format", "federation", "site", "serial", "certificate", "authority")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Stop(f"{file} is not a coordinator's answer ({error!r}); `federate join` writes it.", 2) from None
    for key, due in (("format", "federate-certificate/1"), *((key, site.kit[key]) for key in ("federation", "site"))):
        if told[key] != due:
            raise Stop(f"{file}: {key} is {told[key]!r}; {due!r} is due. Ask for the answer to your own hand-over.", 2)
    for key in ("certificate", "authority"):
        if not _PEM.fullmatch(told[key]):
            raise Stop(f"{file}: {key} is not a certificate in PEM. Ask for the file anew.", 2)
    site.check_account()
    site.put("authority", told["authority"])
    site.put("certificate", told["certificate"])

    def taken() -> bool:
        state = site.state()
        held = state.get("identity") or {}
        problem = held.get("problem") or (state.get("reason", "") if state.get("state") == "booting" else "")
        if ": " in problem and held.get("serial") != told["serial"]:
            raise Stop(f"The node does not take it: {problem}", 6)
        return bool(held.get("serial") == told["serial"])

    wait_for(taken, "That the node takes its certificate", site.seconds)
    print("The node has its certificate. Bring the data, then: python3 site.py start")


def start(site: Site) -> None:
    """Have the node take part; it waits for the coordinator's rounds."""
    site.check_account()
    told, state = site.parameters(), site.state()
    if told.get("approved-release") != site.kit["release"]["sha256"]:
        raise Stop("This kit's release is not the approved one: python3 site.py deploy", 3)
    if "certificate" not in told:
        raise Stop("The node has no certificate yet: python3 site.py admit certificate.json", 3)
    desired = json.loads(told.get("desired", "{}"))
    if desired.get("state") == "started" and (state.get("state") in _ALIVE or state.get("run") != desired.get("run")):
        run = desired["run"]
    else:
        run = new_name()
        site.put("desired", json.dumps({"state": "started", "run": run}))

    def under_way() -> bool:
        state = site.state()
        if state.get("run") == run and state.get("state") == "failed":
            raise Stop(f"The node failed: {state.get('reason')}", 6)
        return state.get("run") == run and state.get("state") in (*_ALIVE, "finished")

    wait_for(under_way, "That the node starts", site.seconds)
    print(f"The node is {site.state().get('state')}.")


def stop(site: Site) -> None:
    """Have the node stop in order; the next start goes on from where it was."""
    site.check_account()
    desired = json.loads(site.parameters().get("desired", "{}"))
    if desired.get("state") == "started":
        site.put("desired", json.dumps({"state": "stopped", "run": desired["run"]}))
        wait_for(lambda: site.state().get("state") not in _ALIVE, "That the node stops", site.seconds)
    print(f"The node is {site.state().get('state', 'silent')}.")


def status(site: Site, as_json: bool) -> None:
    """Show the stacks, the approved release, what is wanted of the node and what it says."""
    site.check_account()
    told = site.parameters()
    found = {
        "stacks": {one["name"]: site.stacks.describe(one["name"]).get("StackStatus") for one in site.kit["stacks"]},
        "approved_release": told.get("approved-release"),
        "desired": json.loads(told.get("desired", "{}")),
        "node": site.state(),
    }
    if as_json:
        print(json.dumps(found, indent=1))
        return
    for name, state in found["stacks"].items():
        print(f"  {state or 'not there':18} {name}")
    node = found["node"]
    print(f"  release {found['approved_release'] or 'none approved'}")
    print(f"  node: {node.get('state', 'silent')} {node.get('reason', '')} {node.get('progress') or ''}".rstrip())


def destroy(site: Site, yes: bool, empty: bool) -> None:
    """Delete the kit's stacks; what the templates retain (the data, say) stays and is named."""
    site.check_account()
    name = site.kit["site"]
    if not yes and not (sys.stdin.isatty() and input(f"Delete the stacks of {name}? Type its name: ") == name):
        raise Stop("Not deleted: nobody said yes (--yes).", 2)
    for stack in reversed(site.kit["stacks"]):
        if not site.stacks.describe(stack["name"]):
            continue
        found = site.stacks.resources(stack["name"])
        kept = {key: value for key, value in found.items() if key in stack["retained"]}
        if empty:
            site.empty(found[key] for key in stack["buckets"] if key in found and key not in kept)
        site.stacks.delete(stack["name"])
        print(f"  deleted {stack['name']}")
        for key, value in kept.items():
            print(f"    kept, and yours to delete: {key} {value}")
    for _ in range(_FAREWELLS):
        told = site.parameters()
        if not told:
            return
        site.forget(told)
        time.sleep(_SILENCE_SECONDS)
    raise Stop(
        f"{name}'s stacks are deleted, but something goes on writing: {', '.join(sorted(site.parameters()))}.", 5
    )


def main() -> int:
    """Run a command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", help="AWS profile of the site's account; the default credentials if left out")
    parser.add_argument("--wait", type=float, default=1800.0, metavar="SECONDS", help="how long to wait for each thing")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("verify", help="check the kit's files; asks no account")
    approving = commands.add_parser("deploy", help="1. deploy or update; writes handover.json for the coordinator")
    approving.add_argument("--approve", metavar="SHA256", help="approve exactly this release")
    admitting = commands.add_parser("admit", help="2. give the node the certificate that the coordinator answered with")
    admitting.add_argument("file", type=Path, metavar="CERTIFICATE.json")
    commands.add_parser("start", help="have the node take part in rounds")
    commands.add_parser("stop", help="have the node stop in order")
    commands.add_parser("status", help="stacks and node").add_argument("--json", action="store_true")
    commands.add_parser("replace", help="make the node anew, from the kit's image; its keys and checkpoints stay")
    commands.add_parser("rotate", help="a new key for the node; writes handover.json, for: federate join --renew")
    leaving = commands.add_parser("destroy", help="leave: delete the stacks")
    leaving.add_argument("--yes", action="store_true", help="do not ask")
    leaving.add_argument("--delete-data", action="store_true", help="empty buckets that the templates do not retain")
    given = parser.parse_args()
    try:
        if given.command == "verify":
            print(f"Kit {verify(HERE)}: every file is as {MANIFEST} says.")
            return 0
        site = Site(HERE, given.profile, given.wait)
        actions = {
            "deploy": lambda: deploy(site, given.approve),
            "admit": lambda: admit(site, given.file),
            "start": lambda: start(site),
            "stop": lambda: stop(site),
            "rotate": lambda: rotate(site),
            "replace": lambda: replace(site),
            "status": lambda: status(site, given.json),
            "destroy": lambda: destroy(site, given.yes, given.delete_data),
        }
        actions[given.command]()
    except Stop as error:
        print(error, file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print("Stopped. The same command goes on where it ended.", file=sys.stderr)
        return 130
    except (BotoCoreError, ClientError) as error:
        print(f"AWS refuses or does not answer: {error}", file=sys.stderr)
        return 4
    except (OSError, ValueError, KeyError) as error:
        print(f"This folder is not a whole startup kit: {error!r}. Fetch it anew.", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
