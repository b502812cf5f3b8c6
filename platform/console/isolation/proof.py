"""The whole proof: the stage, the walk, changes of the other tenant's rows, the catalogue."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import environ
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from console.isolation.asgi_client import AsgiClient
from console.isolation.crawler import Cell, Extent, Walk
from console.isolation.throwaway_tenants import Stage
from infrastructure.postgres.scope import SYSTEM
from tenants.isolation import composite_keys, row_security
from tenants.isolation.row_security import guarded_models
from tenants.scope import system_scope

# The platform itself writes these, in its own time.
_BACKGROUND = {
    "audit_checkrun",
    "audit_seal",
    "inference_usageday",
    "inference_usagehour",
    "tenants_notice",
    "tenants_reconciliation",
}


EVERYTHING = Extent()


@dataclass(frozen=True, slots=True)
class IsolationProof:
    cells: list[Cell]
    touched: list[str]  # tables in which rows of the other tenant have changed

    @property
    def leaks(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.leak]

    @property
    def wrong(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.problem and not cell.leak]


async def prove(
    application: Any,
    extent: Extent = EVERYTHING,
    on_cell: Callable[[Cell], None] = lambda cell: None,
) -> IsolationProof:
    """Call the whole application in this process, over connections that see nothing by themselves.

    `on_cell` gets each answer as it comes.
    """
    with nothing_open():
        async with _stage() as stage:
            before = await database_sync_to_async(rows_of)(stage)
            client = AsgiClient(application, settings.ALLOWED_HOSTS[0])
            async with client.running():
                cells = await Walk(stage, client, extent).cells(on_cell)
            after = await database_sync_to_async(rows_of)(stage)
    return IsolationProof(cells, sorted(table for table in before if before[table] != after[table]))


@asynccontextmanager
async def _stage() -> AsyncIterator[Stage]:
    """Set the stage and clear it, also if interrupted while it is being set."""
    with ThreadPoolExecutor(1) as thread:
        setting = thread.submit(Stage.set)
        try:
            await asyncio.wrap_future(setting)
            yield setting.result()
        finally:
            # Nothing is awaited here: a second Ctrl-C would break that off.
            thread.submit(setting.result().clear).result()


@contextmanager
def nothing_open() -> Iterator[None]:
    """Make new connections like those of the web process: they see nothing outside a scope.

    They stay open from one request to the next, as behind a pooler, and are closed at the end.
    """
    database = connections.settings["default"]  # connections that are there already share it
    before = {**database, "OPTIONS": dict(database["OPTIONS"])}
    requests_database = environ.Env.db_url_config(settings.REQUESTS_DATABASE_URL)
    database["OPTIONS"].pop("options", None)
    database["CONN_MAX_AGE"] = None
    if requests_database["USER"] != database["USER"]:
        connections.settings[SYSTEM] = {**before, "CONN_MAX_AGE": None}
        database.update(USER=requests_database["USER"], PASSWORD=requests_database["PASSWORD"])
    wrappers = list[BaseDatabaseWrapper]()

    def remember(connection: BaseDatabaseWrapper, **signal: Any) -> None:
        wrappers.append(connection)

    connection_created.connect(remember)
    try:
        yield
    finally:
        connection_created.disconnect(remember)
        with ThreadPoolExecutor(1) as thread:  # Django closes none where an event loop runs
            thread.submit(_close, wrappers).result()
        connections.settings.pop(SYSTEM, None)
        database["OPTIONS"].update(before["OPTIONS"])
        database.update({name: before[name] for name in ("USER", "PASSWORD", "CONN_MAX_AGE")})


def _close(wrappers: list[BaseDatabaseWrapper]) -> None:
    """Close connections whose threads may have ended."""
    for wrapper in wrappers:
        wrapper.inc_thread_sharing()
        wrapper.close()


def rows_of(stage: Stage) -> dict[str, str]:
    """Returns a fingerprint of the other tenant's rows, by table."""
    tenant = stage.other.tenant.id
    fingerprints = {}
    with system_scope(), connection.cursor() as cursor:
        for model in guarded_models():
            table, owner = model._meta.db_table, composite_keys.tenant_field(model)
            if owner and table not in _BACKGROUND:
                rows = f'select md5(t::text) as h from "{table}" t where {owner.column} = %s'
                cursor.execute(f"select string_agg(h, '' order by h) from ({rows}) r", [tenant])
                fingerprints[table] = cursor.fetchone()[0] or ""
    return fingerprints


def catalogue() -> list[str]:
    with system_scope():
        return row_security.check()
