"""The bytes the mock engine answers with, shaped like those of OpenAI and vLLM."""

import re
import time
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from math import log
from operator import itemgetter
from typing import Any, Literal
from zlib import crc32

import orjson

PROMPT_TOKENS = 20
Reasoning = Literal["field", "tags"]
REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)
STREAM_END = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"
_WORDS = re.compile(r"( t\d+)+$")  # behind a prompt: words of its own


@dataclass(slots=True)
class Ask:
    """The fields of a request body that the mock reads; it ignores the rest."""

    model: str
    stream: bool
    include_usage: bool
    max_tokens: int | None
    chat: bool
    begun: int = 0  # tokens of the answer that it goes on with, as vLLM does
    prompt: int = PROMPT_TOKENS
    cached: int = 0  # of them
    positive: float | None = None  # probability of `yes`, for an ask with log-probabilities


def read_ask(body: bytes, chat: bool) -> Ask:
    """Raises ValueError for a body that no engine would take."""
    data = orjson.loads(body)
    if not isinstance(data, dict) or ("messages" if chat else "prompt") not in data:
        raise ValueError("messages or prompt is missing")
    options = data.get("stream_options") or {}
    return Ask(
        model=str(data.get("model", "mock")),
        stream=bool(data.get("stream")),
        include_usage=bool(options.get("include_usage")),
        max_tokens=data.get("max_completion_tokens") or data.get("max_tokens"),
        chat=chat,
        begun=_begun(data, chat),
        positive=_positive(data) if data.get("logprobs") else None,
    )


def _positive(data: dict[str, Any]) -> float:
    """Returns a probability that is the same for the same prompt, from 0.01 to 0.99."""
    prompt = orjson.dumps(data.get("messages") or data.get("prompt"))
    return 0.01 + 0.98 * (crc32(prompt) % 1000) / 999


def scored(ask: Ask, number: int, finish: str) -> bytes:
    """The whole HTTP response of one token, `yes` or `no`, with both probabilities."""
    p = ask.positive or 0.5
    rows = [{"token": "yes", "logprob": log(p)}, {"token": "no", "logprob": log(1 - p)}]
    rows.sort(key=itemgetter("logprob"), reverse=True)
    top, text = rows[0], rows[0]["token"]
    if ask.chat:
        logprobs: dict[str, Any] = {"content": [{**top, "bytes": None, "top_logprobs": rows}]}
    else:
        likely = {row["token"]: row["logprob"] for row in rows}
        logprobs = {"tokens": [text], "token_logprobs": [top["logprob"]], "top_logprobs": [likely]}
    message = {"message": {"role": "assistant", "content": text}} if ask.chat else {"text": text}
    choice = {"index": 0, "logprobs": logprobs, "finish_reason": finish, **message}
    kind = ("chatcmpl", "chat.completion") if ask.chat else ("cmpl", "text_completion")
    head = {"id": f"{kind[0]}-{number:012d}", "object": kind[1], "created": int(time.time())}
    body = {**head, "model": ask.model, "choices": [choice], "usage": usage(1)}
    return response(200, orjson.dumps(body))


def _begun(data: dict[str, Any], chat: bool) -> int:
    if chat:
        last = data["messages"][-1] if data.get("continue_final_message") else {}
        return len(str(last.get("content") or "").split())
    words = _WORDS.search(data["prompt"]) if isinstance(data["prompt"], str) else None
    return len(words[0].split()) if words else 0


def word(number: int) -> str:
    """The text of token `number`: tells a test which token was lost or doubled."""
    return f" t{number}"


def words(count: int) -> str:
    return "".join(map(word, range(count)))


def usage(
    tokens: int, begun: int = 0, prompt: int = PROMPT_TOKENS, cached: int = 0
) -> dict[str, Any]:
    whole = prompt + begun
    counts: dict[str, Any] = {"prompt_tokens": whole, "completion_tokens": tokens}
    if cached:
        counts["prompt_tokens_details"] = {"cached_tokens": cached}
    return counts | {"total_tokens": whole + tokens}


def response(status: int, body: bytes, more: bytes = b"") -> bytes:
    """`more`: whole lines of its head."""
    return (
        b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n"
        % (status, REASONS[status], more, len(body))
    ) + body


