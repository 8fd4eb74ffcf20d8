"""What moto lacks, or only records, of what operators use to reach a node: each answers as AWS does."""

import functools


@functools.cache
def apply() -> None:
    """Give moto in this process the further calls, once. As moto's own, their state belongs to the process."""
    # moto reads its settings when it is imported, so it is imported here: the rules beside it need no moto.
    from infra.local.aws.additions import alarms_api, connect_endpoints, run_command_api, ssh_keys_api

    alarms_api.add()
    connect_endpoints.add()
    ssh_keys_api.add()
    run_command_api.add()


__all__ = ["apply"]
