"""Anthropic's Messages API. It has no plain call: that is OpenAI's front end's."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from tests.e2e.front_ends.base import HI, Answer, Event, Stream
from tests.e2e.front_ends.rest import Rest, RestClient, error_of
from tests.e2e.front_ends.rest import answer_of as plain_answer_of

VERSION = {"anthropic-version": "2023-06-01"}
NAMES = {"stop": "stop_sequences"}  # OpenAI's fields, and Anthropic's
FINISHES = {
    "end_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
}


def answer_of(reply: httpx.Response) -> Answer:
    message = reply.json()
    if message.get("type") == "error":
        return problem_of(message["error"], reply.status_code, reply.headers)
    if message.get("type") != "message":  # of the plain call, or of what stands before front ends
        return plain_answer_of(reply)
    usage = message["usage"]
    prompt = usage["input_tokens"] + usage["cache_read_input_tokens"]
    counts = {"prompt_tokens": prompt, "completion_tokens": usage["output_tokens"]}
    return Answer(
        200,
        request_id=reply.headers["x-request-id"],
        text="".join(block.get("text", "") for block in message["content"]),
        finish_reason=FINISHES.get(message["stop_reason"], ""),
        usage={**counts, "total_tokens": sum(counts.values())},
        figures=reply.headers,
    )


def problem_of(error: dict[str, Any], status: int = 0, headers: Any = None) -> Answer:
    names = {theirs: ours for ours, theirs in NAMES.items()}
    return error_of({**error, "param": names.get(error["param"], error["param"])}, status, headers)


class MessagesStream:
    def __init__(self, reply: httpx.Response) -> None:
        self._reply = reply
        self.request_id, self.figures = reply.headers["x-request-id"], reply.headers
        self.error: Answer | None = None
        if reply.status_code != 200:
            reply.read()
            self.error = answer_of(reply)

    def __iter__(self) -> Iterator[Event]:
        number, waiting = 0, list[tuple[str, str]]()
        for line in self._reply.iter_lines() if not self.error else ():
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("data: "):
                data = json.loads(line[6:])
                if data["type"] == "error":
                    self.error = problem_of(data["error"])
                elif data["type"] == "content_block_delta" and "text" in data["delta"]:
                    waiting.append((data["delta"]["text"], ""))
                elif data["type"] == "message_delta":
                    waiting.append(("", FINISHES.get(data["delta"]["stop_reason"], "")))
            elif not line and number:  # the last event of a write has the number of all
                yield from (Event(number, *event) for event in waiting)
                number, waiting = 0, []


class MessagesClient(RestClient):
    CHAT = "/v1/messages"

    def _answer(self, reply: httpx.Response) -> Answer:
        return answer_of(reply)

    def _stream(self, reply: httpx.Response) -> Stream:
        return MessagesStream(reply)

    def _body(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        own = {NAMES.get(name, name): value for name, value in fields.items() if name != "seed"}
        if "seed" in fields:  # there is none: another field makes the request one of its own
            own["stop_sequences"] = [f"seed {fields['seed']}"]
        return {"model": "mock", "messages": HI, "max_tokens": 100_000, **own}

    @contextmanager
    def resume(self, request_id: str, after: int = 0) -> Iterator[Stream]:
        path = f"/v1/messages/{request_id}/events"
        headers = {"Last-Event-ID": str(after)}
        with self._client.stream("GET", path, headers=headers) as reply:
            yield self._stream(reply)


class Messages(Rest):
    client_class = MessagesClient

    @contextmanager
    def client(
        self,
        key: str | None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 60,
    ) -> Iterator[RestClient]:
        with super().client(
            key, headers={**VERSION, **(headers or {})}, timeout_s=timeout_s
        ) as own:
            yield own
