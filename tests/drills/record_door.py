"""A door of the cluster alone: rows that group commits write, as the platform writes its record."""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from audit.trail.group_commit import GroupCommit
from config.drills.consistency import Recorded

PATIENCE_S = 80.0
_TABLE = """
    create table if not exists drill_row (
        id uuid primary key, position bigint generated always as identity)"""
_WRITE = """
    insert into drill_row (id) select id from jsonb_to_recordset(%s::jsonb) as x(id uuid)
    on conflict (id) do nothing"""
_READ = "select id::text, position from drill_row where id = any(%s::uuid[])"
_NEWEST = "select coalesce(max(position), 0) from drill_row"
_OTHERS = """
    select id::text from drill_row where position > %s and not id = any(%s::uuid[])
    order by position"""


class RecordDoor:
    name = "record"
    size = 1

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._commits: GroupCommit | None = None

    async def ask(self, request: str) -> Sequence[str]:
        self._commits = self._commits or GroupCommit(self._dsn, _WRITE, patience_s=PATIENCE_S)
        await self._commits.write({"id": request})
        return [request]

    async def close(self) -> None:
        if self._commits:
            await self._commits.close()


def prepare(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_TABLE)


def recorded(dsn: str, ids: Sequence[str]) -> Mapping[str, Recorded]:
    return {name: Recorded(1, position) for name, position in _rows(dsn, _READ, list(ids))}


def newest(dsn: str) -> int:
    """Returns the position of the newest row."""
    return int(_rows(dsn, _NEWEST)[0][0])


def others(dsn: str, ids: Sequence[str], after: int) -> list[str]:
    return [name for (name,) in _rows(dsn, _OTHERS, after, list(ids))]


def _rows(dsn: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, connect_timeout=5) as connection:
        return connection.execute(query, parameters).fetchall()
