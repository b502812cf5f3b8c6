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


class RecordDoor:
    name = "record"

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
    with psycopg.connect(dsn, connect_timeout=5) as connection:
        rows: list[tuple[Any, ...]] = connection.execute(_READ, [list(ids)]).fetchall()
    return {name: Recorded(1, position) for name, position in rows}
