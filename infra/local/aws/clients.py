"""boto3 clients that call the emulated services in this process, without a socket between."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from werkzeug.test import EnvironBuilder, run_wsgi_app

from infra.local.aws.accounts import SECRET, static_key

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class InProcessClients:
    """Clients of a WSGI application that speaks the AWS protocols; each is made once and kept.

    Args:
        app: the emulated services.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._session = boto3.Session()
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._making = threading.Lock()

    def client(self, service: str, account: str, region: str) -> Any:
        """Return a client that acts as the account's administrator."""
        key = (service, account, region)
        with self._making:
            if key not in self._clients:
                self._clients[key] = self._make(service, static_key(account), region)
            return self._clients[key]

    def holding(self, keys: Mapping[str, str], service: str, region: str) -> Any:
        """Return a client that acts as who was given these keys, the ``Credentials`` of STS's answer."""
        return self._make(service, keys["AccessKeyId"], region)

    def _make(self, service: str, access_key: str, region: str) -> Any:
        client = self._session.client(
            service,
            region_name=region,
            endpoint_url="http://127.0.0.1",
            aws_access_key_id=access_key,
            aws_secret_access_key=SECRET,
            config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
        )
        client.meta.events.register("before-send", self._send)
        return client

    def _send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        body = request.body
        content = body.read() if hasattr(body, "read") else body
        builder = EnvironBuilder(
            path=request.url,
            method=request.method,
            headers=[(name, _text(value)) for name, value in request.headers.items()],
            data=content or b"",
        )
        environ = builder.get_environ()
        environ["CONTENT_LENGTH"] = str(len(content or b""))
        chunks, status, headers = run_wsgi_app(self._app, environ, buffered=True)
        raw = _Raw(b"".join(chunks))
        return AWSResponse(request.url, int(status.split()[0]), dict(headers), raw)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


class _Raw(io.BytesIO):
    """What botocore expects of a response's body: urllib3's streaming interface."""

    def stream(self, amt: int = 65536, **_: Any) -> Iterator[bytes]:
        """Yield the body in pieces."""
        while chunk := self.read(amt):
            yield chunk
