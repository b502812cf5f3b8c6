"""Compares FOREBAY_ENGINES with PostgreSQL.

It finds what the next start would change, and what was added over the API or in the console.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.conf import settings

from inference.engine_entries import EngineEntry, Fields, entries
from inference.models import Engine, Model, Pool
from inference.registry.importing import engine_columns, is_same, pool_columns
from tenants.scope import system_scope

State = Literal["missing", "differs", "left", "api"]
MEANS: Mapping[State, str] = {
    "missing": "in FOREBAY_ENGINES alone: the next start adds it",
    "differs": "other in FOREBAY_ENGINES: the next start writes what that says",
    "left": "came from FOREBAY_ENGINES, which does not name it any more: the next start removes it",
    "api": "made over the API: FOREBAY_ENGINES does not name it, and it stays",
}
_KINDS: Mapping[str, type[Any]] = {"model": Model, "pool": Pool, "engine": Engine}


@dataclass(frozen=True, slots=True)
class Difference:
    kind: str  # a key of _KINDS
    name: str
    state: State
    fields: tuple[str, ...] = ()  # those that differ; "from_file": it was added over the API

    @property
    def at_next_start(self) -> bool:
        return self.state != "api"


def differences(configured: Mapping[str, Fields] | None = None) -> list[Difference]:
    """Compare the settings by default. Changes nothing. Raises ValueError for an invalid entry.

    Without FOREBAY_ENGINES a start imports nothing: then all belongs to the API.
    """
    has_file = configured is not None or settings.ENGINES or settings.ENGINES_DECLARED
    declared = entries(settings.ENGINES if configured is None else configured)
    with system_scope():
        columns = _columns(declared)
        leaving = _leaving(columns) if has_file else set()
        return [each for kind, names in columns.items() for each in _of_kind(kind, names, leaving)]


def _columns(declared: list[EngineEntry]) -> dict[str, dict[str, dict[str, Any]]]:
    """Returns the columns that an import would write, by kind and name; None for a new row."""
    models = {entry.model: Model.objects.filter(name=entry.model).first() for entry in declared}
    pools = {entry.pool: Pool.objects.filter(name=entry.pool).first() for entry in declared}
    first = {entry.pool: entry for entry in reversed(declared)}
    return {
        "model": {name: {} for name in models},
        "pool": {name: pool_columns(first[name], models) for name in pools},
        "engine": {e.engine: {"pool": pools[e.pool], **engine_columns(e)} for e in declared},
    }


def _leaving(columns: Mapping[str, Mapping[str, Any]]) -> set[Any]:
    """Returns rows that an import removes. A row with one of the API below it stays."""
    leaving = set[Any]()
    for kind, below in (("engine", ""), ("pool", "engines"), ("model", "pools")):
        for row in _KINDS[kind].objects.filter(from_file=True).exclude(name__in=columns[kind]):
            if not below or leaving.issuperset(getattr(row, below).all()):
                leaving.add(row)
    return leaving


def _of_kind(
    kind: str, declared: Mapping[str, dict[str, Any]], leaving: set[Any]
) -> Iterator[Difference]:
    rows = {row.name: row for row in _KINDS[kind].objects.all()}
    for name, columns in declared.items():
        if (row := rows.get(name)) is None:
            yield Difference(kind, name, "missing")
        elif fields := _changed(row, columns):
            yield Difference(kind, name, "differs", fields)
    for name in sorted(rows.keys() - declared.keys()):
        yield Difference(kind, name, "left" if rows[name] in leaving else "api")


def _changed(row: Any, columns: Mapping[str, Any]) -> tuple[str, ...]:
    fields = [name for name in columns if not is_same(row, name, columns)]
    return tuple(fields) if row.from_file else (*fields, "from_file")
