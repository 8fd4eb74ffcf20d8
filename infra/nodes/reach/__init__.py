"""Run commands on a node, as its account allows: by Systems Manager, or by SSH through an Instance Connect Endpoint."""

from infra.nodes.reach.outcome import NobodyAnswers, Outcome, TimedOut, Transport
from infra.nodes.reach.ssh import Ssh
from infra.nodes.reach.ssm import Ssm

__all__ = ["NobodyAnswers", "Outcome", "Ssh", "Ssm", "TimedOut", "Transport"]
