"""The instance metadata service, version 2: what an instance asks at 169.254.169.254."""

from infra.local.twin.services.metadata.instance import Credentials, Metadata
from infra.local.twin.services.metadata.service import MetadataService

__all__ = ["Credentials", "Metadata", "MetadataService"]
