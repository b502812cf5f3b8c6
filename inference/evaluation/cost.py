"""The tokens of an evaluation: what is billed for an item, and the most that all may take.

Each token of a text, a prompt or a choice is billed once as a prompt's, each question to an engine
as a token of an answer, whatever the engine had in its cache. A token has at least one byte.
"""

from typing import NamedTuple

from inference.evaluation.content import SCORED, Content, Item, Kind

PROMPT_OVERHEAD = 64  # tokens of a chat's template for each item
BYTES_OF_A_TOKEN = 4  # on average, of text


class Reserve(NamedTuple):
    """The most tokens that work may take, which are set aside."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def likely(self) -> int:
        return max(1, (self.prompt_tokens + self.completion_tokens) // BYTES_OF_A_TOKEN)


def reserve(content: Content) -> Reserve:
    items, options = content.test_items, content.options
    sizes = [_size(item, options.separator) for item in items]
    prompt = sum(sizes) + PROMPT_OVERHEAD * len(items)
    if content.kind == Kind.PERPLEXITY:
        return Reserve(prompt, sum(sizes))
    if content.kind in SCORED:
        return Reserve(prompt, sum(_choices_size(item, options.separator) for item in items))
    return Reserve(prompt, options.max_tokens * len(items))


def _size(item: Item, separator: str) -> int:
    texts = [item.text, item.prompt, *(each["content"] for each in item.messages)]
    return sum(len(text.encode()) for text in texts) + _choices_size(item, separator)


def _choices_size(item: Item, separator: str) -> int:
    return sum(len((separator + choice).encode()) for choice in item.choices)