def error(status: int, message: str) -> bytes:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    body = {"error": {"message": message, "type": kind, "param": None, "code": None}}
    return response(status, orjson.dumps(body))


FAILURES = {
    "http_500": error(500, "the mock engine was told to fail"),
    "http_429": error(429, "the mock engine was told to be full"),
    "redirect": response(307, b"", b"location: http://127.0.0.1:9/elsewhere\r\n"),
    "garbage": response(200, b"\x00\xff this is no answer"),
}


def with_wrong_usage(answer: bytes) -> bytes:
    """Misname a count, which keeps the length and so the head true."""
    return answer.replace(b'"completion_tokens":', b'"completion_tokenz":')


def json_answer(ask: Ask, number: int, tokens: int, finish: str) -> bytes:
    """The whole HTTP response of a request that does not stream."""
    if ask.positive is not None:
        return scored(ask, number, finish)
    head, tail = _json_parts(ask.model, ask.chat, tokens, finish)
    return response(200, head + b"%012d" % number + tail)


@lru_cache(maxsize=256)
def _json_parts(model: str, chat: bool, tokens: int, finish: str) -> tuple[bytes, bytes]:
    choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": finish}
    choice |= (
        {"message": {"role": "assistant", "content": words(tokens)}}
        if chat
        else {"text": words(tokens)}
    )
    body = orjson.dumps(
        {
            "id": ("chatcmpl-" if chat else "cmpl-") + "@",
            "object": "chat.completion" if chat else "text_completion",
            "created": int(time.time()),
            "model": model,
            "choices": [choice],
            "usage": usage(tokens),
        }
    )
    head, _, tail = body.partition(b"@")
    return head, tail


class StreamPieces:
    """The frames of one stream, each a chunk of HTTP/1.1 chunked encoding."""

    __slots__ = (
        "_begun",
        "_cached",
        "_chat",
        "_close",
        "_head",
        "_how",
        "_open",
        "_prompt",
        "_thoughts",
    )

    def __init__(
        self, ask: Ask, number: int, how: Reasoning | None = None, thoughts: int = 0
    ) -> None:
        """The first tokens are `thoughts`: in a field of their own, or in <think> tags."""
        self._how, self._thoughts = how, thoughts
        self._chat, self._begun = ask.chat, ask.begun
        self._prompt, self._cached = ask.prompt, ask.cached
        kind = "chat.completion.chunk" if ask.chat else "text_completion"
        prefix = "chatcmpl" if ask.chat else "cmpl"
        model = orjson.dumps(ask.model).decode()
        self._head = (
            f'data: {{"id":"{prefix}-{number:012d}","object":"{kind}",'
            f'"created":{int(time.time())},"model":{model},"choices":'
        )
        self._open = '[{"index":0,' + ('"delta":{"content":"' if ask.chat else '"text":"')
        self._close = ('"}' if ask.chat else '"') + ',"logprobs":null,"finish_reason":null}]}\n\n'

    def role(self) -> bytes:
        """The chunk that opens a chat stream; nothing for a text completion."""
        if not self._chat:
            return b""
        delta = '"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null'
        return framed(f'{self._head}[{{"index":0,{delta}}}]}}\n\n'.encode())

    def token(self, number: int) -> bytes:
        if self._how:
            return self._thought(number)
        return framed(f"{self._head}{self._open}{word(self._begun + number)}{self._close}".encode())

    def _thought(self, number: int) -> bytes:
        opens, text = self._open, word(number)
        if self._how == "field" and number < self._thoughts:
            opens = opens.replace("content", "reasoning_content")
        elif self._how == "tags" and number == 0:
            text = f"<think>\\n{text}"
        elif self._how == "tags" and number == self._thoughts:
            text = f"\\n</think>\\n\\n{text}"
        return framed(f"{self._head}{opens}{text}{self._close}".encode())

    def finish(self, reason: str) -> bytes:
        what = '"delta":{}' if self._chat else '"text":""'
        choice = f'{{"index":0,{what},"logprobs":null,"finish_reason":"{reason}"}}'
        return framed(f"{self._head}[{choice}]}}\n\n".encode())

    def usage(self, tokens: int) -> bytes:
        counts = orjson.dumps(usage(tokens, self._begun, self._prompt, self._cached)).decode()
        return framed(f'{self._head}[],"usage":{counts}}}\n\n'.encode())


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
