"""The supervisor reads and writes the rows of lent engines, in a real PostgreSQL."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connection

from config.supervisor.engines.launches import EngineRow
from config.supervisor.engines.server_life import free_gpu
from config.supervisor.workers import _ENGINES
from inference.engines import forget, in_force
from inference.models import Engine, Model, Pool
from inference.registry.following import load

pytestmark = pytest.mark.django_db(transaction=True)
BY = "test"


@pytest.fixture
def url() -> str:
    """The address of the test database, as the supervisor has it."""
    parts = urlsplit(settings.DATABASE_URL)
    return urlunsplit(parts._replace(path=f"/{connection.settings_dict['NAME']}"))


@pytest.fixture
def lent() -> Engine:
    pool = Pool.add(Model.add("large", by=BY), "here", by=BY, lending={"return_s": 20})
    fields: dict[str, Any] = {"kind": "vllm", "url": "http://127.0.0.1:9/v1", "slots": 4}
    Engine.add(pool, "gpu-1", by=BY, **fields)
    engine = Engine.add(pool, "gpu-2", by=BY, **fields, options={"launch": {"model": "m"}})
    engine.rest(by=BY)
    engine.lend(by=BY)
    return engine


def test_a_job_may_begin_once_the_server_has_left_and_no_longer_when_asked_back(
    url: str, lent: Engine
) -> None:
    with psycopg.connect(url, autocommit=True, **settings.SEES_ALL) as link:
        assert _rows(link)["gpu-2"][-2:] == (True, True), "it is stopped, and lent"
        load(link)
        assert in_force().jobs["here:jobs"].engines == ()
        async_to_sync(free_gpu)(url, "gpu-2")
        assert _rows(link)["gpu-2"][-2:] == (True, False)
        load(link)
        (gpu,) = in_force().jobs["here:jobs"].engines
        assert (gpu.config.id, gpu.config.slots) == ("gpu-2:jobs", 1)
        load(link)
        assert in_force().jobs["here:jobs"].engines == (gpu,), "it stays the same object"
        lent.take_back(by=BY)
        load(link)
        assert in_force().jobs["here:jobs"].engines == ()
        lent.hand_back(by=BY)
        async_to_sync(free_gpu)(url, "gpu-2")
        lent.refresh_from_db()
        assert not lent.gpu_free, "the supervisor was late"
    forget()


def _rows(link: psycopg.Connection[Any]) -> dict[str, EngineRow]:
    return {row[0]: EngineRow(*row) for row in link.execute(_ENGINES).fetchall()}
