"""OpenAI's REST API."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from tests.e2e.front_ends.base import HI, Answer, Event, Stream


def answer_of(reply: httpx.Response) -> Answer:
    if reply.status_code != 200:
        return error_of(reply.json()["error"], reply.status_code, reply.headers)
    found, headers = reply.json(), reply.headers
    choice = found["choices"][0] if "choices" in found else found
    return Answer(
        200,
        request_id=headers["x-request-id"],
        text=choice.get("text") or choice.get("message", {}).get("content") or "",
        finish_reason=choice.get("finish_reason") or "",
        usage=found.get("usage") or {},
        figures=headers,
    )


def error_of(error: dict[str, Any], status: int = 0, headers: Any = None) -> Answer:
    headers = headers or {}
    ms = headers.get("retry-after-ms") or int(headers.get("retry-after", 0)) * 1000
    return Answer(
        status,
        request_id=headers.get("x-request-id", ""),
        code=error["code"],
        param=error["param"],
        message=error["message"],
        refusal_id=error.get("refusal_id", ""),
        retry_after_s=int(ms) / 1000,
        figures=headers,
    )


class RestStream:
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
                chunk = json.loads(line[6:])
                if "error" in chunk:
                    self.error = error_of(chunk["error"])
                elif chunk["choices"]:
                    choice = chunk["choices"][0]
                    text = choice["delta"].get("content") or ""
                    yield Event(number, text, choice["finish_reason"] or "")


class RestClient:
    CHAT, PLAIN = "/v1/chat/completions", "/v1/inference"

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def _answer(self, reply: httpx.Response) -> Answer:
        return answer_of(reply)

    def _stream(self, reply: httpx.Response) -> Stream:
        return RestStream(reply)

    def _body(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {"model": "mock", "messages": HI, **fields}

    def chat(self, **fields: Any) -> Answer:
        try:
            return self._answer(self._client.post(self.CHAT, json=self._body(fields)))
        except httpx.ReadTimeout:
            return Answer(504)

    def plain(self, **fields: Any) -> Answer:
        reply = self._client.post(self.PLAIN, json={"prompt": "Say hi.", **fields})
        return self._answer(reply)

    @contextmanager
    def chat_stream(self, **fields: Any) -> Iterator[Stream]:
        body = {**self._body(fields), "stream": True}
        with self._client.stream("POST", self.CHAT, json=body) as reply:
            yield self._stream(reply)

    @contextmanager
    def resume(self, request_id: str, after: int = 0) -> Iterator[Stream]:
        headers = {"Last-Event-ID": str(after)}
        path = f"/v1/completions/{request_id}/events"
        with self._client.stream("GET", path, headers=headers) as reply:
            yield self._stream(reply)

    def at_once(self, n: int, how: str, **fields: Any) -> list[Answer]:
        return asyncio.run(self._at_once(n, how, fields))

    async def _at_once(self, n: int, how: str, fields: dict[str, Any]) -> list[Answer]:
        limits = httpx.Limits(max_connections=n)
        url, headers = self._client.base_url, self._client.headers
        path, body = self.CHAT, self._body(fields)
        if how == "plain":
            path, body = self.PLAIN, {"prompt": "Say hi.", **fields}
        elif how == "chat_stream":
            body |= {"stream": True}
        async with httpx.AsyncClient(
            base_url=url, headers=headers, timeout=60, limits=limits
        ) as asking:
            replies = await asyncio.gather(*[asking.post(path, json=body) for _ in range(n)])
        streamed = how == "chat_stream"
        return [
            Answer(200) if streamed and reply.status_code == 200 else self._answer(reply)
            for reply in replies
        ]

    def models(self) -> Answer:
        reply = self._client.get("/v1/models")
        if reply.status_code != 200:
            return self._answer(reply)
        names = " ".join(model["id"] for model in reply.json()["data"])
        return Answer(200, text=names, figures=reply.headers)


class Rest:
    role = "web"
    client_class: type[RestClient] = RestClient

    def __init__(self, platform: Any) -> None:
        self._url = platform.url

    @contextmanager
    def client(
        self,
        key: str | None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 60,
    ) -> Iterator[RestClient]:
        sent = {"Authorization": f"Bearer {key}"} if key is not None else {}
        sent |= headers or {}
        with httpx.Client(base_url=self._url, headers=sent, timeout=timeout_s) as client:
            yield self.client_class(client)
