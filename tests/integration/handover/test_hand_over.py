"""A hospital that shares no credentials joins a federation and leaves it, while the others train on.

The tests go in the order of the file: one run, in the middle of which each of them is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hand_over_desk import ACCOUNT, FEDERATION, SITE, Admin, HandOverDesk
from identity_desk import wait_until

STAYS = ("aggregator", "hospital-a")


@pytest.fixture(scope="module")
def run(desk: HandOverDesk) -> dict[str, int]:
    """The pid of each application that trains from the beginning to the end."""
    return {node: desk.application(node) for node in STAYS}


def goes_on(desk: HandOverDesk, run: dict[str, int]) -> None:
    """Make sure that the others train on, in the processes in which they began."""
    at = desk.of_round()
    desk.wait_for("aggregator", "running", round_=at + 1)
    assert {node: desk.application(node) for node in STAYS} == run


def test_a_site_is_added_by_one_block_and_no_other_site_is_touched(desk: HandOverDesk, run: dict[str, int]) -> None:
    _, said = desk.run("export", SITE, code=2)
    assert f"no site '{SITE}'" in said
    command = ("add-site", SITE, "--account", ACCOUNT, "--like", "hospital-a")
    shown = desk.answer(*command, "--dry-run")
    assert desk.file.read_text() == FEDERATION
    told = desk.answer(*command)
    assert (told["diff"], told["written"], told["cidr"]) == (shown["diff"], True, "10.11.0.0/16")
    lines = desk.file.read_text().splitlines()
    assert [line for line in lines if line in FEDERATION.splitlines()] == FEDERATION.splitlines()
    assert told["templates"]["changed"] == ["HubNetwork"]
    others = {f"Site{part}-hospital-a" for part in ("Storage", "Network", "Node")} | {"HubLink-hospital-a"}
    assert others <= set(told["templates"]["same"])
    assert set(told["templates"]["new"]) == {name.replace("hospital-a", SITE) for name in others}


def test_a_kit_is_written_once_the_hub_expects_the_site(desk: HandOverDesk, admin: Admin) -> None:
    _, said = desk.run("export", SITE, code=4)
    assert "federate deploy --only aggregator" in said
    desk.run("deploy", "--only", "aggregator")
    told = desk.answer("export", SITE, "--output", str(admin.kit))
    assert told["digest"] in admin.run("verify")


def test_the_coordinator_has_no_credentials_of_the_hospital_and_its_commands_say_so(desk: HandOverDesk) -> None:
    written = [path for path in desk.folder.rglob("*credentials*") if path.is_file()]
    assert written
    assert not any(ACCOUNT in path.read_text() for path in written)
    for command in (("start", SITE), ("deploy", "--only", SITE)):
        _, said = desk.run(*command, code=3)
        assert "its own admin operates it" in said
    shown = {line["node"]: line for line in desk.answer("status")}
    assert shown["hospital-a"]["stacks"]
    assert (shown[SITE]["stacks"], shown[SITE]["state"], shown[SITE]["troubles"]) == ({}, None, [])


def test_the_kit_is_deployed_into_its_own_account_only_and_once_its_release_is_approved(
    desk: HandOverDesk, admin: Admin
) -> None:
    stranger = Admin(admin.kit, admin.endpoint, "111111111111")
    assert f"for account {ACCOUNT}" in stranger.run("deploy", "--approve", admin.release, code=3).replace("\n", " ")
    unknown = Admin(admin.kit, admin.endpoint, "999999999999")
    assert "AWS refuses" in unknown.run("deploy", "--approve", admin.release, code=4)
    admin.run("deploy", code=3)
    admin.run("deploy", "--approve", "0" * 64, code=3)
    assert desk.stacks(SITE) == {}
    said = admin.run("deploy", "--approve", admin.release)
    assert "Accounts other than 222222222222 that are given any permission: none." in said
    assert set(desk.stacks(SITE).values()) == {"CREATE_COMPLETE"}
    assert desk.parameters(SITE)["approved-release"] == admin.release
    group = desk.client(SITE, "ec2").describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])
    ours = [one for one in group["SecurityGroups"] if one["VpcId"] == _vpc(desk)]
    assert [(one["IpPermissions"], one["IpPermissionsEgress"]) for one in ours] == [([], [])]
    assert admin.run("deploy", "--approve", admin.release).count("no changes") == len(desk.stacks(SITE))
    assert "no certificate yet" in admin.run("start", code=3)


def _vpc(desk: HandOverDesk) -> str:
    stacks = desk.client(SITE, "cloudformation").describe_stacks(StackName=f"fed-SiteNetwork-{SITE}")["Stacks"]
    return str({one["OutputKey"]: one["OutputValue"] for one in stacks[0]["Outputs"]}["VpcId"])


@pytest.fixture(scope="module")
def answer(desk: HandOverDesk, admin: Admin) -> Path:
    """The coordinator's answer to the hand-over."""
    path = desk.folder / "certificate.json"
    desk.run("join", str(admin.kit / "handover.json"), "--output", str(path))
    return path


