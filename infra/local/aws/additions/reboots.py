"""``ec2:RebootInstances``: the instance stays ``running``, and whoever gives it a body is told to begin it anew.

moto lets it run, also one that is stopped or terminated. AWS refuses to reboot what is stopped and ignores what is
terminated; the call returns at once, and what it asks for is done soon after.

Source: RebootInstances in the Amazon EC2 API Reference; IncorrectInstanceState in "Error codes for the Amazon EC2 API".
"""

from __future__ import annotations

import threading
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import InstanceBackend


class Reboots:
    """The instances that are to begin anew, until somebody takes them. Threads share it."""

    def __init__(self) -> None:
        self._asked: set[str] = set()
        self._lock = threading.Lock()

    def ask(self, instance: str) -> None:
        """Have an instance begin anew."""
        with self._lock:
            self._asked.add(instance)

    def take(self) -> list[str]:
        """Return those that were asked for since the last time."""
        with self._lock:
            taken, self._asked = sorted(self._asked), set()
            return taken


#: Those of every instance in this process.
REBOOTS = Reboots()


def add() -> None:
    """Have the call be kept for whoever gives instances a body."""
    InstanceBackend.reboot_instances = _reboot_instances


def _reboot_instances(self: Any, instance_ids: list[str]) -> list[Any]:
    found = self.get_multi_instances_by_id(instance_ids)  # refused if one is not there
    for instance in found:
        if instance.state not in ("running", "terminated"):
            raise EC2ClientError(
                "IncorrectInstanceState", f"Instance '{instance.id}' is {instance.state} and cannot be rebooted."
            )
    running = [instance for instance in found if instance.state == "running"]
    for instance in running:
        REBOOTS.ask(instance.id)
    return running
