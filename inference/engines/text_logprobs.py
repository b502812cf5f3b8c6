"""Log probabilities of a text completion in OpenAI's shape; llama.cpp gives those of a chat.

From {"content": [{"token", "logprob", "top_logprobs": [{"token", "logprob"}]}]} to {"tokens",
"token_logprobs", "top_logprobs", "text_offset"}, where an offset counts characters of the answer.
"""

from typing import Any

import orjson

ASKED = b'"logprobs":'  # in a body; in a text its quotes would be escaped
_GIVEN = b'"logprobs":{"content":'


class TextLogprobs:
    """Of one answer, whole or in events."""

    def __init__(self) -> None:
        self._offset = 0

    def of_answer(self, body: bytes) -> bytes:
        return self._shaped(body) if _GIVEN in body else body

    def of_event(self, event: bytes) -> bytes:
        if _GIVEN not in event or not event.startswith(b"data:"):
            return event
        return b"data: " + self._shaped(event.removeprefix(b"data:"))

    def _shaped(self, body: bytes) -> bytes:
        try:
            answer = orjson.loads(body)
            for choice in answer["choices"]:
                if choice.get("logprobs"):
                    choice["logprobs"] = self._columns(choice["logprobs"]["content"])
        except (ValueError, LookupError, TypeError, AttributeError):
            return body  # whoever reads it says what is wrong
        return orjson.dumps(answer)

    def _columns(self, tokens: list[dict[str, Any]]) -> dict[str, Any]:
        offsets = []
        for token in tokens:
            offsets.append(self._offset)
            self._offset += len(token["token"])
        return {
            "tokens": [token["token"] for token in tokens],
            "token_logprobs": [token["logprob"] for token in tokens],
            "top_logprobs": [
                {other["token"]: other["logprob"] for other in token["top_logprobs"]}
                for token in tokens
            ],
            "text_offset": offsets,
        }
