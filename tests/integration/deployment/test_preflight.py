"""A deployment that cannot succeed is stopped before anything is made, and says why; and what it would cost."""

from __future__ import annotations

import json
import urllib.request

from desk import PROFILES, Desk


def test_a_deployment_is_refused_before_anything_is_made_while_a_quota_does_not_suffice(desk: Desk) -> None:
    cleared = json.loads(desk.run("--json", "preflight")[0])
    assert cleared["exit_code"] == 0
    assert {answer["place"] for answer in cleared["answers"]} == {"this machine", *PROFILES}
    assert [answer["state"] for answer in cleared["answers"] if answer["check"] == "clock"] == ["ok"] * 3

    _lower(desk, "222222222222", 0)
    _, said = desk.run("deploy", "--stacks-only", code=1)
    assert "G and VT instances on demand need 4 vCPUs more, and 0 of 0 are in use" in said
    assert "request-service-quota-increase" in said
    assert "nothing was made" in said
    lines = json.loads(desk.run("--json", "status")[0])
    assert [(line["node"], set(line["stacks"].values()), line["troubles"]) for line in lines] == [
        (profile, {None}, []) for profile in PROFILES
    ]

    cost = json.loads(desk.run("--json", "cost", "--model-bytes", "1000")[0])
    hour = {item["what"]: item["per_hour"] for item in cost["items"] if item["node"] == "hospital-a"}
    assert hour["instance g4dn.xlarge, on demand"] == 0.526
    assert cost["per_hour"]["is_complete"]
    assert (cost["per_round"]["is_complete"], cost["per_round"]["unknown"]) == (False, ["how long a round takes"])


def _lower(desk: Desk, account: str, value: float) -> None:
    body = {"account": account, "region": "us-east-1", "service": "ec2", "code": "L-DB2E81BA", "value": value}
    request = urllib.request.Request(
        f"{desk.aws()['AWS_ENDPOINT_URL']}/_federate/quotas",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
