"""A small OpenAI-compatible server in the tests' own loop: it keeps what it was asked."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

_NAMES = {"id": "theirs-1", "created": 1, "model": "theirs"}
_USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


class EngineServer:
    """Each answer is `words`, and the number of the request where `numbered` is set."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.words = ["One", " two", " three"]
        self.deltas: list[dict[str, Any]] = []  # of a streamed chat, in place of the words
        self.message: dict[str, Any] = {}  # of a whole chat, in place of the words
        self.finish_reason = "stop"
        self.beside: Callable[[dict[str, Any]], Any] = lambda body: None  # instead of a completion
        self.numbered = False
        self.status = 200
        self.breaks_off = False  # in the middle of a stream
        self.goes_on = asyncio.Event()  # answers wait for it
        self.goes_on.set()
        self.second_half = asyncio.Event()  # they wait for it in their middle
        self.second_half.set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._answer(head, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if b"content-length" in line), 0
        )
        if not head.startswith(b"POST"):
            return writer.write(_response(200, b'{"data":[]}'))
        body = orjson.loads(await reader.readexactly(length))
        self.asked.append(body)
        await self.goes_on.wait()
        if self.status != 200:
            return writer.write(_response(self.status, b'{"error":{"message":"no"}}'))
        answer = self._stream(body) if body.get("stream") else _response(200, self._whole(body))
        half = len(answer) // 2
        writer.write(answer[:half])
        await writer.drain()
        if self.breaks_off:
            return writer.close()
        await self.second_half.wait()
        return writer.write(answer[half:])

    @property
    def _said(self) -> list[str]:
        return [*self.words, f" #{len(self.asked)}"] if self.numbered else self.words

    def _whole(self, body: dict[str, Any]) -> bytes:
        if other := self.beside(body):
            return orjson.dumps(other)
        text = "".join(self._said)
        choice: dict[str, Any] = {"index": 0, "finish_reason": self.finish_reason}
        if "messages" in body:
            choice["message"] = self.message or {"role": "assistant", "content": text}
            kind = "chat.completion"
        else:
            choice["text"], kind = text, "text_completion"
        return orjson.dumps({**_NAMES, "object": kind, "choices": [choice], "usage": _USAGE})

    def _stream(self, body: dict[str, Any]) -> bytes:
        chat = "messages" in body
        kind = "chat.completion.chunk" if chat else "text_completion"
        pieces: list[dict[str, Any]] = [
            {
                "index": 0,
                "finish_reason": None,
                **({"delta": each} if chat else {"text": each["content"]}),
            }
            for each in self.deltas or [{"content": word} for word in self._said]
        ]
        end: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
        pieces.append({"index": 0, "finish_reason": self.finish_reason, **end})
        events = [{**_NAMES, "object": kind, "choices": [piece]} for piece in pieces]
        events.append({**_NAMES, "object": kind, "choices": [], "usage": _USAGE})
        lines = [*(b"data: " + orjson.dumps(event) for event in events), b"data: [DONE]", b""]
        text = b"\n\n".join(lines)
        return _response(200, text, b"text/event-stream")


def _response(status: int, body: bytes, kind: bytes = b"application/json") -> bytes:
    head = b"HTTP/1.1 %d X\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n"
    return head % (status, kind, len(body)) + body
