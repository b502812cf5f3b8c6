"""The front end of the tests' own (tests/e2e/lines)."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from tests.e2e.front_ends.base import HI, Answer, Event


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
    headers = headers or {}
    ms = headers.get("retry-after-ms") or int(headers.get("retry-after", 0)) * 1000
    return Answer(
        status,
        request_id=headers.get("x-request-id", ""),
        code=problem.get("what") or problem["code"],
        param=problem["param"],
        message=problem["message"],
        refusal_id=problem.get("refusal_id", ""),
        retry_after_s=int(ms) / 1000,
        figures=headers,
    )


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


class LinesClient:
    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def chat(self, **fields: Any) -> Answer:
        try:
            return answer_of(self._client.post("/lines/chat", json=_body(fields)))
        except httpx.ReadTimeout:
            return Answer(504)

    def plain(self, **fields: Any) -> Answer:
        return answer_of(self._client.post("/lines/plain", json={"prompt": "Say hi.", **fields}))

    @contextmanager
    def chat_stream(self, **fields: Any) -> Iterator[LinesStream]:
        body = {**_body(fields), "stream": True}
        with self._client.stream("POST", "/lines/chat", json=body) as reply:
            yield LinesStream(reply)

    @contextmanager
    def resume(self, request_id: str, after: int = 0) -> Iterator[LinesStream]:
        with self._client.stream("GET", f"/lines/{request_id}/after/{after}") as reply:
            yield LinesStream(reply)

    def at_once(self, n: int, how: str, **fields: Any) -> list[Answer]:
        return asyncio.run(self._at_once(n, how, fields))

    async def _at_once(self, n: int, how: str, fields: dict[str, Any]) -> list[Answer]:
        limits = httpx.Limits(max_connections=n)
        url, headers = self._client.base_url, self._client.headers
        path, body = "/lines/chat", _body(fields)
        if how == "plain":
            path, body = "/lines/plain", {"prompt": "Say hi.", **fields}
        elif how == "chat_stream":
            body |= {"stream": True}
        async with httpx.AsyncClient(
            base_url=url, headers=headers, timeout=60, limits=limits
        ) as asking:
            replies = await asyncio.gather(*[asking.post(path, json=body) for _ in range(n)])
        streamed = how == "chat_stream"
        return [
            Answer(200) if streamed and reply.status_code == 200 else answer_of(reply)
            for reply in replies
        ]

    def models(self) -> Answer:
        reply = self._client.get("/lines/models")
        if reply.status_code != 200:
            return answer_of(reply)
        return Answer(200, text=" ".join(reply.json()["names"]), figures=reply.headers)


class Lines:
    role = "web"

    def __init__(self, platform: Any) -> None:
        self._url = platform.url

    @contextmanager
    def client(
        self,
        key: str | None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 60,
    ) -> Iterator[LinesClient]:
        sent = {"Authorization": f"Bearer {key}"} if key is not None else {}
        sent |= headers or {}
        with httpx.Client(base_url=self._url, headers=sent, timeout=timeout_s) as client:
            yield LinesClient(client)


def _body(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": "mock", "messages": HI, **fields}
