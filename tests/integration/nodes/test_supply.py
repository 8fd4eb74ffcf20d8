"""A node is given exactly what it is to run, in its own account's bucket, and nothing is sent twice."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_node import FakeAccount, digest_of, release_of
from rich.console import Console

from infra.federation.model import Federation
from infra.federation.run_config import run_files
from infra.nodes.bring_up import NotSupplied, supply_all
from infra.nodes.release import Release
from infra.nodes.remote import NotDeployed, Remote
from infra.nodes.supply import NotADigest, NotApproved, NotOurs, Supplied, approve, supply
from infra.progress import LiveTable
from node_bootstrap import contract
from node_bootstrap.agent.inputs import fetch

Nodes = Mapping[str, Remote]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "hospital-a"
    (folder / "below").mkdir(parents=True)
    (folder / "patient.csv.gz").write_bytes(b"a row")
    (folder / "below" / "lab.csv.gz").write_bytes(b"another")
    (folder / ".hidden").write_bytes(b"an editor's")
    return folder


@pytest.fixture
def other(tmp_path: Path) -> Release:
    """Another release than ``release``."""
    packed = release_of({"fl_app/__init__.py": b"2"})
    (tmp_path / "other.zip").write_bytes(packed)
    return Release(digest_of(packed), tmp_path / "other.zip", ())


def give(remote: Remote, fed: Federation, release: Release, data: Path | None = None, **options: Any) -> Supplied:
    return supply(remote, fed, release, data, **{"approve": True, **options})


def in_bucket(accounts: Any, remote: Remote) -> dict[str, bytes]:
    found: dict[str, bytes] = accounts.objects(remote.node.id, remote.bucket)
    return found


def written(accounts: Any) -> list[str]:
    """Return what was done to data, in order."""
    kept = [(operation, key) for _, operation, key in accounts.writes if key.startswith("data/")]
    return [f"{operation} {key.removeprefix('data/')}" for operation, key in kept]


def test_a_site_is_given_release_run_files_and_data_and_the_agent_takes_them(
    deployed: Nodes, fed: Federation, accounts: Any, release: Release, data: Path, tmp_path: Path
) -> None:
    site = deployed["hospital-a"]
    done = give(site, fed, release, data)
    assert done == Supplied("hospital-a", release.path.stat().st_size + len(b"a row") + len(b"another"), 2)
    found = in_bucket(accounts, site)
    assert set(found) == {
        f"releases/{release.digest}.zip",
        contract.MANIFEST_KEY,
        *("data/patient.csv.gz", "data/below/lab.csv.gz"),
    }
    assert accounts.writes[-1] == ("hospital-a", "PutObject", contract.MANIFEST_KEY)
    approved = site.parameters()[contract.APPROVED_RELEASE]
    inputs = fetch(FakeAccount(objects=found), tmp_path / "node", approved=approved, with_data=True)
    assert inputs.release == release.digest
    for name, text in run_files(fed, site.node).items():
        assert (inputs.config / name).read_text("utf-8") == text


def test_each_account_is_written_to_with_its_own_profile_and_no_other(
    deployed: Nodes, fed: Federation, accounts: Any, release: Release, data: Path
) -> None:
    give(deployed["hospital-a"], fed, release, data)
    give(deployed["aggregator"], fed, release)
    assert {profile for profile, *_ in accounts.writes} == {"hospital-a", "aggregator"}
    assert in_bucket(accounts, deployed["hospital-b"]) == {}
    assert [key for key in in_bucket(accounts, deployed["aggregator"]) if key.startswith("data/")] == []


def test_data_that_are_there_already_are_not_sent_again(
    deployed: Nodes, fed: Federation, accounts: Any, release: Release, data: Path
) -> None:
    give(deployed["hospital-a"], fed, release, data)
    accounts.writes.clear()
    assert give(deployed["hospital-a"], fed, release, data).data_objects == 2
    assert written(accounts) == []


def test_data_become_what_the_folder_holds(
    deployed: Nodes, fed: Federation, accounts: Any, release: Release, data: Path
) -> None:
    site = deployed["hospital-a"]
    give(site, fed, release, data)
    (data / "patient.csv.gz").write_bytes(b"as long")
    (data / "below" / "lab.csv.gz").unlink()
    (data / "new.csv").write_bytes(b"new")
    accounts.writes.clear()
    assert give(site, fed, release, data).data_objects == 2
    assert written(accounts) == ["PutObject new.csv", "PutObject patient.csv.gz", "DeleteObject below/lab.csv.gz"]
    found = {key: content for key, content in in_bucket(accounts, site).items() if key.startswith("data/")}
    assert found == {"data/patient.csv.gz": b"as long", "data/new.csv": b"new"}


def test_a_change_of_the_same_length_is_sent(
    deployed: Nodes, fed: Federation, accounts: Any, release: Release, data: Path
) -> None:
    give(deployed["hospital-a"], fed, release, data)
    (data / "patient.csv.gz").write_bytes(b"b row")
    accounts.writes.clear()
    give(deployed["hospital-a"], fed, release, data)
    assert written(accounts) == ["PutObject patient.csv.gz"]


def test_an_object_that_somebody_else_has_replaced_is_sent_again(
    deployed: Nodes, fed: Federation, accounts: Any, release: Release, data: Path
) -> None:
    site = deployed["hospital-a"]
    give(site, fed, release, data)
    site.client("s3").put_object(Bucket=site.bucket, Key="data/patient.csv.gz", Body=b"tampered with")
    give(site, fed, release, data)
    assert in_bucket(accounts, site)["data/patient.csv.gz"] == b"a row"


def test_in_an_existing_bucket_nothing_that_somebody_else_brought_is_replaced_or_deleted(
    deployed: Nodes, fed: Federation, accounts: Any, release: Release, data: Path
) -> None:
    site = deployed["hospital-a"]
    spec = site.node.spec.model_copy(update={"bucket": site.bucket})
    own = copy.copy(site)
    own.node = replace(site.node, spec=spec)
    give(own, fed, release, data)
    (data / "below" / "lab.csv.gz").unlink()
    assert give(own, fed, release, data).data_objects == 1
    site.client("s3").put_object(Bucket=site.bucket, Key="data/theirs.csv", Body=b"theirs")
    before = {key: content for key, content in in_bucket(accounts, site).items() if key.startswith("data/")}
    (data / "patient.csv.gz").write_bytes(b"another row")
    with pytest.raises(NotOurs, match=r"data/theirs.csv in the bucket"):
        give(own, fed, release, data)
    assert {key: content for key, content in in_bucket(accounts, site).items() if key.startswith("data/")} == before
    # Negative control: in a bucket that Federate has made, the data are what the folder holds.
    give(site, fed, release, data)
    assert "data/theirs.csv" not in in_bucket(accounts, site)


def test_a_release_that_somebody_else_has_replaced_is_put_right_whatever_its_object_says_of_itself(
    deployed: Nodes, fed: Federation, accounts: Any, release: Release
) -> None:
    site, key = deployed["hospital-a"], f"releases/{release.digest}.zip"
    give(site, fed, release)
    said = {"sha256": release.digest}
    site.client("s3").put_object(Bucket=site.bucket, Key=key, Body=b"tampered with", Metadata=said)
    give(site, fed, release)
    assert in_bucket(accounts, site)[key] == release.path.read_bytes()


def test_without_a_folder_the_data_stay_as_they_are(
    deployed: Nodes, fed: Federation, accounts: Any, release: Release, data: Path
) -> None:
    give(deployed["hospital-a"], fed, release, data)
    give(deployed["hospital-a"], fed, release)
    assert "data/patient.csv.gz" in in_bucket(accounts, deployed["hospital-a"])


def test_a_later_file_changes_the_run_files_and_nothing_else(
    deployed: Nodes, fed: Federation, accounts: Any, release: Release
) -> None:
    site = deployed["hospital-a"]
    give(site, fed, release)
    before = in_bucket(accounts, site)
    training = fed.training.model_copy(update={"rounds": 7})
    give(site, fed.model_copy(update={"training": training}), release)
    after = in_bucket(accounts, site)
    assert {key for key in after if after[key] != before[key]} == {contract.MANIFEST_KEY}
    texts = [json.loads(found[contract.MANIFEST_KEY])["files"] for found in (before, after)]
    assert [name for name in texts[1] if texts[1][name] != texts[0][name]] == ["fedml_config.yaml"]


def test_the_first_release_is_approved_by_who_brings_it(deployed: Nodes, fed: Federation, release: Release) -> None:
    give(deployed["hospital-a"], fed, release)
    assert deployed["hospital-a"].parameters()[contract.APPROVED_RELEASE] == release.digest


@pytest.mark.parametrize("may_approve", [True, False])
def test_another_release_than_the_approved_one_is_refused_before_anything_is_sent(
    deployed: Nodes, fed: Federation, accounts: Any, release: Release, other: Release, may_approve: bool
) -> None:
    site = deployed["hospital-a"]
    give(site, fed, release)
    accounts.writes.clear()
    with pytest.raises(NotApproved) as error:
        give(site, fed, other, approve=may_approve)
    assert f"the release {other.digest[:12]} is to run, this account has approved {release.digest[:12]}." in str(
        error.value
    )
    assert "federate approve --only hospital-a" in str(error.value)
    assert error.value.exit_code == 3
    assert accounts.writes == []
    approve(site, other.digest)
    give(site, fed, other, approve=False)


def test_who_only_starts_a_node_approves_nothing(
    deployed: Nodes, fed: Federation, accounts: Any, release: Release
) -> None:
    with pytest.raises(NotApproved, match="this account has approved none"):
        give(deployed["hospital-a"], fed, release, approve=False)
    assert deployed["hospital-a"].parameters() == {}
    assert accounts.writes == []


@pytest.mark.parametrize("digest", ["", "abc", "G" * 64, "A" * 64, "a" * 65, "a" * 64 + "\n"])
def test_only_a_digest_can_be_approved(deployed: Nodes, digest: str) -> None:
    with pytest.raises(NotADigest):
        approve(deployed["hospital-a"], digest)
    assert deployed["hospital-a"].parameters() == {}


def test_what_is_not_deployed_cannot_be_supplied(by_id: Nodes, fed: Federation, release: Release) -> None:
    with pytest.raises(NotDeployed, match=f"has no stack {fed.name}-SiteStorage-hospital-a") as error:
        give(by_id["hospital-a"], fed, release)
    assert "federate deploy --only hospital-a" in str(error.value)
    with pytest.raises(NotDeployed):
        approve(by_id["hospital-a"], release.digest)
    assert by_id["hospital-a"].parameters() == {}


def test_one_node_that_fails_stops_no_other_and_is_named(
    deployed: Nodes, fed: Federation, accounts: Any, release: Release, other: Release
) -> None:
    give(deployed["hospital-a"], fed, other)
    shown = io.StringIO()
    table = LiveTable("test", ("given", "state"), console=Console(file=shown, width=1000))
    with table, pytest.raises(NotSupplied) as error:
        supply_all(list(deployed.values()), fed, release, {}, table)
    assert error.value.exit_code == 3
    assert str(error.value).startswith("hospital-a, account")
    assert "hospital-b" not in str(error.value)
    for id_ in ("aggregator", "hospital-b"):
        assert f"releases/{release.digest}.zip" in in_bucket(accounts, deployed[id_])
    assert "hospital-a  given: ✗ failed" in shown.getvalue()
    assert "hospital-b  given: ✓ release and run files" in shown.getvalue()
