"""VPC endpoints: AWS's services under their real names, for the account of the VPC alone."""

from infra.local.twin.services.endpoints.keys import KeyAccounts
from infra.local.twin.services.endpoints.service import Endpoint, EndpointService

__all__ = ["Endpoint", "EndpointService", "KeyAccounts"]
