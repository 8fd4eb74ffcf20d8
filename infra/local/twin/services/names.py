"""The host names of AWS's services and of instances, as a VPC knows them."""

from __future__ import annotations

#: The Region whose S3 answers under the name without a Region as well.
_GLOBAL_S3 = "us-east-1"


def host_names(service: str, region: str) -> tuple[str, ...]:
    """Return the names of a service in a Region; ``*.`` stands for one label (a bucket).

    Args:
        service: the last part of the endpoint's service name: ``ssm`` of ``com.amazonaws.us-east-1.ssm``.
        region: the Region.

    Source: "AWS services that integrate with AWS PrivateLink"; "Virtual hosting of buckets" of the S3 User Guide.
    """
    names: tuple[str, ...] = (f"{service}.{region}.amazonaws.com",)
    if service != "s3":
        return names
    if region == _GLOBAL_S3:
        names += ("s3.amazonaws.com",)
    return tuple(form for name in names for form in (name, f"*.{name}"))


def private_name(address: str, region: str) -> str:
    """Return the name that a VPC gives to a private IPv4 address.

    Source: "EC2 instance hostnames, DNS names, and domains" of the EC2 User Guide.
    """
    domain = "ec2.internal" if region == _GLOBAL_S3 else f"{region}.compute.internal"
    return f"ip-{address.replace('.', '-')}.{domain}"


def matches(host: str, pattern: str) -> bool:
    """Say whether a host is named by a pattern, in which a leading ``*.`` is one label."""
    if pattern.startswith("*."):
        label, dot, rest = host.partition(".")
        return bool(label and dot) and rest == pattern[2:]
    return host == pattern
