"""Service quotas: what an account may have of something, as AWS tells it, and which one a type counts in."""

from __future__ import annotations

import re
from typing import Any

from botocore.exceptions import ClientError

from infra.preflight.check import Visit, code_of

PERMISSIONS = ("servicequotas:GetServiceQuota", "servicequotas:GetAWSDefaultServiceQuota")

#: Quota codes of vCPUs by class of instance type: on demand, and spot (None: there is no spot capacity of it).
#: Source: "On-Demand Instance quotas" and "Spot Instance quotas", Amazon EC2 User Guide.
VCPU_CODES: dict[str, tuple[str, str | None]] = {
    "Standard": ("L-1216C47A", "L-34B43A08"),
    "G and VT": ("L-DB2E81BA", "L-3819A6DF"),
    "P": ("L-417A185B", "L-7212CCBC"),
    "X": ("L-7295265B", "L-E3A00192"),
    "F": ("L-74FC7D96", "L-88CF9481"),
    "Inf": ("L-1945791B", "L-B5D1601B"),
    "Trn": ("L-2C3B7624", "L-6B0D517C"),
    "DL": ("L-6E869C2A", "L-85EED4F7"),
    "HPC": ("L-F7808C92", None),
    "High Memory": ("L-43DA4232", None),
}
# Source: "Amazon VPC quotas" and "AWS PrivateLink quotas", Amazon VPC User Guide and AWS PrivateLink Guide.
VPCS = ("vpc", "L-F678F1CE")
INTERFACE_ENDPOINTS_PER_VPC = ("vpc", "L-29B6F2EB")
PEERINGS_PER_VPC = ("vpc", "L-7E9ECCDB")
ROUTES_PER_TABLE = ("vpc", "L-93826ACB")
ADDRESSES = ("ec2", "L-0263D0A3")
RULES_PER_GROUP = ("vpc", "L-0EA8095F")

_STANDARD = "acdhimrtz"
_WHOLE_FAMILIES = {"inf": "Inf", "trn": "Trn", "dl": "DL", "vt": "G and VT", "hpc": "HPC", "u": "High Memory"}


def vcpu_class(instance_type: str) -> str | None:
    """Return the class that a type's vCPUs count in; None for one that counts in none, or is not known."""
    letters = re.match(r"[a-z]*", instance_type)[0]  # type: ignore[index]  # matches always
    if letters in _WHOLE_FAMILIES:
        return _WHOLE_FAMILIES[letters]
    first = letters[:1]
    if letters == "mac":  # dedicated hosts have quotas of their own
        return None
    if first in "gpxf" and first:
        return {"g": "G and VT", "p": "P", "x": "X", "f": "F"}[first]
    return "Standard" if first and first in _STANDARD else None


def quota(visit: Visit, service: str, code: str) -> float:
    """Return the quota that applies in the account, or AWS's default where the account has none of its own."""

    def ask() -> float:
        client = visit.client("service-quotas")
        try:
            answer: Any = client.get_service_quota(ServiceCode=service, QuotaCode=code)
        except ClientError as error:
            if code_of(error) != "NoSuchResourceException":
                raise
            answer = client.get_aws_default_service_quota(ServiceCode=service, QuotaCode=code)
        return float(answer["Quota"]["Value"])

    return visit.once(f"quota {service} {code}", ask)


def raise_it(visit: Visit, service: str, code: str, value: float) -> str:
    """Return the command that asks AWS for more."""
    return (
        f"Ask for more: aws service-quotas request-service-quota-increase --service-code {service} "
        f"--quota-code {code} --desired-value {value:g} {visit.cli}; it takes AWS up to some days."
    )
