"""The node's own account, as far as the node's role lets it: its parameters, its bucket and its log."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from node_bootstrap.agent.facts import Facts

#: What a call of this module may raise; all of it may pass by itself.
AccountError = (BotoCoreError, ClientError, Boto3Error)
_CONFIG = Config(retries={"mode": "standard", "max_attempts": 3}, connect_timeout=5, read_timeout=30)
#: AWS allows 1 MiB a call, 26 bytes of overhead for each event included.
_EVENTS_PER_CALL = 250
_EVENT_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Item:
    """An object of the bucket; another content has another ``tag``."""

    key: str
    tag: str
    size: int


class Account:
    """What the agent asks of AWS, each call with the node's own role."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._streams: set[str] = set()
        self._make_clients()

    def _make_clients(self) -> None:
        """Make them with the credentials that there are now: a client made without any never looks again."""
        session = boto3.Session(region_name=self._facts.region)
        self._parameters, self._bucket, self._logs = (
            session.client(service, config=_CONFIG) for service in ("ssm", "s3", "logs")
        )

    def parameters(self) -> dict[str, str]:
        """Return the node's parameters by their names below the prefix."""
        prefix = f"{self._facts.parameter_prefix}/"
        try:
            pages = self._parameters.get_paginator("get_parameters_by_path").paginate(Path=prefix)
            return {item["Name"].removeprefix(prefix): item["Value"] for page in pages for item in page["Parameters"]}
        except NoCredentialsError:  # the metadata service was late when the clients were made
            self._make_clients()
            raise

    def publish(self, name: str, value: str) -> None:
        """Set one of the parameters that are the node's to set: its state, its signing request, its host keys."""
        self._parameters.put_parameter(
            Name=f"{self._facts.parameter_prefix}/{name}", Value=value, Type="String", Overwrite=True
        )

    def items(self, prefix: str) -> Iterator[Item]:
        """Iterate over the objects under a prefix."""
        pages = self._bucket.get_paginator("list_objects_v2").paginate(Bucket=self._facts.bucket, Prefix=prefix)
        for page in pages:
            for found in page.get("Contents", []):
                yield Item(found["Key"], found["ETag"], found["Size"])

    def read(self, key: str) -> bytes | None:
        """Return an object's content, or None if there is no such object."""
        try:
            body: bytes = self._bucket.get_object(Bucket=self._facts.bucket, Key=key)["Body"].read()
        except ClientError as error:
            if self._is_missing(key, error):
                return None
            raise
        return body

    def download(self, key: str, path: Path) -> bool:
        """Write an object to a file; return whether there is such an object. What was there before stays if not."""
        part = path.with_name(f".{path.name}.part")
        try:
            # A plain GET, in pieces: a site's tables need not fit into memory.
            body: Any = self._bucket.get_object(Bucket=self._facts.bucket, Key=key)["Body"]
        except ClientError as error:
            if self._is_missing(key, error):
                return False
            raise
        with part.open("wb") as file:
            for chunk in body.iter_chunks(1 << 20):
                file.write(chunk)
        part.replace(path)
        return True

    def upload(self, path: Path, key: str) -> None:
        """Write a file to an object; large files go in parts."""
        self._bucket.upload_file(str(path), self._facts.bucket, key)

    def log(self, stream: str, lines: Sequence[str]) -> None:
        """Append lines to a stream of the node's log group; a long one becomes several events."""
        self._put(
            stream,
            [
                line[start : start + _EVENT_CHARACTERS]
                for line in lines
                if line.strip()  # an empty event is refused
                for start in range(0, len(line), _EVENT_CHARACTERS)
            ],
        )

    def log_whole(self, stream: str, lines: Sequence[str]) -> None:
        """Append lines to a stream of the node's log group, an event each: metrics are made of whole lines only."""
        self._put(stream, lines)

    def _put(self, stream: str, messages: Sequence[str]) -> None:
        if stream not in self._streams:
            with contextlib.suppress(self._logs.exceptions.ResourceAlreadyExistsException):
                self._logs.create_log_stream(logGroupName=self._facts.log_group, logStreamName=stream)
            self._streams.add(stream)
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": message} for message in messages]
        for start in range(0, len(events), _EVENTS_PER_CALL):
            self._logs.put_log_events(
                logGroupName=self._facts.log_group,
                logStreamName=stream,
                logEvents=events[start : start + _EVENTS_PER_CALL],
            )

    def _is_missing(self, key: str, error: ClientError) -> bool:
        """Say whether the error means that there is no such object.

        S3 answers 403 for an object that does not exist to who may not list the bucket, and this role may list it
        under some prefixes only, which does not count: so it is listed under one.

        Source: Amazon S3 API Reference, GetObject, "Permissions".
        """
        code = error.response.get("Error", {}).get("Code")
        if code in ("AccessDenied", "403"):
            return key not in {item.key for item in self.items(key)}
        return code in ("NoSuchKey", "404")
