"""The latest prompts, as an engine has them in its prefix cache: compared message by message."""

from itertools import takewhile

import orjson

BYTES_A_TOKEN = 4


class PromptCache:
    def __init__(self) -> None:
        self._prompts: list[list[bytes]] = []  # the latest last

    def take(self, body: bytes, most: int) -> tuple[int, int]:
        """Returns the tokens of a chat's prompt, and those that were cached; keeps the prompt.

        `most`: prompts that are kept.
        """
        prompt = [orjson.dumps(message) for message in orjson.loads(body).get("messages", [])]
        cached = max((_common(prompt, each) for each in self._prompts), default=0)
        self._prompts = [*self._prompts, prompt][-most:]
        return sum(map(len, prompt)) // BYTES_A_TOKEN, cached // BYTES_A_TOKEN


def _common(one: list[bytes], other: list[bytes]) -> int:
    """Returns the bytes of the messages with which both begin."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(len(message) for message, _ in pairs)
