"""Whether the machine image can be launched in the account, and its volumes encrypted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.errors import Problem, Severity
from infra.federation.derive import Node, nodes
from infra.images import sharing
from infra.preflight.capacity import instance_types
from infra.preflight.check import Check, Visit, code_of, is_refusal

_NOT_THERE = ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidAMIID.Malformed")


def image(visit: Visit) -> Iterator[Problem]:
    """Find nodes without an image, and images that the account does not see, or cannot launch."""
    yield from _unpinned(visit)
    for id_, users in _images(visit).items():
        found = _describe(visit, id_)
        names = ", ".join(node.id for node in users)
        if found is None:
            yield visit.problem(
                f"the account does not see the image {id_} (of {names}): there is none, or it is not shared with it.",
                "An image of this Region that the account owns, or has launch permission for.",
                "Where the aggregator's account owns it: federate image share. Any other owner shares it with aws ec2 "
                f"modify-image-attribute --image-id {id_} --region {visit.region} "
                f"--launch-permission 'Add=[{{UserId={visit.account}}}]'.",
            )
        elif found.get("State", "available") != "available":
            yield visit.problem(
                f"the image {id_} (of {names}) is {found['State']}.", "available", "Wait for it, or name another."
            )
        else:
            yield from _encryption(visit, found)
            yield from _owner(visit, found)


def shared(visit: Visit) -> Iterator[Problem]:
    """Find accounts that may not launch an image of the aggregator's: also those that nobody here can ask."""
    for one in sharing.read(visit.federation, visit.accounts):
        for account in one.lacking:
            yield visit.problem(
                f"account {one.whose(account)} may not launch the image {one.image} of this account ({one.region}).",
                "Launch permission for each account whose nodes get it.",
                "federate image share shows what is lacking, and adds it.",
                Severity.WARNING,
            )


def _unpinned(visit: Visit) -> Iterator[Problem]:
    """Find nodes that are to be made and have no image; one that is deployed keeps the image that it has."""
    without = {node.id for node in visit.nodes if not node.image}
    if not without:
        return
    there = {stack["StackName"] for stack in visit.stacks_there()}
    for stack in visit.stacks:
        if stack.node in without and stack.id.startswith(("HubNode", "SiteNode-")) and stack.name not in there:
            yield visit.problem(
                f"no machine image is pinned for {stack.node}.",
                "Every node needs one.",
                "federate image lock pins the newest of the pipeline; federate image lock --ami AMI your own.",
            )


def _images(visit: Visit) -> dict[str, list[Node]]:
    users: dict[str, list[Node]] = {}
    for node in visit.nodes:
        if node.image:
            users.setdefault(node.image, []).append(node)
    return users


def _describe(visit: Visit, id_: str) -> Mapping[str, Any] | None:
    def ask() -> Mapping[str, Any] | None:
        try:
            found = visit.client("ec2").describe_images(ImageIds=[id_])["Images"]
        except ClientError as error:
            if code_of(error) not in _NOT_THERE:
                raise
            return None
        return found[0] if found else None

    return visit.once(f"image {id_}", ask)


def _owner(visit: Visit, found: Mapping[str, Any]) -> Iterator[Problem]:
    known = {node.account for node in nodes(visit.federation)}
    owner = found.get("OwnerId", "")
    if owner not in known and found.get("ImageOwnerAlias") != "amazon":
        yield visit.problem(
            f"the image {found['ImageId']} belongs to account {owner}, which is none of the federation's.",
            "",
            "Make sure that you trust it: it runs with the node's role.",
            Severity.NOTICE,
        )


def _encryption(visit: Visit, found: Mapping[str, Any]) -> Iterator[Problem]:
    """Look whether the snapshots of another account's image can be decrypted here."""
    if found.get("OwnerId") == visit.account:
        return
    disks = [mapping["Ebs"] for mapping in found.get("BlockDeviceMappings", []) if "Ebs" in mapping]
    for disk in disks:
        if disk.get("Encrypted"):
            yield from _key_of(visit, found["ImageId"], found.get("OwnerId", ""), disk.get("SnapshotId", ""))


def _key_of(visit: Visit, image_id: str, owner: str, snapshot: str) -> Iterator[Problem]:
    remedy = (
        f"Share an unencrypted image without data: the node's volumes are encrypted with the account's own key at "
        f"launch. Or account {owner} shares the key with account {visit.account} as well."
    )
    try:
        told = visit.client("ec2").describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
        key = told[0].get("KmsKeyId", "") if told else ""
        if key:
            visit.client("kms").describe_key(KeyId=key)
            return
        why = f"its snapshot {snapshot} is not shared"
    except (BotoCoreError, ClientError) as error:
        if is_refusal(error) and "resource-based policy" not in str(error):
            yield visit.problem(
                f"not checked: whether the key of the encrypted image {image_id} is shared with the account "
                f"({code_of(error)}).",
                "The check needs ec2:DescribeSnapshots, kms:DescribeKey.",
                remedy,
                Severity.WARNING,
            )
            return
        why = f"its key is not shared: {error}"
    yield visit.problem(f"the image {image_id} of account {owner} is encrypted, and {why}.", "", remedy)


