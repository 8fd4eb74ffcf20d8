"""The types of single values: what may stand there, and what is said when something else does."""

from __future__ import annotations

import math
import re
from ipaddress import IPv4Network
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from infra.federation.cidr import PRIVATE
from infra.federation.words import did_you_mean, listed

#: The type of errors that carry their own text.
OWN_ERROR = "federate"

#: Derived names must fit AWS's limits: the longest is ``federate-<name>-accept-<id>``, an IAM role, 64 characters.
LONGEST_NAME = 20
LARGEST_VPC, SMALLEST_VPC = 16, 26
DEADLINES = ("adaptive", "none")

_NAME = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
_REGION = r"^[a-z]{2}(-[a-z]+)+-[0-9]$"
_IMAGE = r"^ami-([0-9a-f]{8}|[0-9a-f]{17})$"
_KEY = r"^arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})$"
_TOPIC = r"^arn:aws:sns:[a-z]{2}(-[a-z]+)+-[0-9]:[0-9]{12}:[A-Za-z0-9_-]{1,256}$"
_EMAIL = r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$"
_BUCKET = r"^[a-z0-9]([a-z0-9-]|\.(?=[a-z0-9])){1,61}[a-z0-9]$"
_KEY_PREFIX = r"^([A-Za-z0-9_.=-]+/)+$"
_POLICY = r"^(arn:aws:iam::([0-9]{12}|aws):policy/([\x21-\x7e]{1,510}/)?)?[A-Za-z0-9_+=,.@-]{1,128}$"
_ZONE = r"^([a-z]{2}(-[a-z]+)+-[0-9])?[a-z]$"


def _problem(found: str, allowed: str, remedy: str = "") -> PydanticCustomError:
    return PydanticCustomError(OWN_ERROR, "{found}", {"found": found, "allowed": allowed, "remedy": remedy})


def _name(value: Any) -> Any:
    if not isinstance(value, str) or (re.fullmatch(_NAME, value) and len(value) <= LONGEST_NAME):
        return value
    allowed = f"1 to {LONGEST_NAME} lower-case letters, digits and single hyphens, a letter first."
    if len(value) > LONGEST_NAME:
        raise _problem(f"{short(value)} has {len(value)} characters.", allowed, "Names of AWS resources contain it.")
    simple = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")
    remedy = f"For example: {simple}." if re.fullmatch(_NAME, simple) else ""
    raise _problem(f"{short(value)} is not a name.", allowed, remedy)


