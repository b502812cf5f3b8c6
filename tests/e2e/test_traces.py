"""One trace from a client to the engine and back, as a collector gets it; and logs that name it."""

import secrets
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.collector import Collector, Span
from tests.e2e import json_lines
from tests.e2e.ask import client, eventually
from tests.e2e.conftest import Platform
from tests.e2e.echo_engine import EchoEngine
from tests.e2e.front_ends import FRONT_ENDS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
CHAT = "/v1/chat/completions"
STEPS = {"authenticate", "admit", "put on record", "join queue"}


@dataclass
class Asked:
    """By a client that has a trace of its own."""

    collector: Collector
    trace: str = field(default_factory=lambda: secrets.token_hex(16))
    span: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def headers(self) -> dict[str, str]:
        return {"traceparent": f"00-{self.trace}-{self.span}-00", "tracestate": "vendor=kept"}

    def spans(self, *names: str) -> dict[str, Span]:
        """Once all of these have come."""

        def come() -> dict[str, Span] | None:
            found = {span.name: span for span in self.collector.spans(self.trace)}
            return found if found.keys() >= set(names) else None

        found: dict[str, Span] = eventually(come, 20)
        return found


@pytest.fixture
def asked(collector: Collector) -> Asked:
    return Asked(collector)


def body(prompt: str, **fields: Any) -> dict[str, Any]:
    return {"model": "echo", "messages": [{"role": "user", "content": prompt}], **fields}


def post(platform: Platform, asked: Asked, prompt: str, **fields: Any) -> httpx.Response:
    with client(platform) as asking:
        return asking.post(CHAT, json=body(prompt, **fields), headers=asked.headers)


def test_a_request_is_one_trace_down_to_the_engine(
    echoing: Platform, echo_engine: EchoEngine, asked: Asked
) -> None:
    answer = post(echoing, asked, "canary of a trace")
    assert answer.status_code == 200
    found = asked.spans(f"POST {CHAT}", "work", "settle", "chat echo", "queue", *STEPS)
    front, work, call = found[f"POST {CHAT}"], found["work"], found["chat echo"]
    assert (front.parent, front.kind) == (asked.span, "SERVER")
    for name in (*STEPS, "queue", "work"):
        assert found[name].parent == front.id, name
    assert (work.kind, call.kind) == ("CONSUMER", "CLIENT")
    assert call.parent == found["settle"].parent == work.id
    assert f"00-{asked.trace}-{call.id}-" in echo_engine.traces[-1]
    assert front.began <= found["admit"].began <= found["join queue"].ended
    assert work.began <= call.began <= call.ended <= found["settle"].ended <= work.ended
    assert (front.by["service.name"], front.by["forebay.process"]) == ("forebay", "web")
    assert work.by["forebay.process"] == "worker.1"
    for span in found.values():
        assert not span.failed
        assert "canary" not in str(span)
        assert echoing.key not in str(span)
    says(front, answer)
    says_what_the_engine_took(call, echo_engine)


def says(front: Span, answer: httpx.Response) -> None:
    assert front.attributes == {
        "http.request.method": "POST",
        "http.route": CHAT,
        "http.response.status_code": 200,
        "forebay.front_end": "http",
        "forebay.request.id": answer.headers["x-request-id"],
        "forebay.class": "realtime",
        "forebay.pool": "echo",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "echo",
        "gen_ai.request.stream": False,
    }


def says_what_the_engine_took(call: Span, engine: EchoEngine) -> None:
    assert call.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "echo",
        "gen_ai.request.stream": False,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 9,
        "forebay.engine": "echo",
        "server.address": "127.0.0.1",
        "server.port": engine.port,
    }


def test_of_a_stream_the_first_piece_is_told(echoing: Platform, asked: Asked) -> None:
    assert post(echoing, asked, "canary", stream=True).status_code == 200
    said = asked.spans("chat echo", "settle")["chat echo"].attributes
    assert 0 <= said["gen_ai.response.time_to_first_chunk"] < 4
    assert (said["gen_ai.request.stream"], said["gen_ai.response.model"]) == (True, "echo")
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (5, 9)


def test_a_refusal_says_why_and_is_no_failure(echoing: Platform, asked: Asked) -> None:
    with client(echoing, "sk-canary-none-000000000000") as stranger:
        assert stranger.post(CHAT, json=body("x"), headers=asked.headers).status_code == 401
    found = asked.spans(f"POST {CHAT}", "authenticate")
    front = found[f"POST {CHAT}"]
    assert front.attributes["http.response.status_code"] == 401
    assert front.attributes["forebay.refusal"] == "invalid_api_key"
    assert not front.failed
    assert found["authenticate"].failed
    assert "canary" not in str(found)


@pytest.mark.parametrize(("direction", "code"), [("FAIL", 502), ("BREAK", 200)])
def test_an_engine_that_fails_is_seen(
    echoing: Platform, asked: Asked, direction: str, code: int
) -> None:
    streamed = direction == "BREAK"
    assert post(echoing, asked, f"canary {direction}", stream=streamed).status_code == code
    found = asked.spans("chat echo", "settle", f"POST {CHAT}")
    call, front = found["chat echo"], found[f"POST {CHAT}"]
    assert (call.failed, call.attributes["error.type"]) == (True, "engine_failed")
    assert front.failed is (code == 502)
    assert found["work"].attributes["forebay.state"] == "failed"
    assert "canary" not in str(found)


def test_over_grpc_too(echoing: Platform, echo_engine: EchoEngine, asked: Asked) -> None:
    with FRONT_ENDS["grpc"](echoing).client(echoing.key, headers=asked.headers) as asking:
        assert asking.chat(model="echo").status == 200
    name = "forebay.v1.InferenceService/Chat"
    found = asked.spans(name, "chat echo")
    front = found[name]
    assert (front.parent, front.kind, front.by["forebay.process"]) == (asked.span, "SERVER", "grpc")
    assert front.attributes["rpc.system.name"] == "grpc"
    assert front.attributes["rpc.method"] == name
    assert front.attributes["rpc.response.status_code"] == "OK"
    assert asked.trace in echo_engine.traces[-1]


def test_each_line_of_each_process_is_json(echoing: Platform, asked: Asked) -> None:
    """And one of a request names it."""
    answer = post(echoing, asked, "canary CUT")
    assert answer.status_code == 502

    def about_it() -> list[dict[str, Any]]:
        told = json_lines.lines(echoing.home, "worker.1")
        return [line for line in told if line.get("trace_id") == asked.trace]

    line = eventually(about_it, 20)[0]
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["tenant_id"]
    assert line["span_id"]
    assert line["process"] == "worker.1"
    assert not json_lines.odd(echoing.home)
    logs = {log for log, _ in json_lines.written(echoing.home)}
    assert logs >= {"forks", "worker.1", "jobs", "migrate", "forebay"}  # the others are silent
    text = "".join(line for _, line in json_lines.written(echoing.home))
    assert "canary" not in text
    assert "/welcome/" not in text
    assert "sk-fb-" not in text