def test_a_hand_over_that_names_another_site_s_peering_is_refused(desk: HandOverDesk, admin: Admin) -> None:
    stacks = desk.client("hospital-a", "cloudformation").describe_stacks(StackName="fed-SiteNetwork-hospital-a")
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stacks["Stacks"][0]["Outputs"]}
    told = json.loads((admin.kit / "handover.json").read_text())
    told["values"]["PeeringId"] = outputs["PeeringId"]
    wrong = desk.folder / "wrong.json"
    wrong.write_text(json.dumps(told))
    _, said = desk.run("join", str(wrong), code=2)
    assert f"comes from the account 111111111111.\n  {ACCOUNT} is due" in said
    assert f"fed-HubLink-{SITE}" not in desk.stacks("aggregator")


def test_the_hub_links_the_site_by_what_was_handed_over_and_the_same_twice_is_the_same(
    desk: HandOverDesk, admin: Admin, answer: Path
) -> None:
    assert desk.stacks("aggregator")[f"fed-HubLink-{SITE}"] == "CREATE_COMPLETE"
    again = desk.folder / "again.json"
    assert not desk.answer("join", str(admin.kit / "handover.json"), "--output", str(again))["is_new"]
    assert again.read_bytes() == answer.read_bytes()


def test_the_site_takes_part_in_the_run_that_goes_on(
    desk: HandOverDesk, admin: Admin, answer: Path, run: dict[str, int]
) -> None:
    assert "The node has its certificate" in admin.run("admit", str(answer))
    s3, bucket = desk.client(SITE, "s3"), desk.bucket(SITE)
    for path in (desk.folder / "sites" / SITE).iterdir():
        s3.upload_file(str(path), bucket, f"data/{path.name}")
    admin.run("start")

    def takes_part() -> bool:
        return any(SITE in record["answered"] for record in desk.rounds()[-20:])

    wait_until(takes_part, what=f"a round with {SITE}", seconds=60)
    assert json.loads(admin.run("status", "--json"))["node"]["state"] == "running"
    goes_on(desk, run)


def test_the_site_stops_and_starts_by_its_own_admin(desk: HandOverDesk, admin: Admin, run: dict[str, int]) -> None:
    assert "stopped" in admin.run("stop")
    assert "The node is " in admin.run("start")
    goes_on(desk, run)


def test_the_node_is_made_anew_by_its_own_admin_and_keeps_its_key(
    desk: HandOverDesk, admin: Admin, answer: Path, run: dict[str, int]
) -> None:
    instance, request = desk.bodies()[SITE]["instance"], desk.parameters(SITE)["csr"]
    admin.run("replace")
    assert desk.bodies()[SITE]["instance"] != instance
    assert desk.parameters(SITE)["csr"] == request
    goes_on(desk, run)


def test_the_site_takes_a_new_key_which_the_coordinator_must_mean(
    desk: HandOverDesk, admin: Admin, answer: Path, run: dict[str, int]
) -> None:
    before = json.loads(answer.read_text())["serial"]
    admin.run("rotate")
    request = str(admin.kit / "handover.json")
    _, said = desk.run("join", request, "--output", str(answer), code=3)
    assert "--renew" in said
    assert desk.answer("join", request, "--renew", "--output", str(answer))["serial"] != before
    admin.run("admit", str(answer))
    goes_on(desk, run)


def test_a_site_is_removed_and_the_others_train_on(desk: HandOverDesk, admin: Admin, run: dict[str, int]) -> None:
    told = desk.answer("remove-site", SITE, "--reason", "its study has ended")
    assert desk.file.read_text() == FEDERATION
    assert told["templates"]["changed"] == ["HubNetwork"]
    assert f"fed-HubLink-{SITE}" not in desk.stacks("aggregator")
    roles = {role["RoleName"] for role in desk.client("aggregator", "iam").list_roles()["Roles"]}
    assert "federate-fed-accept-hospital-a" in roles
    assert f"federate-fed-accept-{SITE}" not in roles
    said: dict[str, Any] = desk.wait_for(SITE, "failed")
    assert "is revoked" in said["reason"]
    goes_on(desk, run)


def test_its_admin_leaves_nothing_behind_and_is_told_of_what_stays(desk: HandOverDesk, admin: Admin) -> None:
    said = admin.run("destroy", "--yes")
    assert "kept, and yours to delete: Bucket" in said
    assert desk.stacks(SITE) == {}
    assert desk.parameters(SITE) == {}
    assert desk.client(SITE, "iam").list_roles()["Roles"] == []


def test_no_round_was_lost(desk: HandOverDesk, run: dict[str, int]) -> None:
    goes_on(desk, run)
    desk.run("stop")
    rounds = desk.rounds()
    assert [one["round"] for one in rounds] == list(range(len(rounds)))
    with_it = [SITE in one["answered"] for one in rounds]
    assert (with_it[0], True in with_it, with_it[-1]) == (False, True, False)
    assert all("hospital-a" in one["answered"] for one in rounds)
    assert "starts again" not in desk.run("logs")[0]
