"""A metadata service for each node that is a process: on a port of its own on loopback, for notices and nothing secret.

Credentials reach such a node by its environment, so this service has none to give.
"""

from __future__ import annotations

import functools
import logging
import socket
import threading
from collections.abc import Mapping

from infra.local.twin.bodies import Bodies
from infra.local.twin.deployed import Instance
from infra.local.twin.grounds.notices import Announcements
from infra.local.twin.services.metadata import Metadata, MetadataService
from infra.local.twin.services.metadata.instance import Credentials
from infra.local.twin.services.serving import shut

_log = logging.getLogger(__name__)

_HOST = "127.0.0.1"
_BACKLOG = 16


class StandIns:
    """The services, each for as long as its instance runs.

    Args:
        bodies: keeps the ports, so that a node that outlives its keeper finds the next one's at the same place.
        announced: what they tell.
    """

    def __init__(self, bodies: Bodies, announced: Announcements) -> None:
        self._bodies, self._announced = bodies, announced
        self._listeners: dict[str, socket.socket] = {}

    def follow(self, running: Mapping[str, Instance]) -> None:
        """Serve these instances, and no others."""
        for gone in self._listeners.keys() - running.keys():
            listener = self._listeners.pop(gone)
            shut(listener)
            listener.close()
        for instance in running.values():
            if instance.id not in self._listeners:
                self._serve(instance)

    def environment(self, instance: Instance) -> dict[str, str]:
        """Return how an instance's node finds its service."""
        return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{_HOST}:{self._port(instance)}"}

    def _port(self, instance: Instance) -> int:
        return self._bodies.port_for(f"metadata of {instance.id}")

    def _serve(self, instance: Instance) -> None:
        try:
            listener = socket.create_server((_HOST, self._port(instance)), backlog=_BACKLOG)
        except OSError as error:  # somebody has taken its port: the node runs, only without notices
            _log.warning("%s has no metadata service: %s", instance.id, error)
            return
        self._listeners[instance.id] = listener
        told = _metadata(instance, self._announced)
        service = MetadataService(lambda _: told)
        name = f"metadata {instance.id}"
        threading.Thread(target=_until_closed, args=(service, listener), name=name, daemon=True).start()


def _until_closed(service: MetadataService, listener: socket.socket) -> None:
    try:
        service.serve(listener)
    except OSError:
        if listener.fileno() != -1:
            raise


def _metadata(instance: Instance, announced: Announcements) -> Metadata:
    def none() -> Credentials:
        raise PermissionError("this metadata service has no credentials")

    return Metadata(
        instance=instance.id,
        account=instance.account,
        region=instance.region,
        zone="",
        image="",
        instance_type="",
        address=_HOST,
        mac="00:00:00:00:00:00",
        subnet_id="",
        vpc_id="",
        security_groups=(),
        profile_arn=None,
        profile_id="",
        role="",
        user_data=b"",
        credentials=none,
        ssh_keys=lambda _: (),
        announced=functools.partial(announced.of, instance.id),
    )
