"""Service quotas of the emulator: told, per account, and set by tests."""

from __future__ import annotations

import pytest

from infra.local.aws.additions.quotas import DEFAULTS, NoSuchQuota, Quotas
from infra.preflight.quotas import VCPU_CODES

GPUS = ("ec2", "L-DB2E81BA")
HERE = ("111111111111", "us-east-1")


def test_a_quota_is_the_default_until_it_is_set_and_then_only_in_that_account_and_region() -> None:
    quotas = Quotas()
    default = quotas.default(*GPUS, "us-east-1")["Value"]
    quotas.put(*HERE, *GPUS, 3)
    assert quotas.applied(*HERE, *GPUS)["Value"] == 3.0
    assert quotas.applied("222222222222", "us-east-1", *GPUS)["Value"] == default
    assert quotas.applied("111111111111", "eu-west-1", *GPUS)["Value"] == default


def test_a_quota_that_is_not_known_is_refused() -> None:
    quotas = Quotas()
    with pytest.raises(NoSuchQuota, match="L-00000000"):
        quotas.put(*HERE, "ec2", "L-00000000", 3)
    with pytest.raises(NoSuchQuota, match="no quotas of lambda"):
        quotas.all_applied(*HERE, "lambda")


def test_every_class_of_instance_types_has_its_quotas() -> None:
    codes = {code for pair in VCPU_CODES.values() for code in pair if code}
    assert codes <= set(DEFAULTS["ec2"])
