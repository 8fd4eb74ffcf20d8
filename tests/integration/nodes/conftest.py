"""Accounts of the emulated AWS in this process, as the operator's side reaches them."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from dealt_eicu import deal_eicu
from fake_cloud import ACCOUNTS
from fake_cloud import federation as small_federation
from fake_node import digest_of, release_of
from marks import mark_integration
from needs import needs_cdk
from training_desk import TrainingDesk

from infra.federation.derive import stack_name
from infra.federation.model import Federation
from infra.local.aws.accounts import SECRET, static_key
from infra.local.aws.clients import InProcessClients
from infra.local.aws.server import LoopbackAws
from infra.nodes.release import Release
from infra.nodes.remote import Remote, remotes

REGION = "us-east-1"
_numbers = itertools.count(1)
#: What the storage stacks tell of themselves.
STORAGE = {
    "Resources": {"Bucket": {"Type": "AWS::S3::Bucket"}},
    "Outputs": {"BucketName": {"Value": {"Ref": "Bucket"}}},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_integration(Path(__file__).parent, items)


@dataclass
class Accounts:
    """The accounts of one federation. ``writes`` holds (profile, operation, key) of what was done to buckets."""

    clients: InProcessClients
    by_profile: Mapping[str, str] = field(default_factory=lambda: ACCOUNTS)
    writes: list[tuple[str, str, str]] = field(default_factory=list)

    def client(self, service: str, *, profile: str, region: str = REGION) -> Any:
        return self.clients.client(service, self.by_profile[profile], region)

    def credentials(self, *, profile: str) -> Credentials:
        return Credentials(static_key(self.by_profile[profile]), SECRET)

    def watch(self) -> None:
        """Begin to note what is written."""
        for profile in self.by_profile:
            events = self.client("s3", profile=profile).meta.events
            for operation in ("PutObject", "DeleteObject", "CreateMultipartUpload"):
                events.register(f"before-parameter-build.s3.{operation}", self._note(profile, operation))

    def _note(self, profile: str, operation: str) -> Any:
        def note(params: dict[str, Any], **_: Any) -> None:
            self.writes.append((profile, operation, params["Key"]))

        return note

    def objects(self, profile: str, bucket: str) -> dict[str, bytes]:
        s3 = self.client("s3", profile=profile)
        keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
        return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


@pytest.fixture(scope="session")
def everything() -> Accounts:
    """One emulated AWS for all tests: making clients takes longer than what is done with them."""
    made = Accounts(InProcessClients(LoopbackAws(ACCOUNTS.values())))
    made.watch()
    return made


@pytest.fixture
def accounts(everything: Accounts) -> Accounts:
    everything.writes.clear()
    return everything


@pytest.fixture
def fed() -> Federation:
    """A federation of a name of its own, so that nothing in its accounts is another test's."""
    return small_federation().model_copy(update={"name": f"fed{next(_numbers)}"})


@pytest.fixture
def by_id(fed: Federation, accounts: Accounts) -> Mapping[str, Remote]:
    """The nodes of the federation, of which nothing is deployed."""
    return {remote.node.id: remote for remote in remotes(fed, accounts)}


@pytest.fixture
def deployed(fed: Federation, accounts: Accounts, by_id: Mapping[str, Remote]) -> Mapping[str, Remote]:
    """The nodes of the federation; their storage stacks are deployed."""
    for id_ in by_id:
        name = stack_name(fed, "HubStorage" if id_ == "aggregator" else f"SiteStorage-{id_}")
        accounts.client("cloudformation", profile=id_).create_stack(StackName=name, TemplateBody=json.dumps(STORAGE))
    accounts.writes.clear()
    return by_id


@pytest.fixture
def release(tmp_path: Path) -> Release:
    packed = release_of({"fl_app/__init__.py": b"1"})
    path = tmp_path / "release.zip"
    path.write_bytes(packed)
    return Release(digest_of(packed), path, ("app-1-py3-none-any.whl",))


@pytest.fixture(scope="session")
def dealt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic eICU of 300 stays, dealt to two sites."""
    return deal_eicu(tmp_path_factory.mktemp("eicu"))


@pytest.fixture(scope="module")
def desk(dealt: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingDesk]:
    """A desk whose federation is deployed through the real CDK command, with three nodes that are ready."""
    needs_cdk()
    made = TrainingDesk(tmp_path_factory.mktemp("desk"))
    (made.folder / "sites").symlink_to(dealt)
    made.write(rounds=3)
    with closing(made):
        made.run("deploy")
        yield made
