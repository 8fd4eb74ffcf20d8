"""The federations whose templates are scanned: the example, and what a file may say that changes them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

EXAMPLE = Path(__file__).parents[2] / "federation.yaml"

Data = dict[str, Any]
#: The name under which a federation is scanned that has defects planted into its templates.
CANARY = "canary"


def example() -> Data:
    """The example federation as it is."""
    data: Data = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    return data


def mixed() -> Data:
    """What a site may choose for itself, each choice at another account."""
    data = copy.deepcopy(example())
    hospital_a, hospital_b = data["participants"]
    hospital_a |= {"spot": True, "on_destroy": "delete", "internet": "nat", "alarm_email": "it@hospital-a.example"}
    hospital_b |= {"region": "eu-central-1"}
    data["images"]["eu-central-1"] = data["images"]["us-east-1"]
    data |= {"tags": {"cost-centre": "4711"}, "image_pipeline": True}
    return data


def existing() -> Data:
    """What an account has already: its key, its topic, its boundary."""
    data = copy.deepcopy(example())
    hospital_a, hospital_b = data["participants"]
    hospital_a |= {"bucket": "hospital-a-research", "bucket_prefix": "federate/"}
    hospital_a["alarm_topic"] = "arn:aws:sns:us-east-1:111111111111:on-call"
    hospital_b["kms_key"] = "arn:aws:kms:us-east-1:222222222222:key/01234567-89ab-cdef-0123-456789abcdef"
    for member in (data["aggregator"], hospital_a, hospital_b):
        member["permissions_boundary"] = "boundary"
    return data


def alone() -> Data:
    """The example in one account, by the synthesizer that needs a bootstrap stack, with no alarms."""
    data = copy.deepcopy(example())
    data |= {"single_account": True, "synthesizer": "default", "monitoring": False}
    for participant in data["participants"]:
        participant["account"] = data["aggregator"]["account"]
    return data


def images() -> Data:
    """The example with a pipeline that makes its machine images."""
    return {**example(), "image_pipeline": True}


def many(sites: int) -> Data:
    """A federation of many sites, alike but for what must differ."""
    data = copy.deepcopy(example())
    data["participants"] = [
        {
            "id": f"hospital-{number:03}",
            "account": f"4000000{number:05}",
            "profile": f"hospital-{number:03}",
            "cidr": f"10.{100 + number}.0.0/16",
        }
        for number in range(sites)
    ]
    return data


def apart(data: Data, digit: str) -> Data:
    """The same federation in accounts of which no other test of this process has the first digit."""
    data = copy.deepcopy(data)
    for member in (data["aggregator"], *data["participants"]):
        member["account"] = f"{digit}{member['account'][1:]}"
    return data


def buckets(data: Data) -> dict[str, str]:
    """The existing buckets, with the prefix in each, by node."""
    members = [data["aggregator"] | {"id": "aggregator"}, *data["participants"]]
    return {m["id"]: f"{m['bucket']}/{m.get('bucket_prefix', '')}" for m in members if "bucket" in m}


VARIANTS = {"example": example, "mixed": mixed, "existing": existing, "alone": alone, "images": images}
