"""Chat completions over HTTP, whole and streamed, of whichever host answers."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import aiohttp

from config.drills.load import Refused

_CONNECT_S = 3


class Hosts:
    """The addresses of one installation: after a failure the next one is asked."""

    def __init__(self, urls: Sequence[str], key: str) -> None:
        self._urls, self._first = list(urls), 0
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)
        self.session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {key}"}, timeout=timeout
        )

    @property
    def url(self) -> str:
        return self._urls[self._first % len(self._urls)]

    def next(self) -> None:
        self._first += 1

    async def post(self, path: str, **fields: Any) -> aiohttp.ClientResponse:
        """Raises Refused, or aiohttp.ClientError."""
        return await self._sent("POST", path, **fields)

    async def get(self, path: str) -> aiohttp.ClientResponse:
        """Raises as `post` does."""
        return await self._sent("GET", path)

    async def _sent(self, method: str, path: str, **fields: Any) -> aiohttp.ClientResponse:
        try:
            response = await self.session.request(method, f"{self.url}{path}", **fields)
        except aiohttp.ClientError:
            self.next()
            raise
        if response.status != 200:
            text = await response.text()
            if response.status in (502, 503, 504):
                self.next()
            is_ours = response.status >= 500  # not a fault of the request: SDKs ask again
            again = is_ours and response.headers.get("x-should-retry") != "false"
            raise Refused(f"{response.status} {text[:150]}", began=is_ours, again=again)
        return response

    async def close(self) -> None:
        await self.session.close()


class Rest:
    """A chat completion, whole or streamed."""

    size = 1

    def __init__(self, hosts: Hosts, model: str, *, stream: bool) -> None:
        self.name = "stream" if stream else "rest"
        self._hosts, self._stream = hosts, stream
        self._body = {
            "model": model,
            "messages": [{"role": "user", "content": "Say hello."}],
            "max_tokens": 12,
            "stream": stream,
        }

    async def ask(self, request: str) -> Sequence[str]:
        headers = {"Idempotency-Key": request}
        path = "/v1/chat/completions"
        response = await self._hosts.post(path, json=self._body, headers=headers)
        if self._stream:
            await _read_to_the_end(response)
        else:
            await response.json()
        return [str(UUID(response.headers["x-request-id"]))]

    async def close(self) -> None:
        await self._hosts.close()


async def _read_to_the_end(response: aiohttp.ClientResponse) -> None:
    """Raises Refused for a stream that ends with an error, ConnectionError without an end."""
    async for line in response.content:
        text = line.decode().strip()
        if text == "data: [DONE]":
            return
        if text.startswith("data: ") and "error" in json.loads(text[6:]):
            raise Refused(text[6:156], began=True, again=True)
    raise ConnectionError("the stream ended without its end")
