"""OpenAI's Responses API. It has no plain call: that is the older front end's."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from tests.e2e.front_ends.base import HI, Answer, Event, Stream
from tests.e2e.front_ends.rest import Rest, RestClient, error_of
from tests.e2e.front_ends.rest import answer_of as plain_answer_of

# Fields of chat completions, and those of responses.
NAMES = {"messages": "input", "max_tokens": "max_output_tokens"}


def finish_reason(response: dict[str, Any]) -> str:
    if response["status"] == "completed":
        return "stop"
    return "length" if response["status"] == "incomplete" else ""


def answer_of(reply: httpx.Response) -> Answer:
    response = reply.json()
    if reply.status_code != 200:
        return problem_of(response["error"], reply.status_code, reply.headers)
    if response.get("object") != "response":  # of the plain call
        return plain_answer_of(reply)
    usage = response["usage"]
    names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
    counts = {ours: usage[theirs] for ours, theirs in names.items()}
    parts = [part for item in response["output"] for part in item.get("content", ())]
    return Answer(
        200,
        request_id=reply.headers["x-request-id"],
        text="".join(part.get("text", "") for part in parts),
        finish_reason=finish_reason(response),
        usage={**counts, "total_tokens": usage["total_tokens"]},
        figures=reply.headers,
    )


def problem_of(error: dict[str, Any], status: int = 0, headers: Any = None) -> Answer:
    param = error.get("param")
    for ours, theirs in NAMES.items():
        if isinstance(param, str) and param.startswith(theirs):
            param = ours + param.removeprefix(theirs)
    return error_of({**error, "param": param}, status, headers)


class ResponsesStream:
    def __init__(self, reply: httpx.Response) -> None:
        self._reply = reply
        self.request_id, self.figures = reply.headers["x-request-id"], reply.headers
        self.error: Answer | None = None
        if reply.status_code != 200:
            reply.read()
            self.error = answer_of(reply)

    def __iter__(self) -> Iterator[Event]:
        number = 0
        for line in self._reply.iter_lines() if not self.error else ():
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("data: {"):
                data = json.loads(line[6:])
                if data["type"] == "response.output_text.delta":
                    yield Event(number, data["delta"], "")
                elif data["type"] in ("response.completed", "response.incomplete"):
                    yield Event(number, "", finish_reason(data["response"]))
                elif data["type"] == "response.failed":
                    self.error = problem_of(data["response"]["error"])
                elif data["type"] == "error":
                    self.error = problem_of(data)


class ResponsesClient(RestClient):
    CHAT = "/v1/responses"

    def _answer(self, reply: httpx.Response) -> Answer:
        return answer_of(reply)

    def _stream(self, reply: httpx.Response) -> Stream:
        return ResponsesStream(reply)

    def _body(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        own = {NAMES.get(name, name): value for name, value in fields.items() if name != "seed"}
        if "seed" in fields:  # there is none: another prompt makes the request one of its own
            own["instructions"] = f"seed {fields['seed']}"
        return {"model": "mock", "input": HI, **own}

    @contextmanager
    def resume(self, request_id: str, after: int = 0) -> Iterator[Stream]:
        path = f"/v1/responses/{request_id}/events"
        headers = {"Last-Event-ID": str(after)}
        with self._client.stream("GET", path, headers=headers) as reply:
            yield self._stream(reply)


class Responses(Rest):
    client_class = ResponsesClient
