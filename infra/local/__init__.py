"""A federation without an AWS account: AWS on loopback (``aws``), and the twin that gives its instances a body.

``ensure_up`` starts both and returns the environment in which every command of the toolkit reaches them.
"""

from infra.local.session import down, ensure_up, status

__all__ = ["down", "ensure_up", "status"]
