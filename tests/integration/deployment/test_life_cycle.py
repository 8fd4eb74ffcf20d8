"""Deploy, compare, destroy, and the same once more, through the real CDK command."""

from __future__ import annotations

import json
from typing import Any

from desk import PROFILES, Desk

LOG = "/federate/fed/hospital-b"


def test_a_federation_is_deployed_compared_destroyed_and_all_of_it_again(desk: Desk) -> None:
    desk.run("deploy", "--stacks-only")
    assert set(desk.stacks("hospital-a").values()) == {"CREATE_COMPLETE"}
    assert sorted(desk.stacks("aggregator")) == [
        "fed-HubLink-hospital-a",
        "fed-HubLink-hospital-b",
        "fed-HubNetwork",
        "fed-HubNode",
        "fed-HubStorage",
    ]
    assert set(json.loads(desk.run("--json", "diff", "--fail")[0]).values()) == {""}

    bucket = _bucket(desk, "hospital-a")
    for body in (b"one", b"two"):  # two versions
        desk.client("hospital-a", "s3").put_object(Bucket=bucket, Key="data/patient.csv.gz", Body=body)
    desk.client("hospital-b", "s3").put_object(Bucket=_bucket(desk, "hospital-b"), Key="data/x", Body=b"kept")

    _, said = desk.run("destroy", "--only", "aggregator", code=2)
    assert "while sites are connected to it: hospital-a, hospital-b" in said

    audit = json.loads(desk.run("--json", "destroy")[0])
    assert audit["left"] == []
    kept = {(item["account"], item["kind"]): item["id"] for item in audit["retained"]}
    assert set(kept) == {
        ("222222222222", kind) for kind in ("volume", "bucket", "access-log bucket", "log group", "KMS key")
    }
    assert {item["account"] for item in audit["ending"]} == {"111111111111", "333333333333"}
    bucket, key = kept["222222222222", "bucket"], kept["222222222222", "KMS key"]
    found = desk.client("hospital-b", "s3").list_objects_v2(Bucket=bucket)["Contents"]
    assert [(item["Key"], item["Size"]) for item in found] == [("data/x", 4)]
    assert all(desk.stacks(profile) == {} for profile in PROFILES)

    # The next deployment takes the log over, and the bucket if it is named; its key is a new one.
    logs = desk.client("hospital-b", "logs")
    logs.create_log_stream(logGroupName=LOG, logStreamName="of-before")
    assert _key_of_log(desk) == key
    file = desk.folder / "federation.yaml"
    file.write_text(file.read_text().replace("on_destroy: retain", f"on_destroy: retain, bucket: {bucket}"))
    # Without its old key no node could read the bucket, as the preflight says: here it is about the stacks alone.
    _, said = desk.run("deploy", "--stacks-only", "--no-preflight")
    assert f"The log group {LOG} was here before" in said
    streams = logs.describe_log_streams(logGroupName=LOG)["logStreams"]
    assert "of-before" in [stream["logStreamName"] for stream in streams]
    assert _key_of_log(desk) == _output(desk, "hospital-b", "KeyArn") != key
    assert _bucket(desk, "hospital-b") == bucket

    # The images are pinned no longer: nothing can be deployed, and everything can go.
    file.write_text("\n".join(line for line in file.read_text().splitlines() if not line.startswith("images:")))
    assert "there is no machine image" in desk.run("diff", code=2)[1]
    desk.run("destroy")
    desk.run("destroy")
    assert all(desk.stacks(profile) == {} for profile in PROFILES)


def _bucket(desk: Desk, profile: str) -> str:
    return _output(desk, profile, "BucketName")


def _output(desk: Desk, profile: str, name: str) -> str:
    (stack,) = desk.client(profile, "cloudformation").describe_stacks(StackName=f"fed-SiteStorage-{profile}")["Stacks"]
    return str({output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}[name])


def _key_of_log(desk: Desk) -> Any:
    groups = desk.client("hospital-b", "logs").describe_log_groups(logGroupNamePrefix=LOG)["logGroups"]
    return {group["logGroupName"]: group.get("kmsKeyId") for group in groups}[LOG]
