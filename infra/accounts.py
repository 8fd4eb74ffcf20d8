"""The accounts as AWS's APIs show them; each is reached by its own profile and by nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

import boto3
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as NoConnection

from infra.errors import FederateError, Problem
from infra.federation.derive import Node
from infra.remedies import Meaning, meaning
from node_bootstrap import aws_calls


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
                self._clients[key] = aws_calls.make(session, service, aws_calls.OPERATOR, region_name=region)
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
    """AWS does not answer, or refuses; ``exit_code`` is 3 where the credentials are the matter."""

    exit_code = 4

    def __init__(self, message: str, *, cause: str = "", remedy: str = "", exit_code: int = exit_code) -> None:
        super().__init__(with_cause(message, cause), remedy=remedy)
        self.exit_code = exit_code


class NoAnswer(AwsRefused):
    """AWS does not answer: nothing else needs to be tried."""


def with_cause(message: str, cause: str) -> str:
    """Return an error's message with its cause, where that is known, on a line of its own."""
    return f"{message}\n  Cause: {cause}" if cause else message


_AGAIN = "The same command goes on where it ended."


def explain(
    error: BotoCoreError | ClientError | Boto3Error, where: str = "", *, profile: str = "", region: str = ""
) -> AwsRefused:
    """Return what an error of AWS's libraries means to the user.

    Args:
        error: what boto3 raised.
        where: whose account was asked.
        profile: by which profile, for the commands of a remedy.
        region: in which Region, likewise.
    """
    whose = f" ({where})" if where else ""
    known = _meaning(error, profile, region)
    if isinstance(error, HTTPClientError | NoConnection):
        return NoAnswer(
            f"AWS does not answer{whose}: {error}",
            cause="nothing was reached under that address, or the connection broke, several times one after the other.",
            remedy="Is this machine online? AWS on loopback, if that was meant, is started anew by the next command, "
            f"and what was deployed into it is gone. {_AGAIN}",
        )
    is_refused = isinstance(error, ClientError | Boto3Error)  # boto3's own are of uploads, and quote the refusal
    said = f"AWS {'refuses' if is_refused else 'cannot be asked'}{whose}: {error}"
    if known:
        return AwsRefused(said, cause=known.cause, remedy=f"{known.remedy} {_AGAIN}", exit_code=known.exit_code)
    if is_refused:
        return AwsRefused(said, remedy=f"{_AGAIN[:-1]}, once this is repaired.")
    return AwsRefused(said, remedy="See the profiles in ~/.aws/config.")


def _meaning(error: BotoCoreError | ClientError | Boto3Error, profile: str, region: str) -> Meaning | None:
    code = error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else type(error).__name__
    return meaning(f"{code}: {error}", profile=profile, region=region)


@contextmanager
def explained(where: str, *, profile: str = "", region: str = "") -> Iterator[None]:
    """Turn what boto3 raises into an error that a user understands; see :func:`explain`.

    Raises:
        AwsRefused: instead of an error of boto3's.
    """
    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise explain(error, where, profile=profile, region=region) from error


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
    """Return what is wrong with a node's profile, or None.

    Raises:
        AwsRefused: AWS does not answer, or throttles: that is no matter of the profile.
    """
    where = f"profile {node.profile} ({node.id})"
    expected = f"It must have credentials for account {node.account}."
    try:
        caller = accounts.client("sts", profile=node.profile, region=node.region).get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        known = _meaning(error, node.profile, node.region)
        refused = explain(error, f"{node.id}, profile {node.profile}", profile=node.profile, region=node.region)
        if isinstance(refused, NoAnswer) or (known and refused.exit_code != WrongCredentials.exit_code):
            raise refused from error
        return Problem(where, _found(error, known), expected, known.remedy if known else _anew(node))
    if caller["Account"] == node.account:
        return None
    found = f"its credentials are of account {caller['Account']} ({caller['Arn']})."
    return Problem(where, found, expected, "Correct the profile, or the account in the federation's file.")


def _found(error: BotoCoreError | ClientError, known: Meaning | None) -> str:
    if isinstance(error, ClientError):
        told = error.response.get("Error", {})
        return with_cause(f"AWS refuses its credentials: {told.get('Code')}: {told.get('Message')}", _cause(known))
    return with_cause(str(error), _cause(known))


def _cause(known: Meaning | None) -> str:
    return known.cause if known else ""


def _anew(node: Node) -> str:
    return f"Give it credentials anew: aws sso login --profile {node.profile}, or aws configure."
