"""Imports FOREBAY_ENGINES into PostgreSQL at each start of a process.

Only differences are written, and by one process at a time. The file prevails: a name that it uses
is the file's from then on, and a row that has left it is removed, unless something added over the
API is below it. Then the row belongs to the API.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.db import connection

from audit.keys import configuration_secrets
from audit.keys.cipher import Unreadable
from inference import engine_launch
from inference.engine_entries import HOSTED, SLOTS, EngineEntry, Fields, entries
from inference.models import Engine, Model, Pool, Replacement
from inference.models.served import Declared, encrypted
from inference.registry.checking import check
from tenants.scope import system_scope

BY = "system:import"
_LOCK = 0x464F5252  # "FORR": simultaneous starts take turns
_COLUMNS = ("kind", "url", "api_key", "slots", "auto_slots", "hosted")
_DEFAULTS = {"slots": SLOTS, "auto_slots": False, "hosted": False, "api_key": ""}


def import_file(configured: Mapping[str, Fields] | None = None) -> None:
    """Imports FOREBAY_ENGINES by default. Raises ValueError for an invalid entry.

    Without FOREBAY_ENGINES it imports nothing: if somebody forgot it, all engines would be removed.
    """
    if configured is None and not (settings.ENGINES or settings.ENGINES_DECLARED):
        return
    declared = entries(settings.ENGINES if configured is None else configured)
    for entry in declared:
        check(entry)
    with system_scope():
        in_turn()
        _refuse_other_models(declared)
        _write(declared)


def in_turn() -> None:
    """Lock, so that one process at a time runs from here to the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s)", [_LOCK])


def _refuse_other_models(declared: list[EngineEntry]) -> None:
    """Refuse another model for a pool that has engines of the API: they would answer for it."""
    model_of, named = {e.pool: e.model for e in declared}, [e.engine for e in declared]
    others = Engine.objects.filter(from_file=False, pool__name__in=model_of)
    for engine in others.exclude(name__in=named).select_related("pool__model"):
        pool = engine.pool
        if pool.model.name != model_of[pool.name]:
            raise ValueError(
                f"pool {pool.name!r} serves {pool.model.name!r} with engines made over the API, "
                f"such as {engine.name!r}: name the one of {model_of[pool.name]!r} otherwise"
            )


def _write(declared: list[EngineEntry]) -> None:
    models = {
        name: _written(Model, name, position=at)
        for at, name in enumerate(dict.fromkeys(entry.model for entry in declared))
    }
    first = {
        entry.pool: entry for entry in reversed(declared)
    }  # all entries of a pool have its policy
    pools = {
        name: _written(Pool, name, position=at, **pool_columns(first[name], models))
        for at, name in enumerate(dict.fromkeys(entry.pool for entry in declared))
    }
    for at, entry in enumerate(declared):
        _written(Engine, entry.engine, pool=pools[entry.pool], position=at, **engine_columns(entry))
    _remove_others(Engine, {entry.engine for entry in declared})
    _remove_others(Pool, set(pools))
    _remove_others(Model, set(models))


def pool_columns(entry: EngineEntry, models: Mapping[str, Model | None]) -> dict[str, Any]:
    return {"model": models[entry.model], **asdict(entry.policy)}


def engine_columns(entry: EngineEntry) -> dict[str, Any]:
    values = {**_DEFAULTS, **entry.fields}
    options = {name: value for name, value in values.items() if name not in _COLUMNS}
    if launch := options.get("launch"):  # without its command, arguments and environment
        options["launch"] = engine_launch.read(values["kind"], launch).shown
    if values["auto_slots"]:
        values["slots"] = _last_slots(entry.engine) or values["slots"]
    values["hosted"] = values["hosted"] or values["kind"] in HOSTED
    columns = {name: values[name] for name in _COLUMNS}
    return {**columns, "options": options, "draining": _drains(entry)}


def _drains(entry: EngineEntry) -> bool:
    """Returns whether it drains. An elastic one waits for its worker, which a new one lacks."""
    if Replacement.objects.in_place_of(entry.engine).exists():
        return True
    if Engine.objects.filter(name=entry.engine, resting=True).exists():
        return True
    if not entry.fields.get("elastic"):
        return False
    was_draining = (
        Engine.objects.filter(name=entry.engine).values_list("draining", flat=True).first()
    )
    return was_draining is not False


def _last_slots(engine: str) -> int | None:
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
        is_restart = _has_new_port(row, changed)
        for field, value in _to_store(fields, changed).items():
            setattr(row, field, value)
        row.from_file = True
        row.save()
        if not is_restart:
            row.record("change", BY, fields=changed)
    return row


def _has_new_port(row: Any, changed: list[str]) -> bool:
    """Returns whether only the port of a launched server changed, which is no act of anybody."""
    return row.from_file and changed == ["url"] and row.launched


def _to_store(fields: dict[str, Any], changed: list[str]) -> dict[str, Any]:
    """Returns the values to store. A key is encrypted again for another pool or host."""
    names = {*changed, "api_key"} if {"pool", "url"}.intersection(changed) else set(changed)
    return {name: value for name, value in _stored(fields).items() if name in names}


def _stored(fields: dict[str, Any]) -> dict[str, Any]:
    api_key = fields.get("api_key", "")
    if not api_key or configuration_secrets.is_encrypted(
        api_key
    ):  # by seal_secret: it stays unchanged
        return fields
    return {**fields, "api_key": encrypted(api_key, fields["pool"].name, fields["url"])}


def is_same(row: Any, name: str, fields: Mapping[str, Any]) -> bool:
    """Compare a field; keys in clear, each decrypted for its own pool and host."""
    if name != "api_key":
        return bool(getattr(row, name) == fields[name])
    pool = fields.get("pool", row.pool)
    before = _opened(row.api_key, row.pool.name, row.url)
    return before == _opened(fields["api_key"], getattr(pool, "name", pool), fields["url"])


def _opened(secret: str, pool: str, url: str) -> str | None:
    try:
        return configuration_secrets.decrypt_secret(secret, pool, url)
    except Unreadable:
        return None


def _remove_others(table: type[Any], declared_names: set[str]) -> None:
    for row in table.objects.filter(from_file=True).exclude(name__in=declared_names):
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
