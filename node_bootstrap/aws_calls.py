"""How every client of AWS behaves, the operator's and the node's: what it waits for, and what it tries again.

Tried again, with growing pauses that chance shortens, is what AWS throttles and what broke on the way: botocore's mode
"standard". What AWS refuses is asked once. And a call that makes something anew each time it arrives is not repeated
where it may have arrived: a command must not run twice because the answer to it was lost.

Source: "Retry behavior" in the AWS SDKs and Tools Reference Guide; the names of the errors are botocore's.
"""

from __future__ import annotations

from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError

#: Attempts in all. The pauses between them are at most 1, 2, 4, … s, half of that on the average.
OPERATOR_ATTEMPTS, NODE_ATTEMPTS = 4, 3
#: Beginnings of operations that, done twice, leave what they leave when done once.
_SAME_TWICE = (
    *("Describe", "Get", "List", "Head", "Filter", "Search", "Lookup", "Simulate", "Validate", "Assume", "Decode"),
    *("Put", "Delete", "Update", "Modify", "Set", "Tag", "Untag", "Add", "Remove", "Cancel", "Abort", "Upload"),
    *("Complete", "Accept", "Disable", "Enable", "Terminate", "Stop"),
)
#: The same, by full names: a second log stream is refused, a second key replaces the first, and of two uploads the
#: one that nobody completes ends by the bucket's lifecycle.
_SAME_TWICE_ALSO = frozenset({"CreateLogStream", "CreateMultipartUpload", "SendSSHPublicKey"})
#: The request was never sent.
_NOT_SENT = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError)
#: In the code of an error by which AWS says that it has not even begun.
_NOT_BEGUN = ("Throttl", "SlowDown", "RequestLimitExceeded", "TooManyRequests")
_SERVER_ERROR = 500


def configuration(*, attempts: int, connect_seconds: float, read_seconds: float) -> Config:
    """Return the settings of a client.

    Args:
        attempts: how often a call is made at most, the first time counted.
        connect_seconds: how long a connection may take.
        read_seconds: how long AWS may be silent.
    """
    return Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=connect_seconds,
        read_timeout=read_seconds,
    )


OPERATOR = configuration(attempts=OPERATOR_ATTEMPTS, connect_seconds=10, read_seconds=60)
NODE = configuration(attempts=NODE_ATTEMPTS, connect_seconds=5, read_seconds=30)


def make(session: Any, service: str, config: Config, **settings: Any) -> Any:
    """Return a boto3 session's client that repeats nothing that must not be done twice.

    Args:
        session: the boto3 session.
        service: the service.
        config: :data:`OPERATOR` or :data:`NODE`.
        settings: what the session's ``client`` takes besides.
    """
    client = session.client(service, config=config, **settings)
    client.meta.events.register(f"needs-retry.{client.meta.service_model.service_id.hyphenize()}", _refuse_to_repeat)
    return client


def is_safe_to_repeat(operation: Any) -> bool:
    """Say whether an operation may be sent again though it may have been done.

    It may if AWS knows it again by a token, which botocore makes once for all attempts, or if twice is as good as once.

    Args:
        operation: botocore's model of it.
    """
    name = str(operation.name)
    return bool(operation.idempotent_members) or name.startswith(_SAME_TWICE) or name in _SAME_TWICE_ALSO


def _refuse_to_repeat(operation: Any, response: Any, caught_exception: Exception | None, **_: Any) -> None:
    """End a call whose fate is unknown, with what there is to tell, where botocore would make it again.

    botocore asks after each attempt, and goes on by itself when this returns.
    """
    if is_safe_to_repeat(operation):
        return
    if caught_exception is not None and not isinstance(caught_exception, _NOT_SENT):
        raise caught_exception
    if response is None or response[0].status_code < _SERVER_ERROR:
        return
    code = str(response[1].get("Error", {}).get("Code", ""))
    if not any(word in code for word in _NOT_BEGUN):
        raise ClientError(response[1], operation.name)
