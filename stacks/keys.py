"""The customer-managed key of a node's account: what is kept there can be read by nobody whom its policy does not let.

A key policy is the only place where KMS looks for another account's rights: nobody outside is named here, so that
neither the hub's account nor the coordinator can decrypt what a hospital keeps. A key that the organisation has already
(``kms_key``) is used as it is; :mod:`stacks.resource_policies` says what its policy must let happen.
"""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms

from infra.federation.derive import Node
from stacks.base import FederateStack
from stacks.permissions import policy
from stacks.resource_policies import key_statements

#: The longest that KMS offers: until then a deletion can be taken back, and what the key encrypts is not lost.
PENDING_DAYS = 30


@dataclass(frozen=True, slots=True)
class AccountKey:
    """A node's key.

    Args:
        attr_arn: its ARN; a CDK token where the key is made by the stack.
        made: the key, if the stack makes it; None where the account's own is used.
    """

    attr_arn: str
    made: kms.CfnKey | None


def account_key(stack: FederateStack, home: Node) -> AccountKey:
    """Make a node's key and its alias in a storage stack, or take the key that the federation names.

    The key goes or stays with what it encrypts. The alias always goes: it would keep its name from the next key.
    """
    if home.spec.kms_key is not None:
        stack.keep_from_before("Key")
        return AccountKey(home.spec.kms_key, None)
    key = kms.CfnKey(
        stack,
        "Key",
        description=f"Federate {home.federation}: what {home.id} keeps",
        enable_key_rotation=True,
        pending_window_in_days=PENDING_DAYS,
        key_policy=policy(*key_statements(home)),
    )
    stack.keep_or_delete(key)
    alias = kms.CfnAlias(stack, "KeyAlias", alias_name=home.key_alias, target_key_id=key.ref)
    alias.apply_removal_policy(RemovalPolicy.DESTROY)
    return AccountKey(key.attr_arn, key)
