"""From federation.yaml to deployed accounts and back: synth, the phases, and the teardown with its audit.

Effects go through two doors only: :class:`~infra.accounts.Accounts` (AWS's APIs) and
:class:`~infra.deployment.cdk.Cdk` (the CDK command).
"""
