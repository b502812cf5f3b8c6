"""An engine that does not answer is seen: by probes, and by the pages that show what is known."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest
from aiohttp import web

from inference.api import probes
from inference.engines.base import EngineConfig
from inference.engines.health import reachability
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.kinds.openai import OpenAIEngine
from inference.engines.transport.session import EngineSession


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    reachability._down.clear()
    yield
    reachability._down.clear()


@pytest.fixture
async def engine() -> AsyncIterator[tuple[str, Callable[[int], None]]]:
    """Its address, and a switch for what it answers."""
    said = {"status": 200}

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=said["status"])

    application = web.Application()
    application.router.add_get("/health", answer)
    application.router.add_get("/v1/models", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}", lambda status: said.update(status=status)
    await runner.cleanup()


def config(name: str, url: str) -> EngineConfig:
    return EngineConfig(name=name, kind="openai", url=url, model=name)


@pytest.mark.parametrize("kind", [LlamaCppEngine, OpenAIEngine])
async def test_down_and_up_again(kind: Any, engine: tuple[str, Callable[[int], None]]) -> None:
    url, answer_with = engine
    served = [kind(config("mock", url if kind is LlamaCppEngine else f"{url}/v1"))]
    await reachability.look(served)
    assert reachability.down_since(served) is None
    answer_with(503)
    await reachability.look(served)
    since = reachability.down_since(served)
    assert since
    await reachability.look(served)
    assert reachability.down_since(served) == since
    answer_with(401)  # it is there, and wants a key
    await reachability.look(served)
    assert reachability.down_since(served) is None


async def test_nobody_listens() -> None:
    served = [OpenAIEngine(config("mock", "http://127.0.0.1:9/v1"))]
    await reachability.look(served)
    assert reachability.down_since(served)


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example"])
async def test_a_name_that_no_host_can_have_hides_no_other_engine(
    host: str, engine: tuple[str, Callable[[int], None]]
) -> None:
    """An installation may have such an engine since before its name was refused."""
    url, answer_with = engine
    answer_with(503)
    nobodys, other = OpenAIEngine(config("x", f"http://{host}/v1")), config("mock", f"{url}/v1")
    served = [nobodys, OpenAIEngine(other)]
    await reachability.look(served)
    assert reachability.down_since(served[:1])
    assert reachability.down_since(served[1:])


async def test_one_engine_that_cannot_be_asked_hides_no_other() -> None:
    class Odd(OpenAIEngine):
        async def answers(self, session: EngineSession) -> bool:
            raise RuntimeError("a fault of this kind")

    served = [
        Odd(config("odd", "http://127.0.0.1:9/v1")),
        OpenAIEngine(config("mock", "http://127.0.0.1:9/v1")),
    ]
    await reachability.look(served)
    assert reachability.all_down(served)


async def test_not_ready_when_no_engine_can_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    async def well(_question: Any) -> str:
        _question.close()
        return ""

    class Here:
        class redis:
            call = staticmethod(lambda _word: asyncio.sleep(0))

    context = cast(Any, Here)

    monkeypatch.setattr(probes, "_obstacle", well)
    away = [OpenAIEngine(config(name, "http://127.0.0.1:9/v1")) for name in ("large", "small")]
    monkeypatch.setattr(probes, "engines", lambda: away)
    await reachability.look(away[:1])
    assert (await probes.checks(context))["engines"] is True
    await reachability.look(away)
    assert (await probes.checks(context))["engines"] is False
