"""What answers in a VPC besides nodes: instance metadata, the resolver, and the endpoints of AWS's services.

Each service serves on sockets that it is given, already bound and in the right namespace, until they are shut.
"""

from infra.local.twin.services.authority import TwinAuthority, UnusableTwinAuthority
from infra.local.twin.services.endpoints import Endpoint, EndpointService, KeyAccounts
from infra.local.twin.services.metadata import Credentials, Metadata, MetadataService
from infra.local.twin.services.names import host_names, private_name
from infra.local.twin.services.operators import administrators_key, tunnel_endpoint
from infra.local.twin.services.resolver import Resolver, zone_of
from infra.local.twin.services.serving import Limits, shut
from infra.local.twin.services.signature import AccessKey
from infra.local.twin.services.tunnel import TunnelEndpoint, TunnelService

__all__ = [
    "AccessKey",
    "Credentials",
    "Endpoint",
    "EndpointService",
    "KeyAccounts",
    "Limits",
    "Metadata",
    "MetadataService",
    "Resolver",
    "TunnelEndpoint",
    "TunnelService",
    "TwinAuthority",
    "UnusableTwinAuthority",
    "administrators_key",
    "host_names",
    "private_name",
    "shut",
    "tunnel_endpoint",
    "zone_of",
]