def _matching(pattern: str, what: str, allowed: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if isinstance(value, str) and not re.fullmatch(pattern, value):
            raise _problem(f"{short(value)} is not {what}.", allowed)
        return value

    return BeforeValidator(check)


def _cidr(value: Any) -> IPv4Network:
    if isinstance(value, IPv4Network):
        value = str(value)
    allowed = f"A private IPv4 range, /{LARGEST_VPC} to /{SMALLEST_VPC}, such as 10.10.0.0/16."
    if not isinstance(value, str) or "/" not in value:
        raise _problem(f"{short(value)} is not a range.", allowed)
    try:
        network = IPv4Network(value, strict=False)
    except ValueError:
        raise _problem(f"{short(value)} is not an IPv4 range.", allowed) from None
    if str(network) != value and IPv4Network(value, strict=False).network_address != _address(value):
        raise _problem(
            f"{short(value)} has host bits set: a /{network.prefixlen} begins at {network.network_address}.",
            "",
            f"Write {network}.",
        )
    if not any(network.subnet_of(private) for private in PRIVATE):
        raise _problem(
            f"{short(value)} is not private.",
            f"A range inside {', '.join(map(str, PRIVATE[:-1]))} or {PRIVATE[-1]} (RFC 1918): other addresses "
            "belong to somebody, or to the carriers (100.64.0.0/10).",
        )
    if network.prefixlen > SMALLEST_VPC:
        raise _problem(
            f"{short(value)} is too small: /{network.prefixlen} has {network.num_addresses} addresses.",
            f"/{LARGEST_VPC} to /{SMALLEST_VPC}: a node, its VPC endpoints and the five addresses that AWS keeps of "
            "each subnet must fit.",
        )
    if network.prefixlen < LARGEST_VPC:
        raise _problem(f"{short(value)} is too large.", f"/{LARGEST_VPC} to /{SMALLEST_VPC}: AWS makes no larger VPC.")
    return network


def _address(cidr: str) -> Any:
    return IPv4Network(cidr.split("/")[0]).network_address


def _tag_key(value: Any) -> Any:
    if isinstance(value, str) and value.lower().startswith("aws:"):
        raise _problem(f"{short(value)} begins with aws:.", "Another prefix: AWS keeps this one for itself.")
    return value


def not_a_flag(value: Any) -> Any:
    """Refuse true and false where a number is meant: Python would take them for 1 and 0."""
    if isinstance(value, bool):
        raise _problem(f"{str(value).lower()} is not a number.", "A number.")
    return value


def _deadline(value: Any) -> Any:
    """Say what is wrong once: a union would say it of each of its parts."""
    if value in DEADLINES or (not isinstance(value, bool) and _is_above_zero(value)):
        return value
    allowed = f"Seconds, more than 0, or one of {listed(DEADLINES)}."
    raise _problem(f"{short(value)} is not a deadline.", allowed, did_you_mean(str(value), DEADLINES))


def _is_above_zero(value: Any) -> bool:
    try:
        return 0 < float(value) < math.inf
    except (TypeError, ValueError):
        return False


def short(value: Any) -> str:
    """Return a value as it can stand in one line of a message."""
    text = value if isinstance(value, str) else repr(value)
    text = "".join(character if character.isprintable() else "�" for character in text)
    return text if len(text) <= 60 else text[:57] + "…"


# Constraints first, own checks after: pydantic runs what is before a value from the last to the first, so that the own
# words come first, and the JSON Schema keeps the constraints.
Name = Annotated[str, StringConstraints(pattern=_NAME, min_length=1, max_length=LONGEST_NAME), BeforeValidator(_name)]
AccountId = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")]
PolicyReference = Annotated[
    str,
    StringConstraints(pattern=_POLICY),
    _matching(
        _POLICY,
        "a managed policy",
        "Its name, such as hospital-boundary, or its ARN, such as arn:aws:iam::111111111111:policy/hospital-boundary.",
    ),
]
Profile = Annotated[str, StringConstraints(min_length=1, max_length=128)]
ImageId = Annotated[
    str,
    StringConstraints(pattern=_IMAGE),
    _matching(_IMAGE, "a machine image id", "ami- and 8 or 17 hexadecimal digits, such as ami-0123456789abcdef0."),
]
Region = Annotated[
    str,
    StringConstraints(pattern=_REGION),
    _matching(_REGION, "a Region", "An AWS Region's code, such as us-east-1 or eu-central-1."),
]
AvailabilityZone = Annotated[
    str,
    StringConstraints(pattern=_ZONE),
    _matching(_ZONE, "an availability zone", "A zone's letter (a) or full name (us-east-1a)."),
]
KeyArn = Annotated[
    str,
    StringConstraints(pattern=_KEY),
    _matching(
        _KEY,
        "a KMS key's ARN",
        "arn:aws:kms:<Region>:<account>:key/<id>; an alias can be pointed at another key, so it does not do.",
    ),
]
TopicArn = Annotated[
    str,
    StringConstraints(pattern=_TOPIC),
    _matching(
        _TOPIC, "a topic", "An SNS topic's ARN, such as arn:aws:sns:us-east-1:111111111111:on-call; not a FIFO topic."
    ),
]
Email = Annotated[
    str,
    StringConstraints(pattern=_EMAIL, max_length=254),
    _matching(_EMAIL, "a mail address", "One address, such as it-operations@hospital-a.example."),
]
BucketName = Annotated[
    str,
    StringConstraints(min_length=3, max_length=63),
    _matching(_BUCKET, "a bucket's name", "3 to 63 lower-case letters, digits, hyphens and single dots; no s3://."),
]
KeyPrefix = Annotated[
    str,
    StringConstraints(max_length=200),
    _matching(
        _KEY_PREFIX,
        "a prefix",
        "Folders' names of letters, digits and _ . = -, each with / after it and none before: research/federate/.",
    ),
]
Cidr = Annotated[
    IPv4Network,
    BeforeValidator(_cidr),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/(1[6-9]|2[0-6])$"}),
]
Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
PositiveInt = Annotated[int, Field(strict=True, gt=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(not_a_flag)]
Deadline = Annotated[PositiveFloat | Literal["adaptive", "none"], BeforeValidator(_deadline)]
TagKey = Annotated[str, StringConstraints(min_length=1, max_length=128), BeforeValidator(_tag_key)]
TagValue = Annotated[str, StringConstraints(max_length=256)]
