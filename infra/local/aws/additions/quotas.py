"""Service quotas as data: what a new account of the emulator may have, and what a test has set instead.

They are told, not enforced: nothing on loopback AWS ever runs out. vCPUs and VPCs are those of an
account that was granted them (a new account of AWS has no GPUs, and 5 VPCs); the others are AWS's defaults.

Source: "On-Demand Instance quotas" and "Spot Instance quotas", Amazon EC2 User Guide; "Amazon VPC quotas", Amazon VPC
User Guide; "AWS PrivateLink quotas", AWS PrivateLink Guide.
"""

from __future__ import annotations

import threading
from typing import Any

_EC2 = {
    "L-1216C47A": ("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 256),
    "L-34B43A08": ("All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", 256),
    "L-DB2E81BA": ("Running On-Demand G and VT instances", 256),
    "L-3819A6DF": ("All G and VT Spot Instance Requests", 256),
    "L-417A185B": ("Running On-Demand P instances", 256),
    "L-7212CCBC": ("All P Spot Instance Requests", 256),
    "L-7295265B": ("Running On-Demand X instances", 256),
    "L-E3A00192": ("All X Spot Instance Requests", 256),
    "L-74FC7D96": ("Running On-Demand F instances", 256),
    "L-88CF9481": ("All F Spot Instance Requests", 256),
    "L-1945791B": ("Running On-Demand Inf instances", 256),
    "L-B5D1601B": ("All Inf Spot Instance Requests", 256),
    "L-2C3B7624": ("Running On-Demand Trn instances", 256),
    "L-6B0D517C": ("All Trn Spot Instance Requests", 256),
    "L-6E869C2A": ("Running On-Demand DL instances", 256),
    "L-85EED4F7": ("All DL Spot Instance Requests", 256),
    "L-F7808C92": ("Running On-Demand HPC instances", 256),
    "L-43DA4232": ("Running On-Demand High Memory instances", 256),
    "L-0263D0A3": ("EC2-VPC Elastic IPs", 5),
}
_VPC = {
    "L-F678F1CE": ("VPCs per Region", 20),
    "L-29B6F2EB": ("Interface VPC endpoints per VPC", 50),
    "L-7E9ECCDB": ("Active VPC peering connections per VPC", 50),
    "L-93826ACB": ("Routes per route table", 50),
    "L-0EA8095F": ("Inbound or outbound rules per security group", 60),
}
DEFAULTS: dict[str, dict[str, tuple[str, float]]] = {"ec2": dict(_EC2), "vpc": dict(_VPC)}
_NAMES = {"ec2": "Amazon Elastic Compute Cloud (Amazon EC2)", "vpc": "Amazon Virtual Private Cloud (Amazon VPC)"}


class NoSuchQuota(LookupError):
    """There is no quota of this code, or its service has none here."""


class Quotas:
    """The quotas of all accounts of a process; any thread may ask."""

    def __init__(self) -> None:
        self._set: dict[tuple[str, str, str, str], float] = {}
        self._lock = threading.Lock()

    def put(self, account: str, region: str, service: str, code: str, value: float) -> None:
        """Set a quota of an account.

        Raises:
            NoSuchQuota: there is none of this code.
        """
        self.default(service, code, region)
        with self._lock:
            self._set[account, region, service, code] = float(value)

    def default(self, service: str, code: str, region: str) -> dict[str, Any]:
        """Return AWS's default as ``GetAWSDefaultServiceQuota`` tells it.

        Raises:
            NoSuchQuota: there is none of this code.
        """
        try:
            name, value = DEFAULTS[service][code]
        except KeyError:
            raise NoSuchQuota(f"There is no quota {code} of {service} on loopback AWS.") from None
        return {
            "ServiceCode": service,
            "ServiceName": _NAMES[service],
            "QuotaArn": f"arn:aws:servicequotas:{region}::{service}/{code}",
            "QuotaCode": code,
            "QuotaName": name,
            "Value": float(value),
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }

    def applied(self, account: str, region: str, service: str, code: str) -> dict[str, Any]:
        """Return what applies in an account as ``GetServiceQuota`` tells it.

        Raises:
            NoSuchQuota: there is none of this code.
        """
        found = self.default(service, code, region)
        with self._lock:
            found["Value"] = self._set.get((account, region, service, code), found["Value"])
        found["QuotaArn"] = f"arn:aws:servicequotas:{region}:{account}:{service}/{code}"
        return found

    def all_applied(self, account: str, region: str, service: str) -> list[dict[str, Any]]:
        """Return all quotas of a service in an account.

        Raises:
            NoSuchQuota: the service has none here.
        """
        if service not in DEFAULTS:
            raise NoSuchQuota(f"There are no quotas of {service} on loopback AWS.")
        return [self.applied(account, region, service, code) for code in DEFAULTS[service]]
