"""What a busy day sends, in minutes: waves of streams, JSON, batches, kept answers, refusals."""

import asyncio
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from math import pi, sin

import httpx

CHAT = "/v1/chat/completions"
ALWAYS = [{"role": "user", "content": "What is a forebay?"}]
_Act = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


@dataclass
class Keys:
    """Of a tenant without limits, of one with few requests a minute, and of none."""

    large: str
    small: str
    wrong: str = "sk-fb-nobody-has-this-one"


@dataclass
class Load:
    url: str
    model: str  # that most ask for
    others: tuple[str, ...]  # that are asked for now and then
    keys: Keys
    seconds: float
    crowd: int = 14
    answers: Counter[int] = field(default_factory=Counter)

    async def run(self) -> None:
        self._began = time.monotonic()
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=self.url, timeout=120, limits=limits) as asking:
            await asyncio.gather(
                *(self._person(asking, i) for i in range(self.crowd)),
                self._again(asking, 0.4, self._json),
                self._again(asking, 0.5, self._small),
                self._again(asking, 3.0, self._kept),
                self._again(asking, 5.0, self._stranger),
                self._again(asking, 7.0, self._unknown),
                *(self._again(asking, 2.0, partial(self._other, model)) for model in self.others),
                self._again(asking, 25.0, self._batch),
                self._again(asking, 0.4, self._flood),
                self._again(asking, 6.0, self._sign_in),
            )

    @property
    def _share(self) -> float:
        return (time.monotonic() - self._began) / self.seconds

    async def _person(self, asking: httpx.AsyncClient, number: int) -> None:
        """Two waves; at their tops there are more people than slots, and so in the end."""
        while self._share < 1:
            if number <= 1 + self.crowd * sin(1.75 * pi * self._share) ** 2:
                await self._count(self._stream(asking))
            else:
                await asyncio.sleep(0.3)

    async def _again(self, asking: httpx.AsyncClient, pause_s: float, act: _Act) -> None:
        while self._share < 1:
            await self._count(act(asking))
            await asyncio.sleep(pause_s)

    async def _count(self, asked: Awaitable[httpx.Response]) -> None:
        try:
            self.answers[(await asked).status_code] += 1
        except httpx.HTTPError:
            self.answers[0] += 1

    async def _stream(self, asking: httpx.AsyncClient) -> httpx.Response:
        asked = {"json": self._body(stream=True), "headers": _of(self.keys.large)}
        async with asking.stream("POST", CHAT, **asked) as answer:  # type: ignore[arg-type]  # httpx checks them
            async for _line in answer.aiter_lines():
                pass
        return answer

    def _json(self, asking: httpx.AsyncClient) -> Awaitable[httpx.Response]:
        return asking.post(CHAT, json=self._body(max_tokens=20), headers=_of(self.keys.large))

    def _small(self, asking: httpx.AsyncClient) -> Awaitable[httpx.Response]:
        return asking.post(CHAT, json=self._body(max_tokens=10), headers=_of(self.keys.small))

    def _kept(self, asking: httpx.AsyncClient) -> Awaitable[httpx.Response]:
        headers = {**_of(self.keys.large), "x-forebay-cache": "use"}
        asked = self._body(temperature=0, seed=int(self._share * 6), messages=ALWAYS)
        return asking.post(CHAT, json=asked, headers=headers)

    def _stranger(self, asking: httpx.AsyncClient) -> Awaitable[httpx.Response]:
        return asking.post(CHAT, json=self._body(), headers=_of(self.keys.wrong))

    def _flood(self, asking: httpx.AsyncClient) -> Awaitable[httpx.Response]:
        """From one address, more than it may."""
        headers = {**_of(self.keys.wrong), "X-Forwarded-For": "203.0.113.7"}
        return asking.post(CHAT, json=self._body(), headers=headers)

    async def _sign_in(self, asking: httpx.AsyncClient) -> httpx.Response:
        """With a password that is wrong."""
        async with httpx.AsyncClient(base_url=self.url, headers=_somewhere()) as browser:
            page = (await browser.get("/login/")).text
            token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
            asked = {"login": "nobody@acme.example", "password": "wrong"}
            return await browser.post(
                "/login/", data={**asked, "csrfmiddlewaretoken": token[1] if token else ""}
            )

    def _unknown(self, asking: httpx.AsyncClient) -> Awaitable[httpx.Response]:
        return asking.post(CHAT, json=self._body(model="gone"), headers=_of(self.keys.large))

    def _other(self, model: str, asking: httpx.AsyncClient) -> Awaitable[httpx.Response]:
        asked = self._body(model=model, max_tokens=24)
        return asking.post(CHAT, json=asked, headers=_of(self.keys.large))

    async def _batch(self, asking: httpx.AsyncClient) -> httpx.Response:
        body = self._body(max_tokens=40)
        lines = [
            {"custom_id": str(n), "method": "POST", "url": CHAT, "body": body} for n in range(20)
        ]
        text = "\n".join(map(json.dumps, lines)).encode()
        sent = await asking.post(
            "/v1/files",
            headers=_of(self.keys.large),
            data={"purpose": "batch"},
            files={"file": ("lines.jsonl", text)},
        )
        wanted = {"input_file_id": sent.json()["id"], "endpoint": CHAT, "completion_window": "24h"}
        return await asking.post("/v1/batches", headers=_of(self.keys.large), json=wanted)

    def _body(self, **fields: object) -> dict[str, object]:
        said = f"{next(_NUMBERS)}: what is a forebay?"
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": said}],
            **fields,
        }


_NUMBERS = itertools.count()


def _of(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", **_somewhere()}


def _somewhere() -> dict[str, str]:
    """From one of many addresses."""
    return {"X-Forwarded-For": f"198.51.100.{next(_NUMBERS) % 200}"}
