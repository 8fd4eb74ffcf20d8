"""The twin: what is deployed into loopback AWS, read back account by account, and given a body.

How much of a body is the depth: *processes* on loopback, which runs anywhere and proves no isolation; a *network* of
Linux namespaces with the routes and rules that are deployed; or *machines* in it that boot as instances do.
"""

from infra.local.twin.life import start, status, stop

__all__ = ["start", "status", "stop"]
