"""What FOREBAY_ENGINES names comes into PostgreSQL, each time that a process starts.

It is written only where it differs, and by one process at a time. The file has its way: a name that
it uses is the file's from then on, and what has left it is removed, unless something that was made
over the API stands below it. Then that is the API's from then on.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.db import connection

from audit.keys import configuration
from audit.keys.cipher import Unreadable
from inference import launching
from inference.models import Engine, Model, Pool, Replacement
from inference.models.served import Declared, encrypted
from inference.pools import HOSTED, SLOTS, Entry, Fields, entries
from inference.registry.checking import check
from tenants.scope import system_scope

BY = "system:import"
_LOCK = 0x464F5252  # "FORR": two starts at once take turns
_COLUMNS = ("kind", "url", "api_key", "slots", "auto_slots", "hosted")
_USUALLY = {"slots": SLOTS, "auto_slots": False, "hosted": False, "api_key": ""}


def import_file(configured: Mapping[str, Fields] | None = None) -> None:
    """By itself what the settings have. Raises ValueError for what is no engine.

    Without FOREBAY_ENGINES nothing: where somebody forgot it, the engines of all would be gone.
    """
    if configured is None and not (settings.ENGINES or settings.ENGINES_DECLARED):
        return
    found = entries(settings.ENGINES if configured is None else configured)
    for entry in found:
        check(entry)
    with system_scope():
        in_turn()
        _write(found)


def in_turn() -> None:
    """One process at a time from here to the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s)", [_LOCK])


def _write(found: list[Entry]) -> None:
    models = {
        name: _written(Model, name, position=at)
        for at, name in enumerate(dict.fromkeys(entry.model for entry in found))
    }
    first = {entry.pool: entry for entry in reversed(found)}  # all of a pool have its policy
    pools = {
        name: _written(Pool, name, position=at, **pool_columns(first[name], models))
        for at, name in enumerate(dict.fromkeys(entry.pool for entry in found))
    }
    for at, entry in enumerate(found):
        _written(Engine, entry.engine, pool=pools[entry.pool], position=at, **engine_columns(entry))
    _left(Engine, {entry.engine for entry in found})
    _left(Pool, set(pools))
    _left(Model, set(models))


def pool_columns(entry: Entry, models: Mapping[str, Model | None]) -> dict[str, Any]:
    return {"model": models[entry.model], **asdict(entry.policy)}


def engine_columns(entry: Entry) -> dict[str, Any]:
    given = {**_USUALLY, **entry.fields}
    options = {name: value for name, value in given.items() if name not in _COLUMNS}
    if launch := options.get("launch"):  # its command, arguments and environment stay out
        options["launch"] = launching.read(given["kind"], launch).shown
    if given["auto_slots"]:
        given["slots"] = _said_last(entry.engine) or given["slots"]
    given["hosted"] = given["hosted"] or given["kind"] in HOSTED
    columns = {name: given[name] for name in _COLUMNS}
    return {**columns, "options": options, "draining": _drains(entry)}


def _drains(entry: Entry) -> bool:
    """An elastic one has its worker's last word, which a new one has not had yet."""
    if Replacement.objects.in_place_of(entry.engine).exists():
        return True
    if not entry.fields.get("elastic"):
        return False
    known = Engine.objects.filter(name=entry.engine).values_list("draining", flat=True).first()
    return known is not False


def _said_last(engine: str) -> int | None:
    """How many slots it has, by its own word; None where nobody has asked for that yet."""
    rows = Engine.objects.filter(name=engine, auto_slots=True)
    return rows.values_list("slots", flat=True).first()


def _written(table: type[Any], name: str, **fields: Any) -> Any:
    row: Declared | None = table.objects.filter(name=name).first()
    if row is None:
        row = table(name=name, from_file=True, **_stored(fields))
        row.save(force_insert=True)
        row.record("add", BY)
        return row
    changed = [name for name in fields if not is_same(row, name, fields)]
    if changed or not row.from_file:
        ours = _is_our_own_doing(row, changed)
        for field, value in _to_store(fields, changed).items():
            setattr(row, field, value)
        row.from_file = True
        row.save()
        if not ours:
            row.record("change", BY, fields=changed)
    return row


def _is_our_own_doing(row: Any, changed: list[str]) -> bool:
    """A server that `make run` starts may have another port each time: that is nobody's act."""
    return row.from_file and changed == ["url"] and row.launched


def _to_store(fields: dict[str, Any], changed: list[str]) -> dict[str, Any]:
    """A key is encrypted for its pool and its host: it is encrypted anew for another one."""
    names = {*changed, "api_key"} if {"pool", "url"}.intersection(changed) else set(changed)
    return {name: value for name, value in _stored(fields).items() if name in names}


def _stored(fields: dict[str, Any]) -> dict[str, Any]:
    api_key = fields.get("api_key", "")
    if not api_key or configuration.is_encrypted(api_key):  # by seal_secret: it stays as it is
        return fields
    return {**fields, "api_key": encrypted(api_key, fields["pool"].name, fields["url"])}


def is_same(row: Any, name: str, fields: Mapping[str, Any]) -> bool:
    """A key is compared as it is in clear, each as its own pool and host open it."""
    if name != "api_key":
        return bool(getattr(row, name) == fields[name])
    pool = fields.get("pool", row.pool)
    before = _opened(row.api_key, row.pool.name, row.url)
    return before == _opened(fields["api_key"], getattr(pool, "name", pool), fields["url"])


def _opened(secret: str, pool: str, url: str) -> str | None:
    try:
        return configuration.decrypt_secret(secret, pool, url)
    except Unreadable:
        return None


def _left(table: type[Any], named: set[str]) -> None:
    for row in table.objects.filter(from_file=True).exclude(name__in=named):
        if _has_more(row):
            row.from_file = False
            row.save(update_fields=["from_file"])
            row.record("change", BY, fields=["from_file"])
        else:
            row.record("remove", BY)
            row.delete()


def _has_more(row: Any) -> bool:
    below = {Model: "pools", Pool: "engines"}.get(type(row))
    return bool(below and getattr(row, below).exists())
