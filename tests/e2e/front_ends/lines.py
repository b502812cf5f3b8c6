"""The front end of the tests' own (tests/e2e/lines)."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.e2e.front_ends.base import Answer, Event, Stream
from tests.e2e.front_ends.rest import Rest, RestClient, error_of


def answer_of(reply: httpx.Response) -> Answer:
    line, headers = reply.json(), reply.headers
    if problem := line.get("problem") or line.get("error"):  # of what stands before front ends
        return problem_of(problem, reply.status_code, headers)
    return Answer(
        200,
        request_id=headers["x-request-id"],
        text=line["text"],
        finish_reason=line["finish_reason"],
        usage=line["usage"] or {},
        figures=headers,
    )


def problem_of(problem: dict[str, Any], status: int = 0, headers: Any = None) -> Answer:
    return error_of({**problem, "code": problem.get("what") or problem["code"]}, status, headers)


class LinesStream:
    def __init__(self, reply: httpx.Response) -> None:
        self._reply = reply
        self.request_id, self.figures = reply.headers["x-request-id"], reply.headers
        self.error: Answer | None = None
        if reply.status_code != 200:
            reply.read()
            self.error = answer_of(reply)

    def __iter__(self) -> Iterator[Event]:
        for text in self._reply.iter_lines() if not self.error else ():
            line = json.loads(text) if text else {}
            if problem := line.get("problem"):
                self.error = problem_of(problem)
            elif line:
                yield Event(line["number"], line["text"], line["finish_reason"])


class LinesClient(RestClient):
    CHAT, PLAIN = "/lines/chat", "/lines/plain"

    def _answer(self, reply: httpx.Response) -> Answer:
        return answer_of(reply)

    def _stream(self, reply: httpx.Response) -> Stream:
        return LinesStream(reply)

    @contextmanager
    def resume(self, request_id: str, after: int = 0) -> Iterator[Stream]:
        with self._client.stream("GET", f"/lines/{request_id}/after/{after}") as reply:
            yield self._stream(reply)

    def models(self) -> Answer:
        reply = self._client.get("/lines/models")
        if reply.status_code != 200:
            return self._answer(reply)
        return Answer(200, text=" ".join(reply.json()["names"]), figures=reply.headers)


class Lines(Rest):
    client_class = LinesClient
