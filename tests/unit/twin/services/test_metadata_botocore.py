"""botocore, as it runs on a node, finds credentials and Region in the metadata service."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import MetadataRetrievalError
from botocore.utils import IMDSRegionProvider, InstanceMetadataFetcher
from served import served

from infra.local.twin.services.metadata import Metadata, MetadataService


@pytest.fixture
def known() -> dict[str, Metadata]:
    return {}


@pytest.fixture(autouse=True)
def endpoint(
    known: dict[str, Metadata], metadata: Callable[..., Metadata], clock: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    clock.now = time.time()
    known["127.0.0.1"] = metadata()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with served(MetadataService(known.get, clock=clock).serve) as port:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"


def test_a_session_gets_the_roles_credentials(role: Any) -> None:
    credentials = botocore.session.Session().get_credentials()
    assert credentials is not None
    assert credentials.method == "iam-role"
    assert credentials.get_frozen_credentials() == (role.given[0], "secret", "token", None)


def test_the_region_is_the_instances() -> None:
    assert IMDSRegionProvider(botocore.session.Session()).provide() == "us-east-1"


def test_an_instance_without_a_profile_has_no_credentials(known: Any, metadata: Any) -> None:
    known["127.0.0.1"] = metadata(profile_arn=None)
    assert botocore.session.Session().get_credentials() is None


def test_a_service_that_is_switched_off_gives_no_credentials(known: Any, metadata: Any, endpoint: str) -> None:
    known["127.0.0.1"] = metadata(enabled=False)
    config = {"ec2_metadata_service_endpoint": endpoint, "ec2_metadata_v1_disabled": True}
    with pytest.raises(MetadataRetrievalError):
        InstanceMetadataFetcher(config=config).retrieve_iam_role_credentials()
