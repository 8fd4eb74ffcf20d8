"""The table: words of AWS's or the CDK command's, what they mean, and what to do. The first that fits counts.

Source of the words: "Error codes for the Amazon EC2 API"; "Common errors" in the API references of IAM, KMS, S3, STS
and CloudFormation; "Troubleshoot access denied error messages" in the IAM User Guide; "VPC peering connection
lifecycle" in the Amazon VPC Peering Guide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Exit codes: of what a person's credentials bring about, and of everything else that AWS refuses.
CREDENTIALS, REFUSED = 3, 4


@dataclass(frozen=True, slots=True)
class Entry:
    """Words and their meaning; ``{names}`` are the pattern's groups, or of the place that is asked about."""

    id: str
    pattern: re.Pattern[str]
    cause: str
    remedy: str
    exit_code: int = REFUSED


def _entry(id_: str, pattern: str, cause: str, remedy: str, exit_code: int = REFUSED) -> Entry:
    return Entry(id_, re.compile(pattern, re.DOTALL), cause, remedy, exit_code)


#: What stands for a name that the words left out.
UNSAID = {
    "type": "this instance type",
    "zone": "this zone",
    "image": "of this id",
    "limit": "too few",
    "action": "that",
    "who": "The caller",
    "name": "one of this name",
    "key": "the words say more",
    "others": "the error of a zone that lacks it lists them",
}
_TYPE = r"[a-z][\w-]*\.[\w-]+"
_ZONE = r"[a-z]{2}(?:-[a-z]+)+-\d[a-z]"
_DENIED = r"[Uu]ser: (?P<who>\S+) is not authorized to perform: (?P<action>[\w-]+:\w+)"