def architecture(visit: Visit) -> Iterator[Problem]:
    """Find nodes whose image is for other processors than their instance type has."""
    types = instance_types(visit, {node.spec.instance_type for node in visit.nodes})
    for node in visit.nodes:
        found = _describe(visit, node.image) if node.image else None
        told = types.get(node.spec.instance_type)
        if found is None or told is None or not found.get("Architecture"):
            continue  # what is not there is named by the checks for it
        has = told["ProcessorInfo"]["SupportedArchitectures"]
        if found["Architecture"] not in has:
            yield visit.problem(
                f"{node.id}: {node.spec.instance_type} has {', '.join(has)}, and the image {node.image} is for "
                f"{found['Architecture']}.",
                "Both alike.",
                "Choose another image or instance type.",
            )


def default_key(visit: Visit) -> Iterator[Problem]:
    """Find an account whose default key for volumes cannot be used, and one whose images could not be shared."""
    ec2 = visit.client("ec2")
    by_default = ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"]
    key = str(ec2.get_ebs_default_kms_key_id()["KmsKeyId"])
    is_awss = key.endswith("alias/aws/ebs")
    if not is_awss:
        told = visit.client("kms").describe_key(KeyId=key)["KeyMetadata"]
        is_awss = told.get("KeyManager") == "AWS"
        if told["KeyState"] != "Enabled":
            yield visit.problem(
                f"the account's default key for volumes, {key}, is {told['KeyState']}.",
                "Enabled: volumes that name no key of their own cannot be made with it.",
                f"aws kms enable-key --key-id {key} {visit.cli}, or choose another default key.",
                Severity.ERROR if by_default else Severity.WARNING,
            )
    if by_default and is_awss and visit.is_hub:
        yield visit.problem(
            "the account encrypts new volumes with AWS's own key by default.",
            "An image that is made here would be encrypted with it, and could not be shared with the sites.",
            "Make the image in another account or Region, or with a key of your own.",
            Severity.NOTICE,
        )


def named_key(visit: Visit) -> Iterator[Problem]:
    """Find keys that the federation names and that cannot be used."""
    for node in visit.nodes:
        if not node.spec.kms_key:
            continue
        try:
            told = visit.client("kms").describe_key(KeyId=node.spec.kms_key)["KeyMetadata"]
        except ClientError as error:
            if code_of(error) != "NotFoundException":
                raise
            yield visit.problem(f"there is no key {node.spec.kms_key} (kms_key of {node.id}).", "", "Correct it.")
            continue
        fits = told.get("KeySpec", "SYMMETRIC_DEFAULT") == "SYMMETRIC_DEFAULT"
        if told["KeyState"] != "Enabled" or not fits:
            what = told["KeyState"] if fits else f"for {told['KeySpec']}"
            # One whose deletion is taken back is disabled at first.
            back = ["cancel-key-deletion"] * (told["KeyState"] == "PendingDeletion") + ["enable-key"]
            commands = ", then ".join(f"aws kms {each} --key-id {node.spec.kms_key} {visit.cli}" for each in back)
            yield visit.problem(
                f"the key {node.spec.kms_key} (kms_key of {node.id}) is {what}.",
                "An enabled, symmetric key for encryption.",
                f"{commands}; or name another." if fits else "Name another.",
            )


def _names_keys(visit: Visit) -> bool:
    return any(node.spec.kms_key for node in visit.nodes)


CHECKS = (
    Check(
        "image",
        "Can the account launch the nodes' machine images?",
        ("ec2:DescribeImages", "ec2:DescribeSnapshots", "kms:DescribeKey", "cloudformation:ListStacks"),
        image,
    ),
    Check(
        "image-share",
        "May the accounts of all sites launch the images that the aggregator's account owns?",
        ("ec2:DescribeImages", "ec2:DescribeImageAttribute"),
        shared,
        lambda visit: visit.is_hub,
    ),
    Check(
        "architecture",
        "Are the nodes' images made for the processors of their instance types?",
        ("ec2:DescribeImages", "ec2:DescribeInstanceTypes"),
        architecture,
    ),
    Check(
        "volume-key",
        "Can the account's default key for volumes be used?",
        ("ec2:GetEbsEncryptionByDefault", "ec2:GetEbsDefaultKmsKeyId", "kms:DescribeKey"),
        default_key,
    ),
    Check("key", "Can the key be used that the federation names?", ("kms:DescribeKey",), named_key, _names_keys),
)
