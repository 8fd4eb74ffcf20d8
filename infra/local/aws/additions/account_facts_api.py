"""What AWS tells of an account before anything is made: quotas, the default key of volumes, service-linked roles.

Source: GetServiceQuota, GetAWSDefaultServiceQuota and ListServiceQuotas in the Service Quotas API Reference;
GetEbsDefaultKmsKeyId in the Amazon EC2 API Reference.
"""

from __future__ import annotations

import json
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response
from moto.servicequotas.responses import ServiceQuotasResponse

from infra.local.aws.additions.quotas import NoSuchQuota, Quotas
from infra.local.aws.additions.refusal import ServiceRefusal

#: The quotas of every account in this process.
QUOTAS = Quotas()


def add() -> None:
    """Give moto's Service Quotas and EC2 the calls."""
    ServiceQuotasResponse.get_service_quota = _get
    ServiceQuotasResponse.get_aws_default_service_quota = _get_default
    ServiceQuotasResponse.list_service_quotas = _list
    EC2Response.get_ebs_default_kms_key_id = _default_key


def _asked(self: Any) -> tuple[str, str]:
    told = json.loads(self.body)
    return str(told.get("ServiceCode")), str(told.get("QuotaCode"))


def _get(self: Any) -> str:
    service, code = _asked(self)
    try:
        return json.dumps({"Quota": QUOTAS.applied(self.current_account, self.region, service, code)})
    except NoSuchQuota as error:
        raise ServiceRefusal("NoSuchResourceException", str(error)) from None


def _get_default(self: Any) -> str:
    service, code = _asked(self)
    try:
        return json.dumps({"Quota": QUOTAS.default(service, code, self.region)})
    except NoSuchQuota as error:
        raise ServiceRefusal("NoSuchResourceException", str(error)) from None


def _list(self: Any) -> str:
    service, _ = _asked(self)
    try:
        return json.dumps({"Quotas": QUOTAS.all_applied(self.current_account, self.region, service)})
    except NoSuchQuota as error:
        raise ServiceRefusal("NoSuchResourceException", str(error)) from None


def _default_key(self: Any) -> ActionResult:
    self.error_on_dryrun()
    chosen = self.ec2_backend.__dict__.get("default_kms_key_id")
    return ActionResult({"KmsKeyId": chosen or "alias/aws/ebs"})
