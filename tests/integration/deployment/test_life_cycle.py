"""Deploy, compare, destroy, and the same once more, through the real CDK command."""

from __future__ import annotations

import json
from typing import Any

from desk import PROFILES, Desk


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
    assert [(kept["account"], kept["kind"]) for kept in audit["retained"]] == [
        ("222222222222", "volume"),
        ("222222222222", "bucket"),
    ]
    kept = desk.client("hospital-b", "s3").get_object(Bucket=_bucket(desk, "hospital-b"), Key="data/x")
    assert kept["Body"].read() == b"kept"
    assert all(desk.stacks(profile) == {} for profile in PROFILES)

    desk.run("deploy", "--stacks-only")
    desk.run("destroy")
    desk.run("destroy")
    assert all(desk.stacks(profile) == {} for profile in PROFILES)


def _bucket(desk: Desk, profile: str) -> str:
    buckets: Any = desk.client(profile, "s3").list_buckets()["Buckets"]
    return str(buckets[0]["Name"])
