"""What moto lacks, or only records, of what operators ask and use: each answers as AWS does."""

import functools


@functools.cache
def apply() -> None:
    """Give moto in this process the further calls, once. As moto's own, their state belongs to the process."""
    # moto reads its settings when it is imported, so it is imported here: the rules beside it need no moto.
    from infra.local.aws.additions import (
        account_facts_api,
        alarms_api,
        connect_endpoints,
        console_output,
        log_keys,
        reboots,
        run_command_api,
        ssh_keys_api,
    )

    account_facts_api.add()
    alarms_api.add()
    connect_endpoints.add()
    log_keys.add()
    reboots.add()
    ssh_keys_api.add()
    run_command_api.add()
    console_output.add()


__all__ = ["apply"]
