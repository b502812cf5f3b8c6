"""Which engines hear of a trace, and in which words."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from inference.engines import KINDS
from inference.engines.base import EngineConfig
from inference.engines.transport.session import EngineSession
from inference.order import packed, unpacked
from inference.tracing import span_values, spans
from inference.tracing.attributes import FINISH_REASONS
from inference.tracing.recorder import Recorder
from tests.inference.orders import an_order

pytestmark = pytest.mark.unit
TENANT = "5f3c2c0e-0000-4000-8000-000000000001"


@pytest.fixture
def traced() -> Iterator[None]:
    spans.record_with(Recorder({}, "1", exporter=InMemorySpanExporter()))
    spans.front("x", lambda _name: "").end()
    yield
    spans.record_with(None)


async def head(kind: str, **fields: Any) -> bytes:
    """Of the request that an engine gets."""
    config = EngineConfig("m", kind, "http://127.0.0.1:9/v1", "m", **fields)
    engine = KINDS[kind](config)
    async with EngineSession() as session:
        posted: Any = engine._post(session, an_order())
        return bytes(posted._more)


@pytest.mark.parametrize("kind", ["vllm", "sglang", "openai", "llama_cpp"])
async def test_an_engine_of_ours_goes_on_with_the_trace(kind: str, traced: None) -> None:
    assert (await head(kind)).startswith(b"traceparent: 00-")


@pytest.mark.parametrize(("kind", "fields"), [("openai", {"hosted": True}), ("deepseek", {})])
async def test_a_hosted_service_hears_nothing_of_it_unless_it_may(
    kind: str, fields: dict[str, Any], traced: None, settings: Any
) -> None:
    assert await head(kind, **fields) == b""
    settings.TRACES_HOSTED = True
    assert (await head(kind, **fields)).startswith(b"traceparent: ")


async def test_without_traces_nobody_hears_anything() -> None:
    assert await head("vllm") == b""


def test_an_order_takes_its_trace_along_and_costs_a_byte_without() -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01 vendor=kept"
    plain, traced = an_order(), an_order(trace=trace)
    assert unpacked(packed(traced)).trace == trace
    assert len(packed(traced)) - len(packed(plain)) == len(trace) + 1  # its length
    # And one each for whether it may be repeated, its adapter, task, stored response, number of
    # answers and session.
    assert packed(plain)[-7:] == b"\xa0\xc2\xc0\xa0\xc0\x01\xc0"


@pytest.mark.parametrize(
    ("told", "shown"), [(frozenset(), False), ({"all"}, True), ({TENANT}, True), ({"x"}, False)]
)
def test_whose_it_is_stands_there_only_where_it_may(
    told: set[str], *, shown: bool, settings: Any
) -> None:
    settings.TRACES_TENANTS = frozenset(told)
    assert span_values.tenant(UUID(TENANT)) == ({"forebay.tenant.id": TENANT} if shown else {})
    assert span_values.tenant(None) == {}


def test_odd_figures_of_an_engine_are_none() -> None:
    odd = {"prompt_tokens": "a canary", "completion_tokens": True, "prompt_tokens_details": "x"}
    assert span_values.of_answer("", "", odd) == {}
    said = [
        span_values.of_answer("", reason, {})[FINISH_REASONS] for reason in ("length", "a canary")
    ]
    assert said == [["length"], ["other"]]
