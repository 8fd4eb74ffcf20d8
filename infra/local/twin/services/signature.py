"""Check a presigned URL: whose key signed it, for what, and whether it was that key.

Written from the description of the signature and from no client's code, so that the two check each other.
Source: "Create a signed AWS API request" and "Authentication methods: query parameters", IAM User Guide.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote_to_bytes

_ALGORITHM = "AWS4-HMAC-SHA256"
_EMPTY_BODY = hashlib.sha256(b"").hexdigest()
_LONGEST_SECONDS = 604_800
_SKEW_SECONDS = 300
_SIGNATURE = "X-Amz-Signature"


class BadSignature(Exception):
    """The request is not signed as it must be; the message says why, and never what the right signature is."""


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key: its id, the account that it belongs to, and its secret."""

    id: str
    account: str
    secret: str


@dataclass(frozen=True, slots=True)
class Signed:
    """What a valid signature says: the key, the Region, and the query without what belongs to the signature."""

    key: AccessKey
    region: str
    query: Mapping[str, str]


def verify(
    target: str,
    host: str,
    *,
    service: str,
    key_of: Callable[[str], AccessKey | None],
    now: float,
    method: str = "GET",
) -> Signed:
    """Check a presigned request without a body.

    Args:
        target: path and query, as they stand in the request line.
        host: the header ``Host``, which must be signed.
        service: for which it must be signed.
        key_of: the access key with an id; None if it was never issued.
        now: seconds since 1970.
        method: of the request.

    Raises:
        BadSignature: something is missing, unknown, expired, or not what was signed.
    """
    path, _, text = target.partition("?")
    query = _read(text)
    given = query.pop(_SIGNATURE, "")
    missing = [name for name in ("Algorithm", "Credential", "Date", "Expires") if f"X-Amz-{name}" not in query]
    if missing or not given:
        raise BadSignature(f"the request is not signed: {', '.join(f'X-Amz-{name}' for name in missing) or _SIGNATURE}")
    if query["X-Amz-Algorithm"] != _ALGORITHM:
        raise BadSignature(f"the algorithm is not {_ALGORITHM}")
    if query.get("X-Amz-SignedHeaders") != "host":
        raise BadSignature("the signed headers are not host alone")
    key_id, scope = _scope(query["X-Amz-Credential"], service)
    date, region = scope[0], scope[1]
    _refuse_out_of_time(query["X-Amz-Date"], query["X-Amz-Expires"], date, now)
    key = key_of(key_id)
    if key is None:
        raise BadSignature(f"the access key {key_id} was never issued")
    canonical = "\n".join([method, path or "/", _canonical(query), f"host:{host.strip()}\n", "host", _EMPTY_BODY])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join([_ALGORITHM, query["X-Amz-Date"], "/".join(scope), digest])
    due = hmac.new(_signing_key(key.secret, scope), to_sign.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(due.encode(), given.encode()):
        raise BadSignature("the signature does not match")
    return Signed(key, region, {name: value for name, value in query.items() if not name.startswith("X-Amz-")})


def _read(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split("&") if text else ():
        name, _, value = part.partition("=")
        try:
            name, value = unquote_to_bytes(name).decode(), unquote_to_bytes(value).decode()
        except UnicodeDecodeError:
            raise BadSignature("the query is not UTF-8") from None
        if name in found:  # which of them would count, nobody could say
            raise BadSignature(f"{name[:40]!r} stands twice in the query")
        found[name] = value
    return found


def _scope(credential: str, service: str) -> tuple[str, tuple[str, str, str, str]]:
    parts = credential.split("/")
    if len(parts) != 5 or not all(parts) or parts[4] != "aws4_request":
        raise BadSignature("the credential is not KEY/DATE/REGION/SERVICE/aws4_request")
    key, date, region, for_service, end = parts
    if for_service != service:
        raise BadSignature(f"the request is signed for {for_service}, not for {service}")
    return key, (date, region, for_service, end)


def _refuse_out_of_time(at: str, expires: str, date: str, now: float) -> None:
    try:
        began = datetime.strptime(at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise BadSignature("X-Amz-Date is no time") from None
    if not at.startswith(date):
        raise BadSignature("the credential's date is another than X-Amz-Date's")
    if not expires.isascii() or not expires.isdigit() or not 1 <= int(expires[:9]) <= _LONGEST_SECONDS:
        raise BadSignature("X-Amz-Expires is no number of seconds up to a week")
    if now > began + int(expires):
        raise BadSignature("the signature has expired")
    if began > now + _SKEW_SECONDS:
        raise BadSignature("the signature is of the future")


def _canonical(query: Mapping[str, str]) -> str:
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


def _signing_key(secret: str, scope: tuple[str, str, str, str]) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
