"""Rows, index entries and WAL of a request: what its two commits write, read from the WAL.

Full-page images are left out: they depend on the last checkpoint, not on the request.
"""

import asyncio
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import uvloop
from channels.db import database_sync_to_async as in_database
from django.conf import settings

from audit.keys.keyring import keyring
from bench.figures import Aim, cell, paragraphs, table, tell
from bench.parts import many_tenants as tenants
from bench.parts.audit.path import RecordPath, make_old_completions, orders
from bench.servers.processes import use_by_role
from config.supervisor.embedded.postgres_programs import SystemUser, binaries
from inference.order import Order

TENANTS = 100
OLD = 100_000  # completions that are there already
AT_ONCE = (1, 64)
WARMUP = 200  # requests
MOST_ENTRIES = 20
_RECORD = re.compile(
    r"^rmgr: (\w+)\s+len \(rec/tot\): +(\d+).*desc: (\S+).*blkref #0: rel \d+/\d+/(\d+)", re.M
)
_HEAP = {"INSERT": "inserted", "UPDATE": "updated", "HOT_UPDATE": "hot", "DELETE": "deleted"}
_ENTRIES = ("INSERT_LEAF", "INSERT_POST", "SPLIT_L", "SPLIT_R")
# A partition and its indexes count as their parents, a TOAST table as the table that it is for.
_RELATIONS = """
    with recursive up as (
        select c.oid, c.oid as top from pg_class c where not relispartition
        union all select i.inhrelid, up.top from pg_inherits i join up on i.inhparent = up.oid)
    select pg_relation_filenode(c.oid), coalesce(t.relname, x.relname, u.relname), u.relname
    from up join pg_class c on c.oid = up.oid join pg_class u on u.oid = up.top
    left join pg_index i on i.indexrelid = up.top
    left join pg_class x on x.oid = i.indrelid
    left join pg_class t on t.reltoastrelid in (up.top, i.indrelid)
    where pg_relation_filenode(c.oid) is not null and c.relkind <> 'S'"""
Names = dict[str, tuple[str, str]]


@dataclass(slots=True)
class Written:
    """The share of one request in what was written to a relation: a table, or an index of it."""

    table: str
    name: str
    wal_bytes: float
    counts: dict[str, float]


@dataclass(slots=True)
class Load:
    """Requests of which so many were in progress at once."""

    at_once: int
    requests: int
    wal_bytes: float  # of a request, those of no table (commits) too
    postgres_ms: float  # CPU of a request
    written: list[Written]

    def sum(self, *names: str) -> float:
        return sum(one.counts.get(name, 0) for one in self.written for name in names)


@dataclass(slots=True)
class RowsReport:
    loads: list[Load] = field(default_factory=list)


def measure(requests: int) -> RowsReport:
    return uvloop.run(_measured(requests))


async def _measured(requests: int) -> RowsReport:
    tell(f"rows: {TENANTS} tenants, {OLD:,} completions")
    await in_database(tenants.open_tenants)(TENANTS, quotas=False)
    patterns = await in_database(orders)(quotas=False)
    await in_database(make_old_completions)(OLD)
    path, report = RecordPath(), RowsReport()
    try:
        for at_once in AT_ONCE:
            await _write(path, patterns, at_once, WARMUP)
            report.loads.append(await _load(path, patterns, at_once, requests))
    finally:
        await path.close()
        keyring.close()
    return report


async def _load(path: RecordPath, patterns: Sequence[Order], at_once: int, requests: int) -> Load:
    tell(f"rows: {requests:,} requests, {at_once} at once")
    begin, cpu_ms = _wal_position(), _postgres_ms()
    await _write(path, patterns, at_once, requests)
    cpu_ms = _postgres_ms() - cpu_ms
    relations = written(_records(begin, _wal_position()), await in_database(_names)(), requests)
    wal_bytes = sum(one.wal_bytes for one in relations)
    return Load(at_once, requests, wal_bytes, cpu_ms / requests, relations)


async def _write(path: RecordPath, patterns: Sequence[Order], at_once: int, requests: int) -> None:
    numbers = iter(range(requests))

    async def one_after_another() -> None:
        for number in numbers:
            await path.write(patterns[number % len(patterns)])

    await asyncio.gather(*(one_after_another() for _ in range(at_once)))


def _postgres_ms() -> float:
    roles = use_by_role(os.getpid(), lambda line: "postgres" if "postgres" in line else None)
    return roles["postgres"].cpu_ms


# The WAL -----------------------------------------------------------------------------------------
def _wal_position() -> str:
    return str(_query("select pg_current_wal_flush_lsn()")[0][0])


def _query(sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(settings.DATABASE_URL, **settings.SEES_ALL) as connection:
        return connection.execute(sql).fetchall()


def _names() -> Names:
    return {str(node): (str(table), str(name)) for node, table, name in _query(_RELATIONS)}


def written(records: str, names: Names, requests: int) -> list[Written]:
    """Returns what pg_waldump's `records` say, by relation; `names` are those of files."""
    wal_bytes: Counter[tuple[str, str]] = Counter()
    counts: dict[tuple[str, str], Counter[str]] = {}
    for manager, length, what, node in _RECORD.findall(records):
        relation = names.get(node, ("others", "others"))
        wal_bytes[relation] += int(length)
        counts.setdefault(relation, Counter())[_kind(manager, what)] += 1
    return [
        Written(
            *relation,
            wal_bytes[relation] / requests,
            {kind: count / requests for kind, count in counts[relation].items() if kind},
        )
        for relation in sorted(counts)
    ]


def _kind(manager: str, what: str) -> str:
    if manager == "Btree":
        return "entries" if what in _ENTRIES else ""
    return _HEAP.get(what.removesuffix("+INIT"), "") if manager == "Heap" else ""


def _records(begin: str, end: str) -> str:
    folder = Path(os.environ["FOREBAY_HOME"]) / "postgres" / "pg_wal"
    program = binaries(SystemUser()) / "pg_waldump"
    command: list[str | Path] = [program, "-p", folder, "-s", begin, "-e", end]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    return ended.stdout


# The section -------------------------------------------------------------------------------------
def section(report: RowsReport) -> str:
    return paragraphs(*(text for load in report.loads for text in _texts(load)))


def _texts(load: Load) -> Iterator[str]:
    yield (
        f"{load.requests:,} requests, {load.at_once} at once. Of each: "
        f"{cell(load.sum('inserted'))} rows, {cell(load.sum('hot'))} HOT and "
        f"{cell(load.sum('updated'))} other updates, {cell(load.sum('entries'))} index entries, "
        f"{cell(load.wal_bytes)} bytes of WAL, {cell(load.postgres_ms)} ms of PostgreSQL's CPU."
    )
    if load.at_once == 1:
        head = ("table", "", "rows", "HOT", "other updates", "index entries", "bytes of WAL")
        yield table(head, map(_cells, load.written))


def _cells(row: Written) -> list[str]:
    name = "" if row.name == row.table else row.name
    counts = [row.counts.get(kind) for kind in ("inserted", "hot", "updated", "entries")]
    return [row.table, name, *map(cell, counts), cell(row.wal_bytes)]


def aims(report: RowsReport) -> Iterator[Aim]:
    yield Aim("index entries of a request", report.loads[0].sum("entries"), "", MOST_ENTRIES)
