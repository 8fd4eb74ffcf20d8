"""The accounts as AWS's APIs show them; each is reached by its own profile and by nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as NoConnection

from infra.errors import FederateError, Problem
from infra.federation.derive import Node

_CONFIG = Config(retries={"mode": "standard", "max_attempts": 3}, connect_timeout=10, read_timeout=60)


class Accounts(Protocol):
    """Where a client for a service of an account comes from; tests put an account of their own here."""

    def client(self, service: str, *, profile: str, region: str) -> Any:
        """Return a boto3 client."""

    def credentials(self, *, profile: str) -> Any:
        """Return botocore's credentials as they are now, for what boto3 has no call for."""


class AwsAccounts:
    """Accounts by AWS profile. Clients are kept: making one costs more than most calls."""

    def __init__(self) -> None:
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._sessions: dict[str, boto3.Session] = {}
        self._lock = threading.Lock()

    def client(self, service: str, *, profile: str, region: str) -> Any:
        """Return the client for a service; any thread may call, and use what it gets."""
        key = (service, profile, region)
        with self._lock:  # sessions are not thread-safe, clients are
            if key not in self._clients:
                session = self._sessions.get(profile) or boto3.Session(profile_name=profile)
                self._sessions[profile] = session
                self._clients[key] = session.client(service, region_name=region, config=_CONFIG)
            return self._clients[key]

    def credentials(self, *, profile: str) -> Any:
        """Return the credentials that a client of this profile signs with.

        Raises:
            NoCredentialsError: the profile has none.
        """
        with self._lock:
            session = self._sessions.get(profile) or boto3.Session(profile_name=profile)
            self._sessions[profile] = session
            found = session.get_credentials()
        if found is None:
            raise NoCredentialsError
        return found.get_frozen_credentials()


class AwsRefused(FederateError):
    """AWS does not answer, or refuses."""

    exit_code = 4


class NoAnswer(AwsRefused):
    """AWS does not answer: nothing else needs to be tried."""


def explain(error: BotoCoreError | ClientError, where: str = "") -> AwsRefused:
    """Return what an error of AWS's libraries means to the user.

    Args:
        error: what boto3 raised.
        where: whose account was asked.
    """
    again = "The same command goes on where it ended."
    whose = f" ({where})" if where else ""
    if isinstance(error, HTTPClientError | NoConnection):
        return NoAnswer(
            f"AWS does not answer: {error}",
            remedy="Is this machine online? AWS on loopback, if that was meant, is started anew by the next command, "
            f"and what was deployed into it is gone. {again}",
        )
    if isinstance(error, ClientError):
        return AwsRefused(f"AWS refuses{whose}: {error}", remedy=f"{again[:-1]}, once this is repaired.")
    return AwsRefused(f"AWS cannot be asked{whose}: {error}", remedy="See the profiles in ~/.aws/config.")


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn what boto3 raises into an error that a user understands.

    Raises:
        AwsRefused: instead of an error of boto3's.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise explain(error, where) from error


class WrongCredentials(FederateError):
    """Profiles lead to no account, or to another than the federation says."""

    exit_code = 3

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def check_credentials(accounts: Accounts, nodes: Iterable[Node]) -> None:
    """Make sure that each profile has credentials for its node's account.

    Raises:
        WrongCredentials: with every profile that fails.
    """
    by_profile = {(node.profile, node.account): node for node in nodes}
    with ThreadPoolExecutor(len(by_profile)) as pool:
        found = pool.map(lambda node: _problem(accounts, node), by_profile.values())
        problems = [problem for problem in found if problem is not None]
    if problems:
        raise WrongCredentials(problems)


def _problem(accounts: Accounts, node: Node) -> Problem | None:
    where = f"profile {node.profile} ({node.id})"
    expected = f"It must have credentials for account {node.account}."
    try:
        caller = accounts.client("sts", profile=node.profile, region=node.region).get_caller_identity()
    except ClientError as error:
        told = error.response.get("Error", {})
        found = f"AWS refuses its credentials: {told.get('Code')}: {told.get('Message')}"
        return Problem(where, found, expected, f"Renew them: aws sso login --profile {node.profile}, or aws configure.")
    except BotoCoreError as error:
        return Problem(where, f"{error}", expected, f"Set it up: aws configure --profile {node.profile}.")
    if caller["Account"] == node.account:
        return None
    found = f"its credentials are of account {caller['Account']} ({caller['Arn']})."
    return Problem(where, found, expected, "Correct the profile, or the account in the federation's file.")
