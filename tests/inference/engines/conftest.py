from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from inference.engines.transport.session import EngineSession
from tests.inference.engines.served import Served


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    server = web.ServerRunner(web.Server(served), shutdown_timeout=0.1)
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    host, port = server.addresses[0][:2]
    served.url = f"http://{host}:{port}"
    yield served
    await server.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[EngineSession]:
    async with EngineSession() as session:
        yield session
