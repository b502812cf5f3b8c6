"""What FOREBAY_ENGINES and PostgreSQL say differently: what a next start would change, and what was
made over the API or on the console's pages, and stands in no file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.conf import settings

from inference.models import Engine, Model, Pool
from inference.pools import Entry, Fields, entries
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
    fields: tuple[str, ...] = ()  # of "differs"; "from_file": it was made over the API

    @property
    def at_next_start(self) -> bool:
        """Whether a start would change something."""
        return self.state != "api"


def differences(configured: Mapping[str, Fields] | None = None) -> list[Difference]:
    """Compares with the settings by default; changes nothing. Raises ValueError for no engine.

    Without FOREBAY_ENGINES a start imports nothing: then everything is the API's.
    """
    has_file = configured is not None or settings.ENGINES or settings.ENGINES_DECLARED
    named = entries(settings.ENGINES if configured is None else configured)
    with system_scope():
        wanted = _wanted(named)
        leaving = _leaving(wanted) if has_file else set()
        return [each for kind, named in wanted.items() for each in _of_kind(kind, named, leaving)]


def _wanted(named: list[Entry]) -> dict[str, dict[str, dict[str, Any]]]:
    """The columns that an import would write, by kind and name. None for a row to come."""
    models = {entry.model: Model.objects.filter(name=entry.model).first() for entry in named}
    pools = {entry.pool: Pool.objects.filter(name=entry.pool).first() for entry in named}
    first = {entry.pool: entry for entry in reversed(named)}
    return {
        "model": {name: {} for name in models},
        "pool": {name: pool_columns(first[name], models) for name in pools},
        "engine": {e.engine: {"pool": pools[e.pool], **engine_columns(e)} for e in named},
    }


def _leaving(wanted: Mapping[str, Mapping[str, Any]]) -> set[Any]:
    """Rows that an import removes: what was made over the API below one keeps it."""
    engines = [row for row in Engine.objects.all() if _may_leave(row, wanted["engine"])]
    pools = [
        row
        for row in Pool.objects.all()
        if _may_leave(row, wanted["pool"]) and not set(row.engines.all()) - {*engines}
    ]
    models = [
        row
        for row in Model.objects.all()
        if _may_leave(row, wanted["model"]) and not set(row.pools.all()) - {*pools}
    ]
    return {*engines, *pools, *models}


def _may_leave(row: Any, named: Mapping[str, Any]) -> bool:
    return row.from_file and row.name not in named


def _of_kind(
    kind: str, named: Mapping[str, dict[str, Any]], leaving: set[Any]
) -> Iterator[Difference]:
    rows = {row.name: row for row in _KINDS[kind].objects.all()}
    for name, columns in named.items():
        if (row := rows.get(name)) is None:
            yield Difference(kind, name, "missing")
        elif fields := _changed(row, columns):
            yield Difference(kind, name, "differs", fields)
    for name in sorted(rows.keys() - named.keys()):
        yield Difference(kind, name, "left" if rows[name] in leaving else "api")


def _changed(row: Any, columns: Mapping[str, Any]) -> tuple[str, ...]:
    fields = [name for name in columns if not is_same(row, name, columns)]
    return tuple(fields) if row.from_file else (*fields, "from_file")
