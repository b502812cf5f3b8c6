"""Finds what a tenant has by the name that people use, such as `manual@2`."""

from contextlib import suppress
from uuid import UUID

from config.command.operating.api_client import ApiClient, Misuse, Trouble
from config.command.operating.collection import tenant_path


def data_set_version(link: ApiClient, tenant: str, text: str) -> str:
    """Returns the id of a version of a data set: its id, NAME@2, or NAME for the latest one.

    Raises Trouble.
    """
    if pk := _id(text):
        return pk
    name, number = _parts(text)
    path = tenant_path(tenant, "data-sets")
    row = next(link.rows(path, name=name), None)
    if row is None or not (number or row["latest"]):
        raise Trouble(f"{tenant} has no data set {text}: `forebay data-sets list` shows them")
    return str(link.get(f"{path}{row['id']}/versions/{number or row['latest']}/").body["id"])


def model_version(link: ApiClient, tenant: str, text: str) -> str:
    """Returns the id of a version of a model: its id, NAME@2, or NAME for the latest one.

    A tenant's own go before those of the platform. Raises Trouble.
    """
    if pk := _id(text):
        return pk
    name, number = _parts(text)
    rows = link.rows(tenant_path(tenant, "model-versions"), name=name)
    fitting = [row for row in rows if number in (0, row["number"]) and row["state"] == "ready"]
    if not fitting:
        raise Trouble(f"there is no version {text} that is ready, for {tenant}")
    return str(max(fitting, key=lambda row: (row["tenant"] is not None, row["number"]))["id"])


def _id(text: str) -> str:
    with suppress(ValueError):
        return str(UUID(text))
    return ""


def _parts(text: str) -> tuple[str, int]:
    """Returns name and number, 0 for the latest. Raises Misuse."""
    name, at, number = text.partition("@")
    if at and not (number.isascii() and number.isdecimal() and int(number)):
        raise Misuse(f"{text!r} is no version: its id, NAME or NAME@2")
    return name, int(number or 0)
