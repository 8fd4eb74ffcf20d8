"""The federation's certificate authority, on the coordinator's side: it signs what a node asks for, and nothing else.

A node's key is made on the node and never comes here; what comes here is a signing request, which is public.
"""

from infra.identity.authority import Authority
from infra.identity.certificates import fits
from infra.identity.folder import UnusableAuthority
from infra.identity.requests import RequestRefused

__all__ = ["Authority", "RequestRefused", "UnusableAuthority", "fits"]
