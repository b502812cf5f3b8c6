"""Every address, every role, at home and in another tenant; then with either wall taken away.

Both walls stand by themselves: with the ORM's scoping off, row-level security alone must hold, and
with row-level security off, scoping alone. With one wall the walk is that of those who may most:
what they cannot reach, nobody can whom their permissions stop as well. At home they stand for all
too: what the other roles may there is said by test_permissions.py and test_who_may_what.py. In the
other tenant the owner and the member stand for the roles between them, and a key that may write for
one that may read. What a permission refuses before any wall is reached is left to those two files
as well. Each day has its half of the addresses, with one wall its sixth. `make soak` walks as all
everywhere.
"""

import logging
import os
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import connection
from django.utils.module_loading import import_string
from psycopg.conninfo import make_conninfo

from console.isolation import expected, report
from console.isolation.callers import NAMES, OPERATOR, ProofCaller
from console.isolation.crawler import DENIED, NOBODYS, PLAIN, Extent, Step, parameters, steps
from console.isolation.proof import IsolationProof, prove
from inference.api.anthropic import routes as anthropic
from inference.api.dialogues import routes as dialogues
from inference.api.ollama import routes as ollama
from inference.api.openai import routes as openai
from inference.api.responses import routes as responses
from inference.chat.urls import websocket_urlpatterns
from tenants.isolation import row_security
from tenants.models import Scope, Tenant, User
from tenants.roles import Permission, Profile, Role, operator_permissions, permissions
from tests.isolation.unscoped import unscoped

PARTS = [(0, 2), (1, 2)]  # every other caller: they can be walked side by side


# The owner holds every permission; a key knows its own scope alone. A scope that lets write stands
# for what another lets read, and the owner for the trail.
READ = {Scope.MANAGEMENT_READ, Scope.AUDIT_READ}
MAY_MOST = frozenset({Role.OWNER, *(f"key {scope}" for scope in set(Scope) - READ)})
EVERYBODY = os.environ.get("FOREBAY_TEST_ONE_WALL") == "everybody"
STAND_FOR_ALL = frozenset(NAMES) if EVERYBODY else MAY_MOST
BETWEEN = set(Role) - {Role.OWNER, Role.MEMBER} | {f"key {scope}" for scope in READ}
STRANGERS = frozenset(NAMES) - (frozenset() if EVERYBODY else BETWEEN)
AWAY = Extent(at_home=False)


def todays(shares: int) -> tuple[int, int]:
    """Returns which share of the addresses this day has."""
    return (datetime.now(UTC).toordinal() % shares, shares)


BOTH_WALLS, ONE_WALL = (todays(1 if EVERYBODY else shares) for shares in (2, 6))
OUTSIDE = Extent(at_home=False, only=STAND_FOR_ALL, walls_only=not EVERYBODY, addresses=ONE_WALL)


@pytest.fixture(autouse=True)
def _same_database(settings: Any) -> None:
    """The hot path's own connections go where Django's go."""
    name = connection.settings_dict["NAME"]
    settings.DATABASE_URL = make_conninfo(settings.DATABASE_URL, dbname=name)


