"""What an engine says of itself is read up to a bound, and from nowhere else."""

import pytest
from aiohttp import web

from inference.engines.base import Engine
from inference.engines.kinds.deepseek import DeepSeekEngine
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.kinds.vllm import VllmEngine
from inference.engines.transport.session import LONGEST_REPORT, EngineSession, TooLong
from tests.inference.engines.served import Served, an_engine
from tests.inference.orders import an_order

pytestmark = pytest.mark.unit
LONG = b'{"data": [' + b" " * LONGEST_REPORT + b"]}"
KINDS: list[type[Engine]] = [VllmEngine, LlamaCppEngine, DeepSeekEngine]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_body_without_end_is_not_read(
    served: Served, session: EngineSession, kind: type[Engine], caplog: pytest.LogCaptureFixture
) -> None:
    served.says(LONG)
    engine = an_engine(served.url, kind)
    await engine.probe(session)
    await engine.answers(session)
    assert await engine.count_prompt(session, an_order()) == engine.estimate_prompt(an_order())
    assert engine.context_length == 8192
    assert "is too large; the rest was not read" in caplog.text or kind is DeepSeekEngine


async def test_metrics_without_end(served: Served, session: EngineSession) -> None:
    served.says(b"vllm:num_requests_running 1\n" + LONG)
    with pytest.raises(TooLong, match="more than"):
        await an_engine(served.url, VllmEngine).load(session)


@pytest.mark.parametrize("kind", [VllmEngine, LlamaCppEngine])
async def test_a_prompt_to_be_counted_follows_no_redirect(
    served: Served, session: EngineSession, kind: type[Engine]
) -> None:
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    served.handler = elsewhere
    order = an_order()
    assert await an_engine(served.url, kind).count_prompt(session, order) > 0
    assert "/elsewhere" not in asked
