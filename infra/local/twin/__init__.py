"""The twin: what is deployed into loopback AWS, read back account by account, and given a body.

At the depth *processes*, which is the only one yet, a node is a process on loopback. That runs anywhere; it shows that
the nodes work, and proves no isolation.
"""

from infra.local.twin.life import start, status, stop

__all__ = ["start", "status", "stop"]
