"""What ``federate doctor`` collects of accounts on emulated AWS: no canary that was planted is in the archive."""

from __future__ import annotations

import json
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.doctor import Missing, Piece, of_nodes, write
from infra.errors import FederateError
from infra.federation.model import Federation
from infra.nodes.remote import Remote
from node_bootstrap import contract

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE7"
PLANTED = (
    f"aws_secret_access_key={SECRET}",
    "-----BEGIN EC PRIVATE KEY-----",
    "MHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY",
    "-----END EC PRIVATE KEY-----",
    "https://b.s3.amazonaws.com/run/x?X-Amz-Signature=f00dcafef00dcafe",
    "cannot read data/mueller-anna.csv",
    "141765,F,34,Caucasian,Alive,Home,152.4",
)
CANARIES = (SECRET, "MHcCAQEEIIrYSSNQ", "f00dcafe", "mueller-anna", "Caucasian", "CANARY")


class Nobody:
    """A transport to nodes that do not answer."""

    as_root = ""

    def run(self, remote: Remote, command: str, timeout: float) -> Any:
        raise FederateError(f"Nobody answers on {remote.node.id}: it is a record.")


@pytest.fixture
def planted(deployed: Mapping[str, Remote]) -> Mapping[str, Remote]:
    """Nodes whose account of hospital-a holds secrets in its log, and data in its bucket."""
    remote = deployed["hospital-a"]
    logs, group = remote.client("logs"), remote.node.log_group
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="hospital-a/agent")
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": line} for line in ("INFO an honest line", *PLANTED, "INFO the end")]
    logs.put_log_events(logGroupName=group, logStreamName="hospital-a/agent", logEvents=events)
    remote.put(contract.STATE, json.dumps({"state": "failed", "reason": f"token: {SECRET}", "run": "r", "at": "now"}))
    remote.put(contract.HOST_KEYS, "CANARY: parameters are listed by name")
    remote.client("s3").put_object(Bucket=remote.bucket, Key="data/patient.csv", Body=b"CANARY")
    return deployed


def test_no_canary_is_in_the_archive_and_what_helps_is(
    planted: Mapping[str, Remote], fed: Federation, tmp_path: Path
) -> None:
    found = of_nodes(tuple(planted.values()), fed, Nobody())
    assert any(SECRET in piece.text for piece in found if isinstance(piece, Piece)), "it is found before it is redacted"
    summary = write(tmp_path / "doctor.tar.gz", found, title=fed.name)
    with tarfile.open(summary.file) as archive:
        texts = {
            member.name.partition("/")[2]: (archive.extractfile(member) or pytest.fail("no file")).read().decode()
            for member in archive.getmembers()
        }
    for canary in CANARIES:
        assert [name for name, text in texts.items() if canary in text] == []
    log = texts["nodes/hospital-a/log.txt"]
    assert "agent INFO an honest line" in log
    assert "agent INFO the end" in log
    stacks = json.loads(texts["nodes/hospital-a/stacks.json"])
    assert [(stack["name"], stack["status"]) for stack in stacks] == [
        (f"{fed.name}-SiteStorage-hospital-a", "CREATE_COMPLETE"),
        (f"{fed.name}-SiteNetwork-hospital-a", "not there"),
        (f"{fed.name}-SiteNode-hospital-a", "not there"),
    ]
    state = json.loads(texts["nodes/hospital-a/state.json"])
    assert state["published"]["state"] == "failed"
    assert state["parameters"] == ["ssh-host-keys", "state"]


def test_what_is_not_there_or_does_not_answer_is_listed_with_its_reason(
    planted: Mapping[str, Remote], fed: Federation
) -> None:
    found = of_nodes([planted["hospital-a"]], fed, Nobody())
    missing = {one.name.rpartition("/")[2]: one.why for one in found if isinstance(one, Missing)}
    assert set(missing) == {"network.json", "instance.json", "console.txt", "unit.txt"}
    assert "hospital-a is not deployed" in missing["instance.json"]
    assert missing["unit.txt"] == "Nobody answers on hospital-a: it is a record."


def test_a_profile_without_permission_leaves_the_other_accounts_in_the_archive(
    planted: Mapping[str, Remote], fed: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ProfileNotFound

    def no_profile(_: str) -> Any:
        raise ProfileNotFound(profile="hospital-b")

    monkeypatch.setattr(planted["hospital-b"], "client", no_profile)
    found = of_nodes(tuple(planted.values()), fed, Nobody())
    of_b = [one for one in found if one.name.startswith("nodes/hospital-b/")]
    assert all(isinstance(one, Missing) for one in of_b if not one.name.endswith("unit.txt"))
    assert "could not be found" in of_b[0].why  # type: ignore[union-attr]
    assert any(isinstance(one, Piece) and one.name == "nodes/hospital-a/log.txt" for one in found)
