"""An export in use holds its stack: it can be neither deleted nor changed."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from stack_templates import parameter, template


def exporting(value: str | None) -> dict[str, Any]:
    outputs = {"Name": {"Value": value, "Export": {"Name": "shared"}}} if value else {"Other": {"Value": "x"}}
    return template(outputs, Own=parameter("own"))


IMPORTING = template(Theirs=parameter({"Fn::ImportValue": "shared"}))


@pytest.fixture
def pair(account: Any) -> Any:
    account.create("producer", exporting("one"))
    account.create("consumer", IMPORTING)
    return account


def test_the_value_arrives_and_the_import_is_listed(pair: Any) -> None:
    cloudformation = pair.client("cloudformation")
    assert [(e["Name"], e["Value"]) for e in cloudformation.list_exports()["Exports"]] == [("shared", "one")]
    assert cloudformation.list_imports(ExportName="shared")["Imports"] == ["consumer"]


def test_a_stack_whose_export_is_in_use_is_not_deleted(pair: Any) -> None:
    assert pair.delete("producer") == "CREATE_COMPLETE"
    assert pair.stack("producer")["StackStatusReason"] == (
        "Export shared cannot be deleted as it is in use by consumer"
    )
    assert pair.delete("consumer") == "DELETE_COMPLETE"
    assert pair.delete("producer") == "DELETE_COMPLETE"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("two", "Cannot update export shared as it is in use by consumer"),
        (None, "Export shared cannot be deleted as it is in use by consumer"),
    ],
)
def test_an_export_in_use_is_neither_changed_nor_taken_away(pair: Any, value: str | None, reason: str) -> None:
    assert pair.update("producer", exporting(value)) == "UPDATE_ROLLBACK_COMPLETE"
    assert pair.reason("producer", "producer", "UPDATE_ROLLBACK_IN_PROGRESS") == reason
    assert pair.client("cloudformation").list_exports()["Exports"][0]["Value"] == "one"


def test_an_export_in_use_can_be_changed_once_nobody_uses_it(pair: Any) -> None:
    pair.delete("consumer")
    assert pair.update("producer", exporting("two")) == "UPDATE_COMPLETE"


def test_two_stacks_cannot_export_one_name(pair: Any) -> None:
    assert pair.create("rival", exporting("three")) == "ROLLBACK_COMPLETE"
    assert "already exported by stack producer" in pair.reason("rival", "rival", "ROLLBACK_IN_PROGRESS")


def test_an_import_of_another_account_is_not_found(pair: Any, new_account: Any) -> None:
    other = new_account()
    assert other.create("consumer", IMPORTING) == "ROLLBACK_COMPLETE"
    with pytest.raises(ClientError, match="is not imported by any stack"):
        other.client("cloudformation").list_imports(ExportName="shared")
