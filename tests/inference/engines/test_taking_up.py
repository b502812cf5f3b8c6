"""Text completions: prompt and answer are one text, which an engine reads anew to go on."""

from typing import Any

import orjson
import pytest

from inference.codec import events as sse
from inference.engines import Pool
from inference.engines.base import EngineConfig
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.kinds.vllm import VllmEngine
from tests.inference.orders import an_order
from tests.inference.scripted import ScriptedEngine, Traces, generation

pytestmark = pytest.mark.unit
URL = "http://127.0.0.1:9"
ENGINES = {
    "llama.cpp": LlamaCppEngine(EngineConfig("m", "llama.cpp", URL, "m")),
    "vllm": VllmEngine(EngineConfig("m", "vllm", URL, "m")),
}


def piece(text: str, finish: str | None = None) -> bytes:
    said = {"index": 0, "text": text, "finish_reason": finish}
    return b"data: " + orjson.dumps({"object": "text_completion", "choices": [said]})


MEETINGS = [
    ("It is", [" Mount", " Fuji"], True),
    ("It is:", [" ", "9"], True),
    ("It is", ["n't"], False),  # with what it follows, other tokens
    ("It is ", [" Mount"], False),
    ("It is", ["\n\n", "Mount"], False),
    ("It is", [" (", "Mount"], False),
    ("它是", ["富士山"], False),
    ([12, 13], [" Mount"], False),  # tokens and text
    ("It is", [], True),
    ("It is ", [""], True),  # nothing of it has been given out
]


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize(("prompt", "pieces", "may"), MEETINGS)
def test_it_is_parked_where_it_goes_on_as_before(
    kind: str, prompt: Any, pieces: list[str], may: bool
) -> None:
    order = an_order(chat=False, body=orjson.dumps({"prompt": prompt, "max_tokens": 9}))
    work = generation(ENGINES[kind], order)
    work.output.events = [*map(piece, pieces)]
    assert work.handler.may_requeue() is may
    assert work.handler.may_be_parked()


class TakesUp(ScriptedEngine):
    def __init__(self, kind: str) -> None:
        super().__init__([piece("."), piece("", "stop"), sse.DONE])
        self.continued = ENGINES[kind].continued  # type: ignore[method-assign]  # one class for all kinds


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize(("prompt", "pieces", "may"), MEETINGS)
async def test_after_its_workers_death_it_is_taken_up_or_ends_with_an_error(
    kind: str, prompt: Any, pieces: list[str], may: bool
) -> None:
    order = an_order(chat=False, body=orjson.dumps({"prompt": prompt, "stream": True}))
    engine, traces, before = TakesUp(kind), Traces(), [*map(piece, pieces)]
    outcome = await traces.of(engine, order, attempt=2, before=before)
    assert outcome
    work = generation(engine, order, before=before)
    assert work.handler.resumes_in(Pool("b", "m", (engine,))) is may
    if may:
        assert orjson.loads(engine.asked[0].body)["prompt"] == prompt + "".join(pieces)
        assert (outcome.state, outcome.text) == ("done", "".join(pieces) + ".")
    else:
        assert engine.asked == []
        assert traces.error["code"] == "worker_lost"


@pytest.mark.parametrize("kind", ENGINES)
async def test_of_a_whole_one_nobody_has_seen_anything_and_it_begins_anew(kind: str) -> None:
    order = an_order(chat=False, stream=False, body=b'{"prompt":"It is"}')
    traces = Traces()
    outcome = await traces.of(engine := TakesUp(kind), order, attempt=2, before=[piece("n't")])
    assert outcome
    assert orjson.loads(engine.asked[0].body)["prompt"] == "It is"
    assert (outcome.state, outcome.text) == ("done", ".")


@pytest.mark.parametrize("more", [{"logprobs": 1}, {"echo": True}, {"suffix": "."}])
def test_what_is_more_than_text_runs_through(more: dict[str, Any]) -> None:
    order = an_order(chat=False, body=orjson.dumps({"prompt": "It is", **more}))
    for engine in ENGINES.values():
        work = generation(engine, order)
        work.output.events = [piece(" Mount")]
        assert not work.handler.may_requeue()
