"""boto3 clients of a node's account that record every call and answer from memory; nothing leaves the process."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from fake_node import FakeAccount


@dataclass(frozen=True)
class Call:
    """One call of AWS's: ``ssm``, ``PutParameter``, and what was given."""

    service: str
    operation: str
    given: dict[str, Any]


@dataclass
class RecordedAws:
    """A node's account as boto3 sees it.

    Args:
        account: what is in it.
        prefix: of the node's parameters.
    """

    account: FakeAccount
    prefix: str
    calls: list[Call] = field(default_factory=list)
    fail: set[str] = field(default_factory=set)
    clients: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let every boto3 session of this process make such clients."""
        make = boto3.Session.client

        def client(session: boto3.Session, service: str, *arguments: Any, **options: Any) -> Any:
            options |= {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
            made = make(session, service, *arguments, **options)
            made.meta.events.register("before-parameter-build", self._record)
            made.meta.events.register("before-call", self._respond)
            self.clients[service] = made
            return made

        monkeypatch.setattr(boto3.Session, "client", client)

    def _record(self, params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        call = Call(model.service_model.service_name, model.name, dict(params))
        context["call"] = call
        with self._lock:
            self.calls.append(call)

    def _respond(self, context: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        call: Call = context["call"]
        if call.operation in self.fail:
            return _Http(403), {"Error": {"Code": "AccessDenied", "Message": "Access Denied"}}
        answer = _ANSWERS.get(call.operation)
        return (_Http(200), {}) if answer is None else answer(self, call.given)


@dataclass(frozen=True)
class _Http:
    status_code: int


def _parameters(aws: RecordedAws, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    listed = [{"Name": f"{aws.prefix}/{name}", "Value": value} for name, value in aws.account.told.items()]
    return _Http(200), {"Parameters": [item for item in listed if item["Name"].startswith(given["Path"])]}


def _put_parameter(aws: RecordedAws, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    aws.account.publish(given["Name"].removeprefix(f"{aws.prefix}/"), given["Value"])
    return _Http(200), {}


def _list(aws: RecordedAws, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    found = [{"Key": item.key, "ETag": item.tag, "Size": item.size} for item in aws.account.items(given["Prefix"])]
    return _Http(200), {"IsTruncated": False, "Contents": found}


def _get(aws: RecordedAws, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    content = aws.account.read(given["Key"])
    if content is None:
        return _Http(404), {"Error": {"Code": "NoSuchKey", "Message": "The specified key does not exist."}}
    return _Http(200), {"Body": StreamingBody(io.BytesIO(content), len(content))}


_ANSWERS: dict[str, Callable[[RecordedAws, dict[str, Any]], tuple[Any, dict[str, Any]]]] = {
    "GetParametersByPath": _parameters,
    "PutParameter": _put_parameter,
    "ListObjectsV2": _list,
    "GetObject": _get,
    "CreateMultipartUpload": lambda *_: (_Http(200), {"UploadId": "upload"}),
    "UploadPart": lambda *_: (_Http(200), {"ETag": "part"}),
}
