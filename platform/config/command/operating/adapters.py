"""`forebay adapters`: the adapters of a tenant of a running platform."""

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from config.command.operating import names
from config.command.operating.api_client import KEY, OF_TENANT, ApiClient, Misuse, Row, Trouble
from config.command.operating.collection import Collection
from config.command.operating.program import Program, Result, fields, outcome, table

LOOK_EVERY_S = 1.0
_COLUMNS = {
    "MODEL": "model",
    "VERSION": "version",
    "LOADING": "loading",
    "MARKED": "marked",
    "CREATED": "created_at",
}
_HISTORY = {
    "VERSION": "version",
    "STEP": "step",
    "ROLL-BACK": "is_rollback",
    "REASON": "reason",
    "PROMOTED": "created_at",
    "SERVED": "served_at",
}


def adapters(arguments: Sequence[str]) -> int:
    text = "The adapters of a tenant, with a key of the tenant or an operator key."
    program = Program("adapters", text, OF_TENANT, KEY)
    _add_tenant(program.shows("list", _list, "a tenant's adapters"))
    _add_subject(program.shows("show", _show, "an adapter"))
    _add_subject(program.shows("history", _history, "its versions so far, the latest first"))
    _add_subject(program.acts("create", _create, "a name on a model, if there is none yet"))
    promoting = program.acts("promote", _promote, "load a version, and serve it once engines can")
    _add_subject(promoting)
    promoting.add_argument("--version", required=True, help="NAME, NAME@2, or its id")
    promoting.add_argument("--wait", type=int, metavar="SECONDS", help="until it serves")
    _add_subject(program.acts("roll-back", _roll_back, "serve the version before again"))
    _add_subject(program.acts("remove", _remove, "serve the name no longer"))
    return program.main(arguments)


def _add_tenant(parser: ArgumentParser) -> None:
    parser.add_argument("tenant")


def _add_subject(parser: ArgumentParser) -> None:
    _add_tenant(parser)
    parser.add_argument("model", metavar="BASE:NAME")


class _Adapters(Collection):
    """Adapters, called BASE:NAME. The list does not filter by that."""

    def find(self, name: str) -> Row | None:
        return next((row for row in self.link.rows(self.path) if row["model"] == name), None)


def _adapters(link: ApiClient, typed: Namespace) -> Collection:
    return _Adapters.of_tenant(link, typed.tenant, "adapters", "adapter")


def _list(link: ApiClient, typed: Namespace) -> Result:
    return table(link.rows(_adapters(link, typed).path), _COLUMNS)


def _show(link: ApiClient, typed: Namespace) -> Result:
    return fields(_adapters(link, typed).row(typed.model))


def _history(link: ApiClient, typed: Namespace) -> Result:
    path = _adapters(link, typed).row_path(typed.model)
    return table(link.rows(f"{path}promotions/"), _HISTORY)


def _create(link: ApiClient, typed: Namespace) -> Result:
    base, colon, name = typed.model.rpartition(":")
    if not (base and colon and name):
        raise Misuse("an adapter is called BASE:NAME, such as deepseek-r1:support")
    adapters = _adapters(link, typed)
    if before := adapters.find(typed.model):
        return outcome("adapter", typed.model, "unchanged", before)
    if typed.dry_run:
        return outcome("adapter", typed.model, "would be created", None)
    return outcome("adapter", typed.model, "created", adapters.add(base=base, name=name))


def _promote(link: ApiClient, typed: Namespace) -> Result:
    adapters = _adapters(link, typed)
    row = adapters.row(typed.model)
    version = names.model_version(link, typed.tenant, typed.version)
    place = adapters.path_of(row)
    history = link.rows(f"{place}promotions/")
    present = (each for each in history if each["step"] in ("serving", "loading"))
    promotion = next((each for each in present if each["version_id"] == version), None)
    if typed.dry_run and promotion is None:
        return outcome("adapter", typed.model, "would be promoted", row)
    after = promotion or link.send("POST", f"{place}promote/", {"version": version}).body
    if typed.wait and not typed.dry_run:
        after = _served(link, place, after, typed.wait)
    if promotion and promotion["step"] == after["step"]:
        return outcome("adapter", typed.model, "unchanged", row)
    return outcome("promotion", typed.model, f"{after['version']} is {after['step']}", after)


def _served(link: ApiClient, place: str, promotion: Row, seconds: int) -> Row:
    """Returns the promotion once it serves. Raises Trouble if it does not."""
    until = time.monotonic() + seconds
    while promotion["step"] == "loading":
        if time.monotonic() > until:
            raise Trouble(f"{promotion['version']} is not loaded after {seconds} s")
        time.sleep(LOOK_EVERY_S)
        rows = link.rows(f"{place}promotions/")
        promotion = next(row for row in rows if row["id"] == promotion["id"])
    if promotion["step"] != "serving":
        reason = promotion["reason"] or "another version was promoted"
        raise Trouble(f"{promotion['version']} is {promotion['step']}: {reason}")
    return promotion


def _roll_back(link: ApiClient, typed: Namespace) -> Result:
    adapters = _adapters(link, typed)
    row = adapters.row(typed.model)
    if typed.dry_run:
        return outcome("adapter", typed.model, "would be rolled back", row)
    after = link.send("POST", f"{adapters.path_of(row)}rollback/", {}).body
    return outcome("promotion", typed.model, f"{after['version']} is {after['step']}", after)


def _remove(link: ApiClient, typed: Namespace) -> Result:
    return _adapters(link, typed).remove_if_any(typed.model, dry_run=typed.dry_run)
