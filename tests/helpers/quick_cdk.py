"""What the CDK command does to CloudFormation, without the command: change sets, one stack after the other.

It stands in where a test is about what AWS answers and not about the command, which takes seconds to start. What it
says about a failure is worded as the command's own line.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from infra.deployment.cdk import CdkRun

_SECONDS = 60.0


class QuickCdk:
    """The command's stand-in; see :class:`infra.deployment.cdk.Cdk`."""

    def __init__(self, assembly: Path, logs: Path) -> None:
        self._assembly, self._logs = assembly, logs

    def deploy(
        self, stacks: Sequence[str], *, profile: str, parameters: Mapping[str, str], concurrency: int, title: str
    ) -> CdkRun:
        cloudformation = boto3.Session(profile_name=profile).client("cloudformation")
        for id_ in stacks:
            name = f"fed-{id_}"
            given = {key.partition(":")[2]: value for key, value in parameters.items() if key.startswith(f"{name}:")}
            try:
                self._deploy(cloudformation, name, (self._assembly / f"{id_}.template.json").read_text(), given)
            except (ClientError, RuntimeError) as error:
                return self._end("deploy", title, 1, f"❌  {name} failed: {error}")
        return self._end("deploy", title, 0, "done")

    def destroy(self, stacks: Sequence[str], *, profile: str, concurrency: int, title: str) -> CdkRun:
        cloudformation = boto3.Session(profile_name=profile).client("cloudformation")
        for id_ in reversed(stacks):
            try:
                cloudformation.delete_stack(StackName=f"fed-{id_}")
                _settled(cloudformation, f"fed-{id_}")
            except ClientError as error:
                if "does not exist" not in str(error):
                    return self._end("destroy", title, 1, f"❌  fed-{id_}: destroy failed {error}")
                continue
            return self._end("destroy", title, 1, f"❌  fed-{id_}: destroy failed")
        return self._end("destroy", title, 0, "done")

    def diff(self, stacks: Sequence[str], *, profile: str, title: str) -> CdkRun:
        raise NotImplementedError

    def interrupt(self) -> None:
        return

    @staticmethod
    def _deploy(cloudformation: Any, name: str, template: str, given: Mapping[str, str]) -> None:
        try:
            found = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            found = "REVIEW_IN_PROGRESS"
        declared = json.loads(template).get("Parameters", {})
        values = [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items() if key in declared]
        asked = {"StackName": name, "ChangeSetName": "quick"}
        cloudformation.create_change_set(
            **asked,
            ChangeSetType="CREATE" if found == "REVIEW_IN_PROGRESS" else "UPDATE",
            TemplateBody=template,
            Parameters=values,
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        planned = cloudformation.describe_change_set(**asked)
        if planned["Status"] == "FAILED":
            cloudformation.delete_change_set(**asked)
            if "didn't contain changes" in planned["StatusReason"] or "No updates" in planned["StatusReason"]:
                return
            raise RuntimeError(planned["StatusReason"])
        cloudformation.execute_change_set(**asked)
        status = _settled(cloudformation, name)
        if "ROLLBACK" in status or "FAILED" in status:
            raise RuntimeError(f"The stack named {name} failed: {status}")

    def _end(self, verb: str, title: str, code: int, text: str) -> CdkRun:
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"quick-{verb}-{title}.log"
        log.write_text(text, "utf-8")
        return CdkRun(code, log)


def _settled(cloudformation: Any, name: str) -> str:
    """Wait for the end of what goes on in a stack, and return its status."""
    deadline = time.monotonic() + _SECONDS
    while True:
        status = str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
        if not status.endswith("_IN_PROGRESS"):
            return status
        assert time.monotonic() < deadline, f"{name} is {status}"
        time.sleep(0.05)
