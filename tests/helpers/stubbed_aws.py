"""Accounts whose answers are given beforehand, at boto3's boundary: botocore checks both request and answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import Stubber

REGION = "us-east-1"


@cache
def _client(service: str) -> Any:
    """Return a real client; making one takes longer than a whole test."""
    return boto3.client(
        service,
        region_name=REGION,
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="-",
        config=Config(retries={"max_attempts": 0}),
    )


@dataclass
class StubbedAccounts:
    """Accounts that answer what they were told to, in that order; what nobody told is an error of the test."""

    stubs: dict[str, Stubber] = field(default_factory=dict)

    def client(self, service: str, *, profile: str, region: str) -> Any:
        self._stub(service)
        return _client(service)

    def credentials(self, *, profile: str) -> Any:
        raise NotImplementedError

    def answers(self, call: str, answer: dict[str, Any], expected: dict[str, Any] | None = None) -> None:
        """Give the answer to the next call of a service: ``ec2.describe_vpcs``."""
        service, operation = call.split(".")
        self._stub(service).add_response(operation, answer, expected)

    def refuses(self, call: str, code: str, message: str = "", **meta: Any) -> None:
        """Have the next call of a service fail."""
        service, operation = call.split(".")
        self._stub(service).add_client_error(operation, code, message, response_meta=meta or None)

    def quota(self, value: float) -> None:
        """Have the next question for a quota answered."""
        self.answers("service-quotas.get_service_quota", {"Quota": {"Value": value}})

    def _stub(self, service: str) -> Stubber:
        if service not in self.stubs:
            self.stubs[service] = Stubber(_client(service))
            self.stubs[service].activate()
        return self.stubs[service]

    def end(self) -> None:
        """Take the answers away, and make sure that all were asked for."""
        for stub in self.stubs.values():
            stub.deactivate()
        for stub in self.stubs.values():
            stub.assert_no_pending_responses()


@dataclass
class FailingAccounts:
    """Accounts in which every call fails alike."""

    error: Callable[[str], Exception]

    def client(self, service: str, *, profile: str, region: str) -> Any:
        return _Failing(self.error)

    def credentials(self, *, profile: str) -> Any:
        raise NotImplementedError


class _Failing:
    def __init__(self, error: Callable[[str], Exception]) -> None:
        self._error = error

    def get_paginator(self, operation: str) -> Any:
        failing = getattr(self, operation)
        return type("Paginator", (), {"paginate": staticmethod(failing)})

    def __getattr__(self, operation: str) -> Any:
        def call(**_: Any) -> Any:
            raise self._error(operation)

        return call


def refused(operation: str) -> Exception:
    """Return the error of a profile that may not ask."""
    return ClientError({"Error": {"Code": "AccessDenied", "Message": "is not authorized"}}, operation)


def unreachable(_: str) -> Exception:
    """Return the error of a network that is down."""
    return EndpointConnectionError(endpoint_url="https://ec2.us-east-1.amazonaws.com")
