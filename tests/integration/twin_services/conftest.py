"""The emulated AWS on loopback, and two hospitals' endpoints before it."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from werkzeug.serving import make_server

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from loopback_names import lead_to
from marks import mark_integration
from served import served

from infra.local.aws.accounts import SECRET, static_key
from infra.local.aws.server import LoopbackAws
from infra.local.twin.services import Endpoint, EndpointService, KeyAccounts, TwinAuthority, host_names

REGION = "us-east-1"
OURS, THEIRS = "611111111111", "622222222222"
SERVICES = ("ssm", "ssmmessages", "logs", "secretsmanager", "s3")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_integration(Path(__file__).parent, items)


@pytest.fixture(scope="session")
def upstream() -> Iterator[tuple[str, int]]:
    """Loopback AWS, served as its own process would serve it."""
    app = LoopbackAws([OURS, THEIRS])
    from moto.moto_server.werkzeug_app import MotoRequestHandler

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield "127.0.0.1", server.server_port
    server.shutdown()
    server.server_close()


@dataclass
class Vpc:
    """Our VPC as a node in it sees it: the names of five services, and the authority to trust."""

    ca: str
    ports: dict[str, int] = field(default_factory=dict)
    seen: list[bytes] = field(default_factory=list)

    def client(self, service: str, account: str = OURS, region: str = REGION, **config: Any) -> Any:
        return self.client_with(service, static_key(account), region=region, **config)

    def client_with(self, service: str, key: str, token: str | None = None, region: str = REGION, **config: Any) -> Any:
        return boto3.session.Session().client(
            service,
            region_name=region,
            aws_access_key_id=key,
            aws_secret_access_key=SECRET,
            aws_session_token=token,
            verify=self.ca,
            config=Config(retries={"max_attempts": 0}, read_timeout=30, **config),
        )


@pytest.fixture
def vpc(upstream: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vpc]:
    authority = TwinAuthority.load_or_make(tmp_path / "authority")
    made = Vpc(str(authority.ca_path))
    service = EndpointService(upstream, authority, KeyAccounts(upstream), watch=made.seen.append)
    names: dict[str, int] = {}
    for name in ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_PROFILE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:
        for name in SERVICES:
            made.ports[name] = stack.enter_context(served(service.serve, Endpoint(name, REGION, OURS)))
            names |= dict.fromkeys(host_names(name, REGION), made.ports[name])
        lead_to(monkeypatch, names)
        yield made


@pytest.fixture
def direct(upstream: tuple[str, int]) -> Callable[..., Any]:
    """Make clients of loopback AWS itself, as the administrator of an account."""

    def client(service: str, account: str) -> Any:
        return boto3.session.Session().client(
            service,
            region_name=REGION,
            endpoint_url="http://{}:{}".format(*upstream),
            aws_access_key_id=static_key(account),
            aws_secret_access_key=SECRET,
        )

    return client
