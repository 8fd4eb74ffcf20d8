"""What is left of a federation in an account, asked of every service and not of CloudFormation, which may not know."""

from infra.deployment.audit.run import Audit, audit, fully_chosen

__all__ = ["Audit", "audit", "fully_chosen"]
