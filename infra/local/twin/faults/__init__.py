"""What can be done to a twin so that it fails as federations do, and be taken back again.

``Faults`` is what the keeper, a test or a benchmark holds; it acts on a ``Ground``, which the keeper is.
"""

from infra.local.twin.faults.fault import Event, Fault
from infra.local.twin.faults.ground import Deniable, Ground
from infra.local.twin.faults.registry import Faults, recorded

__all__ = ["Deniable", "Event", "Fault", "Faults", "Ground", "recorded"]
