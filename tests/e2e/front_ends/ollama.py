"""Ollama's API. It has no plain call: that is OpenAI's front end's."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from tests.e2e.front_ends.base import HI, Answer, Event, Stream
from tests.e2e.front_ends.rest import Rest, RestClient, error_of
from tests.e2e.front_ends.rest import answer_of as plain_answer_of

# OpenAI's fields, and Ollama's options.
OPTIONS = {
    "max_tokens": "num_predict",
    **{
        name: name
        for name in (
            "temperature",
            "top_p",
            "frequency_penalty",
            "stop",
            "seed",
            "presence_penalty",
        )
    },
}


def answer_of(reply: httpx.Response) -> Answer:
    body = reply.json()
    if isinstance(body.get("error"), str):
        return problem_of(body, reply.status_code, reply.headers)
    if "message" not in body:  # of the plain call, or of what stands before front ends
        return plain_answer_of(reply)
    counts = {
        "prompt_tokens": body["prompt_eval_count"],
        "completion_tokens": body["eval_count"],
    }
    return Answer(
        200,
        request_id=reply.headers["x-request-id"],
        text=body["message"]["content"],
        finish_reason=body["done_reason"],
        usage={**counts, "total_tokens": sum(counts.values())},
        figures=reply.headers,
    )


def problem_of(body: dict[str, Any], status: int = 0, headers: Any = None) -> Answer:
    names = {f"options.{theirs}": ours for ours, theirs in OPTIONS.items()}
    param = names.get(body["param"], body["param"])
    return error_of({**body, "message": body["error"], "param": param}, status, headers)


class OllamaStream:
    def __init__(self, reply: httpx.Response) -> None:
        self._reply = reply
        self.request_id, self.figures = reply.headers["x-request-id"], reply.headers
        self.error: Answer | None = None
        if reply.status_code != 200:
            reply.read()
            self.error = answer_of(reply)

    def __iter__(self) -> Iterator[Event]:
        waiting = list[tuple[str, str]]()
        for text in self._reply.iter_lines() if not self.error else ():
            line = json.loads(text)
            if "error" in line:
                self.error = problem_of(line)
                continue
            content = line["message"]["content"] if "message" in line else line["response"]
            if content or line["done"]:
                waiting.append((content, line.get("done_reason", "")))
            if number := line.get("event"):  # the last line of a write has the number of all
                yield from (Event(number, *event) for event in waiting)
                waiting = []


class OllamaClient(RestClient):
    CHAT = "/api/chat"

    def _answer(self, reply: httpx.Response) -> Answer:
        return answer_of(reply)

    def _stream(self, reply: httpx.Response) -> Stream:
        return OllamaStream(reply)

    def _body(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        options = {OPTIONS[name]: value for name, value in fields.items() if name in OPTIONS}
        own = {name: value for name, value in fields.items() if name not in OPTIONS}
        if own.get("messages") == []:
            own["messages"] = {}  # an empty list is no fault here: it loads the model
        if options.get("num_predict") == -1:
            options["num_predict"] = -3  # -1 is no fault here: it is no limit
        return {"model": "mock", "messages": HI, "stream": False, "options": options, **own}

    @contextmanager
    def resume(self, request_id: str, after: int = 0) -> Iterator[Stream]:
        headers = {"Last-Event-ID": str(after)}
        with self._client.stream("GET", f"/api/streams/{request_id}", headers=headers) as reply:
            yield self._stream(reply)

    def models(self) -> Answer:
        reply = self._client.get("/api/tags")
        if reply.status_code != 200:
            return self._answer(reply)
        listed = (model["name"].removesuffix(":latest") for model in reply.json()["models"])
        return Answer(200, text=" ".join(listed), figures=reply.headers)


class Ollama(Rest):
    client_class = OllamaClient
