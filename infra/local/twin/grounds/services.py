"""Which service answers where in the VPCs: metadata, names, and the endpoints of AWS's services."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.local.twin.listeners import Listeners, Place, Serve
from infra.local.twin.network.layout import Fabric, Router
from infra.local.twin.services.authority import TwinAuthority
from infra.local.twin.services.endpoints import Endpoint, EndpointService, KeyAccounts
from infra.local.twin.services.metadata import Metadata, MetadataService
from infra.local.twin.services.resolver import Resolver, zone_of

_METADATA_PORT, _DNS_PORT, _HTTPS_PORT = 80, 53, 443
_S3 = "s3"

#: (VPC, source address) to what the metadata service says; None to an address that is nobody's.
FindMetadata = Callable[[str, str], Metadata | None]


class Services:
    """Has the services of each VPC answer in its router's namespace, and nowhere else.

    Args:
        folder: where the authority of the endpoints' certificates is kept.
        emulator: address of AWS on loopback.
        find: see ``FindMetadata``.
        watch: is shown what nodes send to the endpoints, in plain: the endpoint's account, and bytes.
    """

    def __init__(
        self,
        folder: Path,
        emulator: tuple[str, int],
        find: FindMetadata,
        watch: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self.authority = TwinAuthority.load_or_make(folder)
        self._emulator = emulator
        self._keys = KeyAccounts(emulator)
        self._find = find
        self._watch = watch
        self._listeners = Listeners()
        self._zones: dict[str, dict[str, tuple[str, ...]]] = {}

    def follow(self, fabric: Fabric) -> None:
        """Serve what a fabric wants.

        Raises:
            OSError: a socket cannot be made.
        """
        self._zones = {router.vpc: _zone(router, fabric) for router in fabric.routers}
        wanted: dict[Place, Serve] = {}
        for router in fabric.routers:
            wanted |= self._of(router)
        self._listeners.follow(wanted)

    def close(self) -> None:
        """Serve no more."""
        self._listeners.close()

    def _of(self, router: Router) -> Mapping[Place, Serve]:
        here = router.namespace
        metadata = MetadataService(functools.partial(self._find, router.vpc))
        resolver = Resolver(lambda: self._zones.get(router.vpc, {}))
        wanted: dict[Place, Serve] = {Place(here, router.metadata_address, _METADATA_PORT): metadata.serve}
        for address in router.resolver_addresses:
            wanted[Place(here, address, _DNS_PORT, "udp")] = resolver.serve_udp
            wanted[Place(here, address, _DNS_PORT)] = resolver.serve_tcp
        for address, service, region, account in router.endpoints:
            wanted[Place(here, address, _HTTPS_PORT)] = self._endpoint(Endpoint(service, region, account))
        return wanted

    def _endpoint(self, endpoint: Endpoint) -> Serve:
        watch = functools.partial(self._watch, endpoint.account) if self._watch is not None else None
        service = EndpointService(self._emulator, self.authority, self._keys, watch=watch)

        def serve(listener: socket.socket) -> None:
            service.serve(listener, endpoint)

        return serve


def _zone(router: Router, fabric: Fabric) -> dict[str, tuple[str, ...]]:
    region = next((region for _, _, region, _ in router.endpoints), "us-east-1")
    interfaces: dict[str, list[str]] = {}
    for address, service, _, _ in router.endpoints:
        interfaces.setdefault(service, []).append(address)
    here = [port.interface for port in fabric.ports if port.router == router.namespace]
    nodes = [interface.address for interface in here if interface.kind == "node"]
    return zone_of(region, interfaces=interfaces, s3=interfaces.pop(_S3, []), nodes=nodes)