@pytest.fixture
async def no_row_security(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """And a web process that starts all the same."""
    monkeypatch.setattr("config.asgi.startup_problem", lambda: "")
    await database_sync_to_async(_row_security)("disable")
    yield
    await database_sync_to_async(_row_security)("enable")


def test_the_id_of_nothing_may_be_answered_with_404_wherever_it_stands() -> None:
    """A parameter that is filled with it, and expected to be found, fails on a healthy platform."""
    operator = ProofCaller(OPERATOR, [], operator_permissions(Profile.ASVS))
    asked = [step for step in _api_walk(operator) if _names_nothing(step.path)]
    assert {parameter for step in asked for parameter in _names_nothing(step.path)} >= {
        "any_batch",
        "any_job",
        "served_model",
        "pool",
        "engine",
    }
    may = [step for step in asked if step.expected != DENIED]  # not what operators may not read
    refused = [f"{step.method} {step.path}" for step in may if 404 not in step.expected]
    assert refused == []


def _api_walk(caller: ProofCaller) -> list[Step]:
    return [step for step in steps(caller) if step.path in expected.API]


def _names_nothing(path: str) -> list[str]:
    return [name for name, _ in parameters(path) if PLAIN.get(name) == NOBODYS]


def test_the_table_has_every_address() -> None:
    """A page, an endpoint or a socket that is missing in expected.py fails here."""
    known = {page.path for page in expected.PAGES} | set(expected.API)
    assert set(expected.addresses()) == known
    v1 = {re.sub(r"[^/]*<[^>]+>", "{}", endpoint.path) for endpoint in expected.V1}
    routes = openai.ROUTES | anthropic.ROUTES | responses.ROUTES | ollama.ROUTES
    # Sessions of widgets take no API key: tests/inference/api/dialogues/test_widget.py.
    routes |= {path: each for path, each in dialogues.ROUTES.items() if "widget" not in path}
    assert {re.sub(r"{\w+}", "{}", path) for path in routes} <= v1
    assert {str(socket.pattern) for socket in websocket_urlpatterns} == set(expected.SOCKETS)


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.slow(seconds=45)
async def test_both_walls(part: tuple[int, int]) -> None:
    _holds(
        await _prove(
            Extent(
                part=part,
                only=STRANGERS,
                residents=STAND_FOR_ALL,
                walls_only=not EVERYBODY,
                addresses=BOTH_WALLS,
            )
        )
    )


@pytest.mark.parametrize("shares", [1, 2, 6])
def test_each_address_belongs_to_one_share(shares: int) -> None:
    alone = ProofCaller(OPERATOR, [], operator_permissions(Profile.ASVS))
    walk = list(steps(alone))
    extents = [Extent(addresses=(number, shares)) for number in range(shares)]
    walked = [step.path for extent in extents for step in walk if extent.has(step)]
    assert sorted(walked) == sorted(step.path for step in walk)
    assert all(any(map(extent.has, walk)) for extent in extents)


def test_the_owner_may_whatever_anybody_may() -> None:
    assert not set(Permission) - permissions(Role.OWNER, Profile.ASVS)
    assert not operator_permissions(Profile.ASVS) - permissions(Role.OWNER, Profile.ASVS)


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(600)
@pytest.mark.slow(seconds=45)
async def test_row_level_security_alone() -> None:
    with unscoped() as stripped:
        found = await _prove(OUTSIDE)
    assert len(stripped) > 10, "the switch does nothing"
    _holds(found, only_leaks=True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(600)
@pytest.mark.slow(seconds=45)
async def test_scoping_alone(no_row_security: None) -> None:
    _holds(await _prove(OUTSIDE))


@pytest.mark.django_db(transaction=True)
async def test_without_both_walls_it_leaks(
    no_row_security: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof can fail: else the others say nothing."""
    pages = [page for page in expected.PAGES if page.path.endswith(("/requests/", "/members/"))]
    monkeypatch.setattr("console.isolation.crawler.PAGES", pages)
    monkeypatch.setattr("console.isolation.crawler.API", ())
    monkeypatch.setattr("console.isolation.crawler.V1", ())
    with unscoped():
        found = await _prove()
    assert found.leaks


@pytest.mark.django_db(transaction=True)
async def test_nothing_stays_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.isolation.crawler.PAGES", expected.PAGES[:1])
    monkeypatch.setattr("console.isolation.crawler.API", expected.API[:5])
    monkeypatch.setattr("console.isolation.crawler.V1", expected.V1[:5])
    await _prove()
    assert await database_sync_to_async(_left)() == 0


async def _prove(extent: Extent = AWAY) -> IsolationProof:
    logging.disable(logging.WARNING)  # a line for each refusal
    application = import_string(settings.ASGI_APPLICATION)
    try:
        return await prove(application, extent)
    finally:
        logging.disable(logging.NOTSET)


def _holds(found: IsolationProof, *, only_leaks: bool = False) -> None:
    bad = found.leaks + ([] if only_leaks else found.wrong)
    assert not bad, "\n".join(report.summary(found))
    assert not found.touched
    walked = {cell.path.split("/")[1] for cell in found.cells}  # whichever share today has
    assert walked >= {"api", "console", "v1", "ws"}


def _row_security(switch: str) -> None:
    with connection.cursor() as cursor:
        for table in row_security.guarded():
            cursor.execute(f'alter table "{table}" {switch} row level security')
    connection.close()


def _left() -> int:
    found = Tenant.objects.count() + User.objects.count()
    connection.close()
    return found
