"""Log probabilities in OpenAI's form, from llama.cpp's.

llama.cpp has one shape for chats and texts, {"content": [{"token", "logprob", "top_logprobs":
[{"token", "logprob"}]}]}. OpenAI's shape for a text is {"tokens", "token_logprobs", "top_logprobs",
"text_offset"}, where an offset counts characters of the answer. llama.cpp reports 20 alternatives
without a number, and no log probability at all for 0: so it is asked for one, which is left out of
the answer.
"""

from typing import Any

import orjson

from inference.order import Order

_REQUESTED = b'"logprobs":'  # in a body; in a text its quotes would be escaped
_CONTENT = b'"logprobs":{"content":'


class Logprobs:
    """Translates one answer, whole or in events; `most` alternatives for each token."""

    def __init__(self, *, chat: bool, most: int) -> None:
        self._chat, self._most, self._offset = chat, most, 0

    @classmethod
    def for_order(cls, order: Order) -> "Logprobs | None":
        if _REQUESTED not in order.body:
            return None
        body = orjson.loads(order.body)
        logprobs = body.get("logprobs")
        if logprobs is None or logprobs is False:
            return None
        most = body.get("top_logprobs") if order.chat else logprobs
        return cls(chat=order.chat, most=most or 0)

    @property
    def outgoing(self) -> bytes:
        """Returns further fields of the body, which override those that are there."""
        if self._most:
            return b""
        return b',"top_logprobs":1' if self._chat else b',"logprobs":1'

    def of_answer(self, body: bytes) -> bytes:
        return self._shaped(body) if _CONTENT in body and not self._is_shaped else body

    def of_event(self, event: bytes) -> bytes:
        if self._is_shaped or _CONTENT not in event or not event.startswith(b"data:"):
            return event
        return b"data: " + self._shaped(event.removeprefix(b"data:"))

    @property
    def _is_shaped(self) -> bool:
        return self._chat and self._most > 0

    def _shaped(self, body: bytes) -> bytes:
        try:
            answer = orjson.loads(body)
            for choice in answer["choices"]:
                if choice.get("logprobs"):
                    self._shape(choice)
        except (ValueError, LookupError, TypeError, AttributeError):
            return body  # the reader of the answer reports the fault
        return orjson.dumps(answer)

    def _shape(self, choice: dict[str, Any]) -> None:
        tokens = choice["logprobs"]["content"]
        if not self._chat:
            choice["logprobs"] = self._columns(tokens)
            return
        for token in tokens:
            token["top_logprobs"] = []

    def _columns(self, tokens: list[dict[str, Any]]) -> dict[str, Any]:
        offsets = []
        for token in tokens:
            offsets.append(self._offset)
            self._offset += len(token["token"])
        top = [
            {other["token"]: other["logprob"] for other in token["top_logprobs"]}
            for token in tokens
        ]
        return {
            "tokens": [token["token"] for token in tokens],
            "token_logprobs": [token["logprob"] for token in tokens],
            "top_logprobs": top if self._most else None,
            "text_offset": offsets,
        }
