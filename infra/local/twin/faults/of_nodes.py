"""Faults of a node and its processes."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from typing import Any, ClassVar

from infra.local import process
from infra.local.twin.faults import units
from infra.local.twin.faults.errors import FaultRefused
from infra.local.twin.faults.fault import Fault
from infra.local.twin.faults.ground import PROCESS_NAMES, Ground, ProcessName
from infra.local.twin.faults.kinds import Kind, Reader, Scene, one_of

#: While the processes are stopped one after the other, those that run yet may start more.
_LOOKS = 5
#: How far ahead EC2 gives notice of an interruption.
_SPOT_SECONDS = 120.0


class _Kill(Kind):
    """The application, or the agent, ends at once (SIGKILL); the unit or the agent starts it again."""

    name = "kill"
    lasts = False
    needs_power = True
    parameters: ClassVar[Mapping[str, Reader]] = {"process": one_of(*PROCESS_NAMES)}

    def check(self, ground: Ground, node: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """The application, if nothing is said; it must run."""
        wanted = values.get("process", "application")
        _running(ground, node, wanted)
        return {"process": wanted}

    def text(self, parameters: Mapping[str, Any]) -> str:
        """Return which process."""
        return str(parameters["process"])

    def apply(self, scene: Scene, fault: Fault) -> dict[str, Any]:
        for pid in _running(scene.ground, fault.node, fault.parameters["process"]):
            _signal(pid, signal.SIGKILL)
        return {}


class _Freeze(Kind):
    """Application and agent, or one of them, stand still (SIGSTOP): alive, and silent."""

    name = "freeze"
    needs_power = True
    parameters: ClassVar[Mapping[str, Reader]] = {"process": one_of(*PROCESS_NAMES)}

    def check(self, ground: Ground, node: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Both, if nothing is said; what is to stand still must run."""
        wanted = [values["process"]] if "process" in values else list(PROCESS_NAMES)
        if not any(ground.processes(node, name) for name in PROCESS_NAMES if name in wanted):
            _running(ground, node, wanted[0])
        return {"processes": wanted}

    def text(self, parameters: Mapping[str, Any]) -> str:
        """Return which processes."""
        return " and ".join(parameters["processes"])

    def apply(self, scene: Scene, fault: Fault) -> dict[str, Any]:
        stopped: dict[int, str] = {}
        # The agent first: it would act on an application that stands still.
        wanted: list[ProcessName] = [name for name in reversed(PROCESS_NAMES) if name in fault.parameters["processes"]]
        for _ in range(_LOOKS):
            found = [pid for name in wanted for pid in scene.ground.processes(fault.node, name)]
            if stopped.keys() >= set(found):
                break
            for pid in found:
                began = process.started_at(pid)
                if began is not None:
                    _signal(pid, signal.SIGSTOP)
                    stopped[pid] = began
        return {"stopped": [[pid, began] for pid, began in stopped.items()]}

    def is_over(self, fault: Fault, ground: Ground) -> bool:
        del ground
        stopped = fault.details.get("stopped", [])
        return not any(process.is_running(pid, began) for pid, began in stopped)

    def revert(self, scene: Scene, fault: Fault) -> None:
        for pid, began in reversed(fault.details.get("stopped", [])):
            if process.is_running(pid, began):
                _signal(pid, signal.SIGCONT)


class _Reboot(Kind):
    """The node begins anew."""

    name = "reboot"
    lasts = False
    needs_power = True
    lifts = ("freeze",)

    def apply(self, scene: Scene, fault: Fault) -> dict[str, Any]:
        scene.ground.reboot(fault.node)
        return {}


class _PowerOff(Kind):
    """The node is gone at once, until it is powered on again."""

    name = "power-off"
    lifts = ("freeze",)

    def apply(self, scene: Scene, fault: Fault) -> dict[str, Any]:
        scene.ground.power_off(fault.node)
        return {}

    def revert(self, scene: Scene, fault: Fault) -> None:
        scene.ground.power_on(fault.node)


class _Interrupt(Kind):
    """The metadata service gives notice that the instance is to be interrupted; nothing is done to the instance."""

    name = "interrupt"
    parameters: ClassVar[Mapping[str, Reader]] = {
        "notice": one_of("spot", "maintenance", "rebalance"),
        "after": units.seconds,
    }

    def check(self, ground: Ground, node: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """A spot notice two minutes ahead, as EC2 gives it, if nothing is said."""
        return {"notice": values.get("notice", "spot"), "after_seconds": values.get("after", _SPOT_SECONDS)}

    def key(self, parameters: Mapping[str, Any]) -> object:
        return parameters["notice"]

    def text(self, parameters: Mapping[str, Any]) -> str:
        """Return for instance ``spot notice, 120 s ahead``."""
        return f"{parameters['notice']} notice, {parameters['after_seconds']:g} s ahead"

    def is_over(self, fault: Fault, ground: Ground) -> bool:
        """A notice is one instance's: the node's next one has none."""
        return "instance" in fault.details and ground.instance(fault.node) != fault.details["instance"]

    def apply(self, scene: Scene, fault: Fault) -> dict[str, Any]:
        instance = scene.ground.instance(fault.node)
        if instance is None:
            raise FaultRefused(f"{fault.node} has no instance that runs.", remedy="federate status says why.")
        scene.ground.announce(instance, fault.parameters["notice"], fault.parameters["after_seconds"])
        return {"instance": instance}

    def revert(self, scene: Scene, fault: Fault) -> None:
        if "instance" in fault.details:
            scene.ground.announce_no_more(fault.details["instance"], fault.parameters["notice"])


NODE_KINDS = (_Kill(), _Freeze(), _Reboot(), _PowerOff(), _Interrupt())


def _running(ground: Ground, node: str, name: ProcessName) -> list[int]:
    found = list(ground.processes(node, name))
    if not found:
        raise FaultRefused(
            f"No {name} runs on {node}.",
            remedy=f"federate start {node} starts it." if name == "application" else "federate status says why.",
        )
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself
        os.kill(pid, number)
