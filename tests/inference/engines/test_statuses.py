"""Each status that an engine can answer with: whose fault it is, and what the client gets."""

from typing import Any

import orjson
import pytest

from inference.engines.base import Engine, EngineAway, EngineFailed, EngineFull, NotOffered
from inference.engines.kinds.deepseek import DeepSeekEngine
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.kinds.openai import OpenAIEngine
from inference.engines.kinds.sglang import SglangEngine
from inference.engines.kinds.vllm import VllmEngine
from inference.engines.transport.session import EngineSession
from tests.inference.engines.served import Served, an_engine, heard
from tests.inference.orders import an_order

pytestmark = pytest.mark.unit
KINDS: list[type[Engine]] = [OpenAIEngine, LlamaCppEngine, VllmEngine, SglangEngine, DeepSeekEngine]
# status -> what the client gets, and whether the engine's breaker counts it
CLIENTS, PATH = (400, "invalid_request", False), (404, "not_offered", False)
ACCOUNT, AWAY = (503, "engine_unavailable", True), (503, "engine_unavailable", True)
FAILED = (502, "engine_failed", True)
OF_ALL_KINDS = {
    400: CLIENTS,
    401: ACCOUNT,
    402: ACCOUNT,
    403: ACCOUNT,
    404: PATH,
    405: PATH,
    407: ACCOUNT,
    408: FAILED,
    409: AWAY,
    410: FAILED,
    413: CLIENTS,
    415: CLIENTS,
    422: CLIENTS,
    423: AWAY,
    424: FAILED,
    425: AWAY,
    451: CLIENTS,
    499: FAILED,
    500: FAILED,
    501: PATH,
    502: FAILED,
    503: AWAY,
    504: FAILED,
    507: FAILED,
    520: FAILED,
    521: AWAY,
    522: AWAY,
    523: AWAY,
    524: FAILED,
    204: FAILED,
    307: FAILED,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", OF_ALL_KINDS)
def test_each_kind_tells_whose_fault_a_status_is(kind: type[Engine], status: int) -> None:
    for body in (_error("words"), b"", b"<html>gateway</html>", b'{"detail":"words"}'):
        failure = an_engine("http://x", kind).refusal(status, body)
        assert (failure.status, failure.code, failure.counts) == OF_ALL_KINDS[status], body


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [429, 529])
def test_one_that_has_enough_to_do_is_full(kind: type[Engine], status: int) -> None:
    """Only a hosted service is to blame for it: an engine of ours has work of ours."""
    engine = an_engine("http://x", kind)
    failure = engine.refusal(status, _error("slow down"))
    assert isinstance(failure, EngineFull)
    assert (failure.status, failure.code) == (503, "server_overloaded")
    assert failure.counts is engine.config.hosted


@pytest.mark.parametrize(
    ("path_and_chat", "other"),
    [(("/v1/completions", False), "/v1/chat"), (("/v1/chat/completions", True), "/v1/completions")],
)
async def test_a_path_that_the_engine_does_not_have_is_named(
    served: Served, session: EngineSession, path_and_chat: tuple[str, bool], other: str
) -> None:
    path, chat = path_and_chat
    served.says(b'{"detail":"Not Found"}', 404)
    engine = an_engine(served.url)
    for ask in (engine.answer(session, an_order(chat=chat)), _first(engine, session, chat=chat)):
        with pytest.raises(NotOffered) as refused:
            await ask
        assert f"does not serve POST {path}; try POST {other}" in refused.value.message
        assert not refused.value.counts


async def test_what_an_engine_does_not_do_is_told_in_its_words(
    served: Served, session: EngineSession
) -> None:
    served.says(_error("this server does not support completions"), 501)
    with pytest.raises(NotOffered) as refused:
        await an_engine(served.url).answer(session, an_order())
    assert refused.value.message == (
        "the engine of this model does not serve POST /v1/chat/completions: "
        "this server does not support completions"
    )


async def _first(engine: Engine, session: EngineSession, *, chat: bool) -> None:
    await heard(engine, session, an_order(chat=chat))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, {"message": "The model `theirs` does not exist.", "param": "model"}),  # vLLM
        (404, {"message": 'model "theirs" not found, try pulling it first'}),  # Ollama
        (404, {"message": "no such model"}),
        (404, {"message": "gone", "code": "model_not_found"}),  # OpenAI
        (400, {"message": "gone", "code": "model_not_found"}),
    ],
)
def test_a_model_that_the_engine_lacks_is_no_clients_fault(
    status: int, error: dict[str, Any]
) -> None:
    """Its name there is the operator's: another pool serves."""
    failure = an_engine("http://x").refusal(status, _error(**error))
    assert (failure.status, failure.counts) == (502, True)


def test_deepseek_says_400_where_it_lacks_the_model() -> None:
    failure = an_engine("http://x", DeepSeekEngine).refusal(400, _error("Model Not Exist"))
    assert (failure.status, failure.counts) == (502, True)


@pytest.mark.parametrize(
    "message",
    [
        "This is a chat model and not supported in the v1/completions endpoint. Did you mean ...",
        "This model is only supported in v1/responses and not in v1/chat/completions.",
        "The model does not exist at this endpoint; see v1/chat/completions",
        "Invalid URL (POST /v1/completions)",
        "File Not Found",
    ],
)
def test_a_model_that_is_not_served_at_this_path_is_a_wish(message: str) -> None:
    failure = an_engine("http://x").refusal(404, _error(message))
    assert isinstance(failure, NotOffered)


@pytest.mark.parametrize(
    "error",
    [
        {"message": "You exceeded your current quota", "code": "insufficient_quota"},
        {"message": "pay", "type": "exceeded_current_quota_error"},
    ],
)
def test_an_account_without_money_is_ours_to_mend(error: dict[str, Any]) -> None:
    failure = an_engine("http://x", hosted=True, id="far").refusal(429, _error(**error))
    assert (failure.status, failure.code) == (503, "engine_unavailable")
    assert not isinstance(failure, EngineAway), "it is not asked again and again"
    assert "quota" not in failure.message, "our account is nobody's business"


def test_a_text_that_a_service_refuses_to_read_is_the_clients() -> None:
    failure = an_engine("http://x", hosted=True).refusal(403, _error("Your input was flagged"))
    assert (failure.status, failure.counts) == (400, False)
    assert failure.message == "Your input was flagged"


def test_a_field_that_is_wrong_is_named_without_its_value() -> None:
    detail = [{"loc": ["body", "max_tokens"], "msg": "must be positive", "input": "a prompt"}]
    failure = an_engine("http://x").refusal(422, orjson.dumps({"detail": detail}))
    assert failure.message == "max_tokens: must be positive"


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (400, (400, False)),
        (415, (400, False)),
        (404, (502, True)),  # the path was there a moment ago
        (429, (503, False)),
        (500, (502, True)),
        ("server_error", (502, True)),
        (None, (502, True)),
    ],
)
def test_an_error_in_the_middle_of_a_stream(code: Any, meaning: tuple[int, bool]) -> None:
    failure: EngineFailed = an_engine("http://x").broken(_error("no", code=code))
    assert (failure.status, failure.counts) == meaning


def _error(message: str, **more: Any) -> bytes:
    return orjson.dumps({"error": {"message": message, **more}})
