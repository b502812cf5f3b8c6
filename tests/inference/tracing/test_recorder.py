"""What is recorded of a request, and what never is."""

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, rpc_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes

from config.supervisor.ports import find_free
from config.tracing import throttle_exporter_logs
from inference.tracing import attributes, span_values, spans
from inference.tracing.recorder import END_S, Recorder
from tests.fresh_start import started

pytestmark = pytest.mark.unit
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
THEIRS = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=kept"}
STANDARD = (
    gen_ai_attributes,
    rpc_attributes,
    error_attributes,
    http_attributes,
    server_attributes,
)


class Kept:
    """A recorder in force, and what it has recorded once it is closed."""

    def __init__(self, **how: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.recorder = Recorder({"service.name": "x"}, "1", exporter=self.exporter, **how)
        spans.record_with(self.recorder)

    def spans(self) -> dict[str, ReadableSpan]:
        self.recorder.close()
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    yield Kept()
    spans.record_with(None)


def parent(span: ReadableSpan) -> str:
    return f"{span.parent.span_id:016x}" if span.parent else ""


def own(span: ReadableSpan) -> str:
    assert span.context
    return f"{span.context.span_id:016x}"


def from_client(name: str) -> str:
    return THEIRS.get(name, "")


async def test_a_clients_trace_goes_on_and_over_the_queue_to_the_engine(kept: Kept) -> None:
    front = spans.front("POST", from_client)
    with spans.step("admit"):
        order = spans.continuation()
    front.end("POST /v1")
    spans.past(order, "queue", 1.0, 2.5)
    with spans.continued(order, "work"), spans.client_step("chat m"):
        head = spans.header_lines().decode()
    found = kept.spans()
    assert {f"{span.context.trace_id:032x}" for span in found.values() if span.context} == {TRACE}
    assert parent(found["POST /v1"]) == PARENT
    assert parent(found["admit"]) == own(found["POST /v1"])
    assert parent(found["queue"]) == parent(found["work"]) == own(found["admit"])
    assert parent(found["chat m"]) == own(found["work"])
    assert f"traceparent: 00-{TRACE}-{own(found['chat m'])}-01\r\n" in head
    assert "tracestate: vendor=kept\r\n" in head
    queue = found["queue"]
    assert (queue.start_time, queue.end_time) == (1_000_000_000, 2_500_000_000)


@pytest.mark.parametrize(
    ("clients", "flag", "continued", "sampled"),
    [
        ("ids", "01", True, False),  # ours says no
        ("sampling", "01", True, True),
        ("sampling", "00", True, False),
        ("off", "01", False, False),
    ],
)
async def test_a_client_does_not_say_what_is_sampled_unless_it_may(
    clients: str, flag: str, *, continued: bool, sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    kept = Kept(clients=clients)
    try:
        front = spans.front(
            "x", lambda name: f"00-{TRACE}-{PARENT}-{flag}" if name[5] == "p" else ""
        )
        assert front.is_on is sampled
        trace, _, flags = spans.continuation().split("-")[1:]
        assert (trace == TRACE) is continued
        assert bool(int(flags, 16) & 1) is sampled
        with spans.continued(spans.continuation(), "work") as work:
            assert work.is_on is sampled  # the worker decides nothing anew
        front.end()
        assert len(kept.spans()) == (2 if sampled else 0)
    finally:
        spans.record_with(None)


@pytest.mark.parametrize(
    "odd", ["", "00-0-0-0", "x" * 10_000, f"00-{'0' * 32}-{PARENT}-01", "\r\nx: y", "中文"]
)
async def test_an_odd_traceparent_begins_a_trace_of_our_own(kept: Kept, odd: str) -> None:
    spans.front("x", lambda _name: odd).end()
    (span,) = kept.spans().values()
    assert span.parent is None


@pytest.fixture
def speaking_seldom() -> Iterator[None]:
    theirs, of_clients = map(logging.getLogger, ("opentelemetry", "opentelemetry.trace"))
    before = theirs.propagate, theirs.handlers, of_clients.level
    throttle_exporter_logs()
    yield
    theirs.propagate, theirs.handlers = before[:2]
    of_clients.setLevel(before[2])


async def test_an_odd_tracestate_is_in_no_log(
    kept: Kept, speaking_seldom: None, caplog: pytest.LogCaptureFixture
) -> None:
    told = {**THEIRS, "tracestate": "canary of a prompt,also=one,also=twice"}
    spans.front("x", lambda name: told.get(name, "")).end()
    logging.getLogger("opentelemetry.exporter").warning("the collector is away")
    assert "canary" not in caplog.text
    assert "twice" not in caplog.text
    assert "the collector is away" in caplog.text


async def test_of_two_requests_neither_hears_of_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of one connection may come in one task."""
    kept = Kept(clients="sampling")
    try:
        spans.front("first", from_client)
        spans.front("second", lambda _name: "").end()
        assert kept.spans()["second"].parent is None
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
        Kept()
        assert not spans.front("third", from_client).is_on
    finally:
        spans.record_with(None)


async def test_of_a_long_tracestate_nothing_is_passed_on(kept: Kept) -> None:
    told = {**THEIRS, "tracestate": f"vendor={'x' * 200}," * 3 + f"v2={'y' * 200}"}
    spans.front("x", lambda name: told.get(name, "")).end()
    assert spans.continuation().startswith(f"00-{TRACE}")
    assert "vendor" not in spans.continuation()


async def test_a_failure_is_a_code_and_no_text(kept: Kept) -> None:
    class Refused(Exception):
        code = "queue_full"

    class Parked(Exception):
        is_no_failure = True

    spans.front("x", from_client)
    for problem in (Refused("a canary"), ValueError("a canary"), Parked("a canary")):
        with suppress(type(problem)), spans.step(type(problem).__name__):
            raise problem
    found = kept.spans()
    told = {name: (span.attributes or {}).get("error.type") for name, span in found.items()}
    assert told == {"Refused": "queue_full", "ValueError": "ValueError", "Parked": None}
    assert "canary" not in "".join(span.to_json() for span in found.values())


async def test_what_belongs_to_no_request_is_not_recorded(kept: Kept) -> None:
    with spans.step("settle") as span:
        assert not span.is_on
    with spans.continued("", "work") as work:
        assert not work.is_on
    spans.past("", "queue", 1, 2)
    assert spans.ids() == ("", "")
    assert not kept.spans()


def test_while_they_are_off_a_span_is_nothing() -> None:
    begun: list[object] = [spans.front("x", from_client), spans.front_step("y"), spans.step("z")]
    begun += [spans.client_step("x"), spans.continued("00-a", "y")]
    assert {id(span) for span in begun} == {id(spans.OFF)}
    assert (spans.continuation(), spans.header_lines(), spans.ids()) == ("", b"", ("", ""))


def test_names_are_those_of_opentelemetry_where_it_has_one() -> None:
    theirs = {value for each in STANDARD for value in vars(each).values() if isinstance(value, str)}
    ours = {value for name, value in vars(attributes).items() if re.fullmatch("[A-Z_]+", name)}
    assert {name for name in ours if not name.startswith("forebay.")} <= theirs


async def test_a_collector_that_is_away_costs_spans_and_no_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{find_free()}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    before = set(threading.enumerate())
    recorder = Recorder({}, "1")
    began = time.monotonic()
    for _ in range(5_000):
        recorder.front("x", from_client).end()
    assert time.monotonic() - began < 5
    began = time.monotonic()
    recorder.close()
    assert time.monotonic() - began < END_S + 2
    for thread in set(threading.enumerate()) - before:
        thread.join(60)  # else it draws lots for its next try while Hypothesis draws


OFF = """
import sys
import config.grpc_server, config.asgi, config.celery, inference.worker.runner
print([name for name in sys.modules if name.partition(".")[0] == "opentelemetry"])
"""


def test_while_they_are_off_nothing_of_opentelemetry_is_imported() -> None:
    ended = started(OFF)
    assert ended.stdout.splitlines()[-1:] == ["[]"], ended.stderr


ON = """
import django
django.setup()
from config import tracing
from inference.tracing import spans
tracing.begin()
for _ in range(3000):
    spans.front("x", lambda name: "").end()
"""


def test_a_process_with_no_collector_says_so_once_and_ends_soon() -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{find_free()}"}
    variables |= {"FOREBAY_TRACES": "on", "OTEL_BSP_SCHEDULE_DELAY": "20"}
    began = time.monotonic()
    ended = started(ON, DJANGO_SETTINGS_MODULE="config.settings", **variables)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("traces: ") == 1, ended.stderr
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FOREBAY_TRACES", "yes"),
        ("FOREBAY_TRACES_CLIENTS", "all"),
        ("FOREBAY_TRACES_HOSTED", "1"),
        ("FOREBAY_TRACES_TENANTS", "acme"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ],
)
def test_a_wrong_value_is_refused_in_a_line(name: str, value: str) -> None:
    ended = started(**{"FOREBAY_TRACES": "on", name: value})
    assert ended.returncode == 1
    assert ended.stderr.startswith(name)
    assert ended.stderr.count("\n") == 1


def test_absurd_figures_of_an_engine_do_not_lose_the_spans_of_others() -> None:
    usage = {"prompt_tokens": 2**63, "completion_tokens": -1, "prompt_tokens_details": []}
    assert span_values.of_answer("", "stop", usage) == {attributes.FINISH_REASONS: ["stop"]}
    good = {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": None}
    told = span_values.of_answer("", "", good)
    assert told == {attributes.INPUT_TOKENS: 5, attributes.OUTPUT_TOKENS: 2}