#: What is particular stands before what is general.
ENTRIES: tuple[Entry, ...] = (
    # Capacity, quotas and images
    _entry(
        "vcpu-quota",
        r"VcpuLimitExceeded|more vCPU capacity than your current vCPU limit of (?P<limit>\d+)",
        "The account may run {limit} vCPUs of this family of instance types, which is less than the node needs.",
        'Ask for more in Service Quotas (EC2, "Running On-Demand … instances"; for spot, "All … Spot Instance '
        'Requests"), or choose a smaller instance_type.',
    ),
    _entry(
        "no-capacity",
        rf"InsufficientInstanceCapacity|do not have sufficient (?P<type>{_TYPE}) capacity"
        rf"(?:.*?requested \((?P<zone>{_ZONE})\))?|no Spot capacity available",
        "AWS has no machine of {type} free in {zone} now; the account's quota is not the matter.",
        "Wait and try again, or choose another availability_zone or instance_type; a spot node may become spot: false.",
    ),
    _entry(
        "zone-without-type",
        rf"instance type \((?P<type>{_TYPE})\) is not supported in your requested Availability Zone "
        rf"\((?P<zone>{_ZONE})\)"
        r"(?:.*?or choosing (?P<others>[\w, -]+))?",
        "{zone} does not offer {type}; that is so for good.",
        "Set availability_zone to one that does ({others}), or choose another instance_type. A network that exists in "
        "the old zone has to be destroyed first: federate destroy --only NODE.",
    ),
    _entry(
        "image-missing",
        r"InvalidAMIID\.(?:NotFound|Unavailable|Malformed)|image id '\[?(?P<image>ami-\w+)\]?' does not exist",
        "The account's Region has no image {image}: it was deleted, it is of another Region, or of another account "
        "that has not shared it.",
        "Correct the image of this Region in the federation's file (images, or the node's own image); images are "
        "copied from Region to Region, each with an id of its own.",
    ),
    _entry(
        "image-not-shared",
        r"Not authorized for images: \[(?P<image>ami-\w+)\]",
        "{image} exists, but its owner has not given this account the permission to launch it.",
        "federate image share adds this account where the aggregator's account owns the image; any other owner "
        "does it with aws ec2 modify-image-attribute --image-id {image} --launch-permission "
        "Add=[{{UserId=ACCOUNT}}]. An image encrypted with AWS's own key cannot be shared (docs/machine-image.md).",
    ),
    _entry(
        "image-architecture",
        r"The architecture '(?P<key>\w+)' of the specified instance type does not match the architecture "
        r"'(?P<name>\w+)'",
        "The instance type is {key}, the image {name}.",
        "Name an image for {key}, or choose an instance_type of {name}.",
    ),
    _entry(
        "unsupported",
        r"\bUnsupported\b|requested configuration is currently not supported",
        "The zone does not offer this instance type as it is asked for.",
        "Choose another availability_zone or instance_type.",
    ),
    _entry(
        "spot-quota",
        r"MaxSpotInstanceCountExceeded|Max spot instance count exceeded",
        "The account's quota of spot instances of this family is used up.",
        'Ask for more in Service Quotas (EC2, "All … Spot Instance Requests"), or set spot: false.',
    ),
    _entry(
        "vpc-quota",
        r"VpcLimitExceeded|maximum number of VPCs has been reached",
        "The account has as many VPCs in this Region as its quota allows (5 unless it was raised).",
        'Delete a VPC that nobody needs, or ask for more in Service Quotas (Amazon VPC, "VPCs per Region").',
    ),
    _entry(
        "peering-quota",
        r"VpcPeeringConnection(?:s|PerVpc)*LimitExceeded|limit on the number of (?:active|outstanding) VPC peering",
        "A VPC has as many peering connections as its quota allows (50 active ones unless it was raised).",
        "Delete peerings that nobody needs, those that wait for acceptance too, or ask for more in Service Quotas "
        "(Amazon "
        'VPC, "Active VPC peering connections per VPC"; at most 125).',
    ),
    # Networks
    _entry(
        "peering-failed",
        r"incorrect VPC-ID, Account ID, or overlapping CIDR range|overlapping (?:IPv4 )?CIDR",
        "The two VPCs overlap in their address ranges, or the hub's VPC is not (any more) the one that was named.",
        "Give one of them another cidr: that of a VPC cannot be changed, so destroy the site first (federate destroy "
        "--only SITE). If the hub was made anew, deploy all: federate deploy.",
    ),
    _entry(
        "address-in-use",
        r"Address (?P<name>[\d.]+) is in use|InvalidIPAddress\.InUse|PrivateIpAddress.*already in use",
        "The fixed address {name} of the node is held by another interface.",
        "Delete the interface that holds it (aws ec2 describe-network-interfaces --filters "
        "Name=private-ip-address,Values={name} --region {region} --profile {profile}), left by an earlier attempt or "
        "not of this federation.",
    ),
    _entry(
        "subnet-conflict",
        r"InvalidSubnet\.Conflict|conflicts with another subnet",
        "Another subnet of the VPC has these addresses.",
        "Delete that subnet, if it is nobody's, or give the node another cidr.",
    ),
    _entry(
        "in-use",
        r"DependencyViolation|has dependencies and cannot be deleted|has a dependent object|resource is in use",
        "Something that Federate has not made hangs on what is to be deleted: an interface, a security group, an "
        "endpoint.",
        "Find it (aws ec2 describe-network-interfaces --filters Name=vpc-id,Values=VPC --region {region} --profile "
        "{profile}) and delete it, if it is nobody's.",
    ),
    # What exists already, what is not empty, what is locked
    _entry(
        "bucket-exists",
        r"BucketAlreadyExists|BucketAlreadyOwnedByYou|requested bucket name is not available",
        "A bucket of this name exists, in this account or in somebody else's: names of buckets are the world's.",
        "If it is left from an earlier federation, empty and delete it, or take it over as your own bucket in the "
        "file; otherwise choose another name for the federation.",
    ),
    _entry(
        "bucket-not-empty",
        r"BucketNotEmpty|bucket you tried to delete is not empty",
        "Somebody still writes into the bucket, or holds versions of objects in it.",
        "Stop who writes there: the next attempt empties the bucket anew. What is to stay is declared in the file: "
        "on_destroy: retain.",
    ),
    _entry(
        "exists",
        r"(?:with name|with identifier) '?(?P<name>[\w./:-]+?)'? already exists|EntityAlreadyExists|AlreadyExists",
        "The account has {name} already, and it does not belong to this stack: it was made by hand, by another "
        "federation of this name, or is left from one.",
        "Delete or rename it, if it is nobody's, or choose another name for the federation.",
    ),
    _entry(
        "kms-key",
        r"KMS\.(?:Disabled|InvalidState|KMSInvalidState)|KMSInvalidState|DisabledException|InvalidKmsKey"
        r"|KMSKeyNotAccessible"
        r"|(?P<key>arn:aws[\w-]*:kms:\S+) is (?:disabled|pending (?:deletion|import))|Client error on launch"
        r"|not authorized to perform: kms:",
        "The KMS key that encrypts the disk or bucket cannot be used: it is disabled, waits for its deletion, or its "
        "policy leaves out who needs it ({key}).",
        "Enable it (aws kms cancel-key-deletion, then aws kms enable-key --key-id KEY --region {region} --profile "
        "{profile}), or correct its policy. Without the key what it has encrypted cannot be read by anyone.",
    ),
    # Permissions
    _entry(
        "peering-role",
        r"cannot accept peering|not authorized to perform: sts:AssumeRole on resource: (?P<name>\S+)"
        r"|not authorized to perform: ec2:AcceptVpcPeeringConnection",
        "The hub lets this account accept no peering: its role for the site ({name}) is missing, trusts another "
        "account, or is for another VPC.",
        "The coordinator deploys the hub with this site in the file: federate deploy --only aggregator. Then the "
        "site's deployment.",
    ),
    _entry(
        "denied-by-scp",
        rf"{_DENIED}.*explicit deny in a (?:service|resource) control policy",
        "A service control policy of the organisation denies {action} in this account; nobody in the account can lift "
        "that.",
        "Ask who administers the organisation to allow it, or to name the Region, type or tag that is allowed.",
        CREDENTIALS,
    ),
    _entry(
        "denied-by-boundary",
        rf"{_DENIED}.*permissions boundary",
        "The permissions boundary of {who} does not allow {action}.",
        "Who administers the account widens the boundary, or lets this be deployed by another role. If the boundary "
        "is one for roles that are made here, name it in the file as the account's permissions_boundary.",
        CREDENTIALS,
    ),
    _entry(
        "denied",
        rf"{_DENIED}",
        "{who} may not do {action} (the words say on what).",
        "Who administers the account allows {action} for it, or another profile is named in the file.",
        CREDENTIALS,
    ),
    # Credentials and clock
    _entry(
        "clock",
        r"RequestTimeTooSkewed|Signature (?:expired|not yet current)"
        r"|difference between the request time and the current time"
        r"|RequestExpired|Request has expired",
        "The clock of this machine is wrong by more than five minutes, so AWS takes what it signs for old or not yet "
        "valid.",
        "Set the clock (timedatectl set-ntp true, or the system's settings), and compare: date -u.",
        CREDENTIALS,
    ),
    _entry(
        "expired",
        r"ExpiredToken|token included in the request is expired|(?:SSO|[Tt]oken).{0,60}(?:has |is )expired"
        r"|TokenRefreshRequired"
        r"|Error loading SSO Token|Error when retrieving token",
        "The credentials of the profile were for a time, and that is over.",
        "Log in again: aws sso login --profile {profile} (or whatever gives you the profile's keys).",
        CREDENTIALS,
    ),
    _entry(
        "key-unknown",
        r"InvalidClientTokenId|UnrecognizedClientException|InvalidAccessKeyId|AuthFailure.*not able to validate"
        r"|security token included in the request is invalid",
        "AWS does not know the access key of the profile: it was deleted or deactivated, or mistyped.",
        "Give the profile a key that is valid: aws configure --profile {profile}, or aws sso login --profile "
        "{profile}.",
        CREDENTIALS,
    ),
    _entry(
        "key-wrong",
        r"SignatureDoesNotMatch|IncompleteSignature",
        "The secret key of the profile does not belong to its access key, or was cut off when it was copied.",
        "Enter both anew: aws configure --profile {profile}.",
        CREDENTIALS,
    ),
    _entry(
        "no-profile",
        r"config profile \((?P<name>[^)]+)\) could not be found",
        "There is no profile {name} in ~/.aws/config or ~/.aws/credentials.",
        "Set it up: aws configure --profile {name}, or aws configure sso --profile {name}; or name another in the "
        "file.",
        CREDENTIALS,
    ),
    _entry(
        "no-credentials",
        r"Unable to locate credentials|Partial credentials found|NoCredentials"
        r"|Could not load credentials from any providers",
        "The profile exists, and has no credentials.",
        "Give it some: aws configure --profile {profile}, or aws sso login --profile {profile}.",
        CREDENTIALS,
    ),
    _entry(
        "region-off",
        r"OptInRequired|not subscribed to this service|is not supported in this (?:region|Region)|InvalidRegion",
        "The account has not enabled this Region or service.",
        "Enable it (Account settings, AWS Regions), or name another region in the file.",
    ),
    # AWS itself
    _entry(
        "throttled",
        r"Throttl|Rate exceeded|RequestLimitExceeded|Request limit exceeded|TooManyRequests|SlowDown",
        "Too many calls in this account at once: AWS has refused the same one several times, with longer pauses each "
        "time. Others may be deploying there.",
        "Wait a minute.",
    ),
    _entry(
        "aws-ill",
        r"InternalFailure|InternalError|ServiceUnavailable|Service is unavailable|\((?:500|502|503|504)\)",
        "AWS failed, several times one after the other; nothing here is wrong.",
        "See https://health.aws.amazon.com, and try later.",
    ),
    _entry(
        "stack-busy",
        r"is in (?P<name>\w+_IN_PROGRESS) state and can ?not be (?:updated|deleted)",
        "Somebody else is changing this stack.",
        "Wait until that is over.",
    ),
    _entry(
        "protected",
        r"(?:Stack \[(?P<name>[^\]]+)\].{0,40})?TerminationProtection is enabled",
        "The stack is protected against its deletion.",
        "If it is really to go: aws cloudformation update-termination-protection --no-enable-termination-protection "
        "--stack-name {name} --region {region} --profile {profile}.",
    ),
    # The CDK command
    _entry(
        "cdk-version",
        r"CDK CLI is not compatible|Maximum schema version supported|newer version of the CDK CLI"
        r"|Cloud assembly schema version",
        "The CDK command is of another version than the CDK library that made the templates.",
        "make setup installs the one that fits; FEDERATE_CDK, if it is set, names another: unset it.",
    ),
    _entry(
        "cdk-bootstrap",
        r"environment been bootstrapped|cdk-bootstrap/\w+/version not found|requires? bootstrap stack version",
        "synthesizer: default needs the CDK's bootstrap stack in the account, which is not there, or too old.",
        "cdk bootstrap aws://ACCOUNT/{region} --profile {profile}; or leave synthesizer out of the file.",
    ),
    # Anything else that runs out
    _entry(
        "quota",
        r"LimitExceeded|maximum number of [\w ]+ has been reached|Cannot exceed quota|ServiceQuotaExceeded"
        r"|exceeds? the (?:maximum )?(?:quota|limit)",
        "A quota of the account is used up; the words name it.",
        "Delete what nobody needs, or ask for more in Service Quotas.",
    ),
)
