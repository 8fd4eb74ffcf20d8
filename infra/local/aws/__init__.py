"""AWS on loopback: moto's service APIs, repaired where they differ from AWS, behind a CloudFormation engine of ours.

Bound to 127.0.0.1. What it does not do (IAM is not enforced, among others) is said in ``docs/local.md``.
"""

from infra.local.aws import seeds

seeds.configure_moto()  # whatever is imported from here first, moto finds its switches
