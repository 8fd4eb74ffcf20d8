"""EC2 Instance Connect Endpoints in the EC2 API: made with a network interface in their subnet, and deleted with it.

Source: CreateInstanceConnectEndpoint, DescribeInstanceConnectEndpoints and DeleteInstanceConnectEndpoint in the Amazon
EC2 API Reference; "EC2 Instance Connect Endpoint" in the Amazon EC2 User Guide.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.responses import EC2Response
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, EC2_RESOURCE_TO_PREFIX, add_tag_specification

_KIND, _PREFIX = "instance-connect-endpoint", "eice"
_ATTRIBUTE = "instance_connect_endpoints"
_FILTERS = {
    "instance-connect-endpoint-id": "InstanceConnectEndpointId",
    "state": "State",
    "subnet-id": "SubnetId",
    "vpc-id": "VpcId",
}


@dataclass(frozen=True, slots=True)
class _Endpoint:
    id: str
    account: str
    region: str
    subnet: Any
    interface: Any
    preserve_client_ip: bool
    made_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def as_dict(self, tags: list[dict[str, str]], *, state: str = "create-complete") -> dict[str, Any]:
        """Return it as the API does; its groups are those of its interface, which may be changed."""
        arn = f"arn:aws:ec2:{self.region}:{self.account}:instance-connect-endpoint/{self.id}"
        return {
            "OwnerId": self.account,
            "InstanceConnectEndpointId": self.id,
            "InstanceConnectEndpointArn": arn,
            "State": state,
            "StateMessage": "",
            "DnsName": f"{self.id}.{self.id[-8:]}.ec2-instance-connect-endpoint.{self.region}.amazonaws.com",
            "NetworkInterfaceIds": [self.interface.id],
            "VpcId": self.subnet.vpc_id,
            "AvailabilityZone": self.subnet.availability_zone,
            "CreatedAt": self.made_at,
            "SubnetId": self.subnet.id,
            "PreserveClientIp": self.preserve_client_ip,
            "SecurityGroupIds": [group.id for group in self.interface.group_set],
            "Tags": tags,
            "IpAddressType": "ipv4",
        }


def add() -> None:
    """Give moto's EC2 the three calls, and the kind of resource, so that it can have tags."""
    EC2_RESOURCE_TO_PREFIX[_KIND] = _PREFIX
    EC2_PREFIX_TO_RESOURCE[_PREFIX] = _KIND
    EC2Response.create_instance_connect_endpoint = _create
    EC2Response.describe_instance_connect_endpoints = _describe
    EC2Response.delete_instance_connect_endpoint = _delete


def _create(self: Any) -> ActionResult:
    backend = self.ec2_backend
    subnet = backend.get_subnet(self._get_param("SubnetId"))
    groups = list(self._get_param("SecurityGroupIds", []))
    tags = add_tag_specification(self._get_param("TagSpecifications", []))
    preserve = self._get_bool_param("PreserveClientIp", False)
    self.error_on_dryrun()
    if any(made.subnet.vpc_id == subnet.vpc_id for made in _made(backend).values()):
        raise EC2ClientError(
            "InstanceConnectEndpointLimitExceeded",
            f"The VPC '{subnet.vpc_id}' has an EC2 Instance Connect Endpoint already; its quota is one.",
        )
    id_ = f"{_PREFIX}-{secrets.token_hex(9)[:17]}"
    interface = backend.create_network_interface(subnet, None, [], groups, f"EC2 Instance Connect Endpoint {id_}", {})
    interface.requester_managed = True
    interface.status = "in-use"
    endpoint = _Endpoint(id_, self.current_account, self.region, subnet, interface, preserve)
    _made(backend)[id_] = endpoint
    if tags:
        backend.create_tags([id_], tags)
    return ActionResult({"InstanceConnectEndpoint": endpoint.as_dict(_tags(backend, id_))})


def _describe(self: Any) -> ActionResult:
    backend = self.ec2_backend
    wanted = list(self._get_param("InstanceConnectEndpointIds", []))
    found = [_get(backend, id_) for id_ in wanted] if wanted else list(_made(backend).values())
    told = [endpoint.as_dict(_tags(backend, endpoint.id)) for endpoint in found]
    for one in self._get_param("Filters", []):
        told = [item for item in told if _fits(item, one["Name"], one["Values"])]
    return ActionResult({"InstanceConnectEndpoints": told})


def _delete(self: Any) -> ActionResult:
    backend = self.ec2_backend
    endpoint = _get(backend, self._get_param("InstanceConnectEndpointId"))
    self.error_on_dryrun()
    told = endpoint.as_dict(_tags(backend, endpoint.id), state="delete-in-progress")
    backend.delete_network_interface(endpoint.interface.id)
    backend.tags.pop(endpoint.id, None)
    del _made(backend)[endpoint.id]
    return ActionResult({"InstanceConnectEndpoint": told})


def _made(backend: EC2Backend) -> dict[str, _Endpoint]:
    """Return the endpoints of one account and Region, kept with everything else that EC2 has there."""
    found: dict[str, _Endpoint] = backend.__dict__.setdefault(_ATTRIBUTE, {})
    return found


def _get(backend: EC2Backend, id_: str) -> _Endpoint:
    found = _made(backend).get(id_)
    if found is None:
        raise EC2ClientError(
            "InvalidInstanceConnectEndpointId.NotFound", f"The instanceConnectEndpoint ID '{id_}' does not exist"
        )
    return found


def _tags(backend: EC2Backend, id_: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in backend.tags.get(id_, {}).items()]


def _fits(item: dict[str, Any], name: str, values: list[str]) -> bool:
    tags = {tag["Key"]: tag["Value"] for tag in item["Tags"]}
    if name.startswith("tag:"):
        return tags.get(name.removeprefix("tag:")) in values
    if name == "tag-key":
        return not tags.keys().isdisjoint(values)
    if name not in _FILTERS:
        raise EC2ClientError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return item[_FILTERS[name]] in values
