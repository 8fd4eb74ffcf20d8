"""Instances: launching and terminating leave behind what they leave behind on AWS."""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import Instance, InstanceBackend


def repair() -> None:
    """Refuse what is in use, and free what a terminated instance held."""
    run, terminate = InstanceBackend.run_instances, Instance.terminate

    def run_instances(self: Any, image_id: str, count: int, *args: Any, **kwargs: Any) -> Any:
        """Refuse interfaces that are missing or attached before anything is made: moto keeps a half-made instance."""
        for spec in kwargs.get("nics") or ():
            if spec.get("NetworkInterfaceId"):
                interface = self.get_network_interface(spec["NetworkInterfaceId"])
                if interface.instance is not None:
                    raise EC2ClientError("InvalidNetworkInterface.InUse", f"Interface: [{interface.id}] in use.")
                spec.setdefault("SubnetId", interface.subnet.id)
                # An interface given by id stays when its instance goes, unless the request says otherwise.
                interface.delete_on_termination = spec.get("DeleteOnTermination") is True
        reservations = set(self.reservations)
        try:
            reservation = run(self, image_id, count, *args, **kwargs)
        except Exception:
            for unfinished in set(self.reservations) - reservations:
                del self.reservations[unfinished]
            raise
        for instance in reservation.instances:
            # An instance on a given interface has that interface's groups.
            instance.security_groups = instance.security_groups or list(instance.nics[0]._group_set)
        return reservation

    def terminate_instance(self: Any) -> Any:
        """Detach the interfaces; those that were made for the instance go with it (DeleteOnTermination)."""
        own = [nic for nic in self.nics.values() if nic.description == "Primary network interface"]
        kept = [nic for nic in self.nics.values() if nic not in own and not nic.delete_on_termination]
        previous = terminate(self)
        for nic in own:
            self.ec2_backend.enis.pop(nic.id, None)
        for nic in kept:
            self.detach_eni(nic)
        return previous

    for name in (
        "private_ip_address",
        "private_dns_name",
        "public_ip_address",
        "public_dns_name",
        "network_interfaces",
    ):
        setattr(Instance, name, _until_terminated(getattr(Instance, name)))
    InstanceBackend.run_instances = run_instances
    Instance.terminate = terminate_instance


def _until_terminated(told: property) -> property:
    """Hide what a terminated instance has no longer: its addresses and interfaces."""
    return property(lambda self: None if self.state == "terminated" else told.__get__(self))
