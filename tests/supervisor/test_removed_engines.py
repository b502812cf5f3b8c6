"""An engine that is removed finishes what it has, also where its worker stays for another one."""

import asyncio
from collections.abc import Coroutine, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.db import connection

from config.supervisor.engines import server_life
from config.supervisor.engines.launches import Launches
from config.supervisor.home import Home
from config.supervisor.workers import Workers
from inference.models import Engine, Model, Pool

pytestmark = pytest.mark.django_db(transaction=True)
BY = "test"


class Server(ThreadingHTTPServer):
    """The metrics of a llama.cpp that answers `running` requests."""

    running = 1

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        Thread(target=self.serve_forever, args=[0.01], daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        text = f"llamacpp:requests_processing {self.server.running}\nllamacpp:n_decode_total 1\n"
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class FakeKeeper:
    """A keeper, and processes, that run nothing."""

    def __init__(self) -> None:
        self.retired: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def child(self, name: str, *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(name=name)

    def assign(self, engines: Mapping[str, str]) -> None:
        pass

    def keep(self, *_: object) -> None:
        pass

    def bound_logs(self) -> None:
        pass

    def run_alongside(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.create_task(work))

    async def retire(self, child: SimpleNamespace, _patience: float) -> None:
        self.retired.append(child.name)


@pytest.fixture
def url() -> str:
    parts = urlsplit(settings.DATABASE_URL)
    return urlunsplit(parts._replace(path=f"/{connection.settings_dict['NAME']}"))


async def _eventually(keeper: FakeKeeper, count: int) -> None:
    async with asyncio.timeout(20):
        while len(keeper.retired) < count:  # noqa: ASYNC110 (the supervisor's own clock decides)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("keeps_other", [True, False])
def test_the_server_of_a_removed_engine_ends_after_its_requests(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps_other: bool
) -> None:
    """`keeps_other`: its old version is kept, drained, and they have one worker."""
    monkeypatch.setattr(server_life, "IDLE_S", 0.05)
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    home, keeper, server = Home(tmp_path / "home"), FakeKeeper(), Server()
    home.take()
    options = {"launch": {"model": "a.gguf"}}
    pool = Pool.add(Model.add("small", by=BY), "here", by=BY)
    fields: dict[str, Any] = {"kind": "llama_cpp", "slots": 2, "options": options}
    where = {"url": f"http://127.0.0.1:{server.server_port}"}
    if keeps_other:
        Engine.add(pool, "gpu", by=BY, **fields, url="http://127.0.0.1:17009").drain(by=BY)
    new = Engine.add(pool, "gpu.v2", by=BY, **fields, **where)
    Engine.objects.filter(pk=new.pk).update(seat="gpu")

    async def removed() -> None:
        launches = Launches(home, cast(Any, keeper), url, {}, [tmp_path])
        servers = SimpleNamespace(launches=launches, database_url=url)
        options = SimpleNamespace(workers_per_engine=1)
        workers = Workers(*cast(Any, (options, keeper, keeper, servers)))
        await workers.start()
        await asyncio.to_thread(_remove, new)
        await asyncio.sleep(1.5)
        assert "engine.gpu.v2" not in keeper.retired, "it has a request"
        server.running = 0
        await _eventually(keeper, 1)
        for task in keeper.tasks:
            task.cancel()
        await asyncio.gather(*keeper.tasks, return_exceptions=True)

    asyncio.run(removed())
    assert keeper.retired == ["engine.gpu.v2"]
    server.shutdown()
    server.server_close()


def _remove(engine: Engine) -> None:
    try:
        engine.remove(by=BY)
    finally:
        connection.close()
