"""The federate command against loopback AWS, as a user runs it, in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from needs import CDK

CHECKOUT = Path(__file__).parents[2]

FEDERATION = """
name: fed
region: us-east-1
images: {us-east-1: ami-0fed0000000000001}
aggregator: {account: "333333333333", profile: aggregator, cidr: 10.30.0.0/16}
participants:
  - {id: hospital-a, account: "111111111111", profile: hospital-a, cidr: 10.10.0.0/16, on_destroy: delete}
  - {id: hospital-b, account: "222222222222", profile: hospital-b, cidr: 10.20.0.0/16, on_destroy: retain}
"""
PROFILES = ("aggregator", "hospital-a", "hospital-b")


@dataclass
class Desk:
    """Where an operator sits: a federation's file, a folder of state, and a shell."""

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "FEDERATE_"))}
        return {
            **kept,
            "FEDERATE_HOME": str(self.folder / "home"),
            "FEDERATE_FILE": str(self.folder / "federation.yaml"),
            "FEDERATE_AWS": "loopback",
            "FEDERATE_CDK": str(CDK),
            "CDK_VALIDATION": "false",
        }

    def begin(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start a command, its environment changed by ``variables``, and return it while it runs."""
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.cli.main", *arguments],
            cwd=CHECKOUT,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str, code: int = 0, **variables: str) -> tuple[str, str]:
        """Run a command that ends with ``code``; return its standard output and standard error."""
        process = self.begin(*arguments, **variables)
        out, err = process.communicate(timeout=240)
        assert process.returncode == code, f"{arguments} ended with {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in out + err
        return out, err

    def close(self) -> None:
        """End the commands that still run, then all that is up."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.run("local", "down")

    def aws(self) -> Mapping[str, str]:
        """Return the environment that reaches loopback AWS, which is started if need be."""
        out, _ = self.run("--json", "local", "up")
        told: dict[str, str] = json.loads(out)
        return told

    def client(self, profile: str, service: str) -> Any:
        environment = self.aws()
        key = {"aggregator": "333333333333", "hospital-a": "111111111111", "hospital-b": "222222222222"}[profile]
        session = boto3.Session(f"AKIAEMUL{key}", "-", region_name="us-east-1")
        return session.client(service, endpoint_url=environment["AWS_ENDPOINT_URL"])

    def stacks(self, profile: str) -> dict[str, str]:
        found = self.client(profile, "cloudformation").describe_stacks()["Stacks"]
        return {stack["StackName"]: stack["StackStatus"] for stack in found}

    def bucket(self, node: str) -> str:
        """Return the name of a node's bucket."""
        stack = "fed-HubStorage" if node == "aggregator" else f"fed-SiteStorage-{node}"
        found = self.client(node, "cloudformation").describe_stack_resource(StackName=stack, LogicalResourceId="Bucket")
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def as_node(self, node: str, service: str) -> Any:
        """Return a client with the keys of a node's role: nobody else reads a site's data."""
        sts = self.client(node, "sts")
        role = f"arn:aws:iam::{sts.get_caller_identity()['Account']}:role/federate-fed-{node}"
        keys = sts.assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
        return boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=sts.meta.endpoint_url,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
        )

    def objects(self, node: str) -> Iterator[tuple[str, bytes]]:
        """Yield every version of every object of a node's account."""
        s3, bucket = self.as_node(node, "s3"), self.bucket(node)
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for item in page.get("Versions", []):
                key, version = item["Key"], item["VersionId"]
                yield f"s3 {node} {key}", s3.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read()
