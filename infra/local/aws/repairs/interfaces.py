"""Network interfaces: an address is used once, and an interface in use stays.

Source: the errors InvalidIPAddress.InUse, InvalidNetworkInterface.InUse and InvalidParameterValue in "Error codes for
the Amazon EC2 API", Amazon EC2 Developer Guide.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_network_interfaces import NetworkInterface, NetworkInterfaceBackend
from moto.ec2.models.instances import Instance
from moto.ec2.models.subnets import Subnet

#: AWS keeps the first four addresses of a subnet and the last.
_RESERVED_FIRST, _RESERVED_LAST = 4, 1


def used_addresses(backend: Any, subnet_id: str) -> set[str]:
    """Return the private addresses that interfaces of a subnet hold."""
    return {
        address["PrivateIpAddress"]
        for interface in backend.enis.values()
        if interface.subnet.id == subnet_id
        for address in interface.private_ip_addresses
    }


def free_address(backend: Any, subnet: Any) -> str:
    """Return an address of the subnet that nobody holds: the last one free, so that low ones stay for fixed addresses.

    Raises:
        EC2ClientError: the subnet is full.
    """
    used = used_addresses(backend, subnet.id)
    network = ipaddress.ip_network(subnet.cidr_block)
    last = int(network.broadcast_address) - _RESERVED_LAST
    first = int(network.network_address) + _RESERVED_FIRST
    for number in range(last, first - 1, -1):
        candidate = str(ipaddress.ip_address(number))
        if candidate not in used:
            return candidate
    raise EC2ClientError(
        "InsufficientFreeAddressesInSubnet",
        "The specified subnet does not have enough free addresses to satisfy the request.",
    )


def repair() -> None:
    """Hold addresses and attachments to AWS's rules."""
    create = NetworkInterfaceBackend.create_network_interface
    delete = NetworkInterfaceBackend.delete_network_interface
    attach = Instance.attach_eni

    def create_network_interface(
        self: Any, subnet: Any, private_ip_address: Any, *args: Any, **kwargs: Any
    ) -> NetworkInterface:
        place = self.get_subnet(subnet) if isinstance(subnet, str) else subnet
        listed = args[0] if args else kwargs.get("private_ip_addresses")
        if not private_ip_address and not listed:
            private_ip_address = free_address(self, place)
        _check_address(self, place, private_ip_address)
        return create(self, place, private_ip_address, *args, **kwargs)

    def delete_network_interface(self: Any, eni_id: str) -> None:
        interface = self.get_network_interface(eni_id)
        if interface.instance is not None and interface.instance.state != "terminated":
            raise EC2ClientError("InvalidParameterValue", f"Network interface '{eni_id}' is currently in use.")
        delete(self, eni_id)

    def attach_eni(self: Any, eni: NetworkInterface, device_index: int) -> Any:
        if eni.instance is not None:
            raise EC2ClientError("InvalidNetworkInterface.InUse", f"Interface: [{eni.id}] in use.")
        return attach(self, eni, device_index)

    def request_ip(self: Any, address: str, instance: Any) -> None:
        _check_address(self.ec2_backend, self, address)

    Subnet.request_ip = request_ip
    Subnet.get_available_subnet_ip = lambda self, instance: free_address(self.ec2_backend, self)
    NetworkInterfaceBackend.create_network_interface = create_network_interface
    NetworkInterfaceBackend.delete_network_interface = delete_network_interface
    Instance.attach_eni = attach_eni


def _check_address(backend: Any, subnet: Any, address: str | None) -> None:
    if address is None:
        return
    network = ipaddress.ip_network(subnet.cidr_block)
    offset = int(ipaddress.ip_address(address)) - int(network.network_address)
    if not _RESERVED_FIRST <= offset < network.num_addresses - _RESERVED_LAST:
        raise EC2ClientError(
            "InvalidParameterValue", f"Address {address} does not fall within the subnet's address range"
        )
    if address in used_addresses(backend, subnet.id):
        raise EC2ClientError("InvalidIPAddress.InUse", f"Address {address} is in use.")
