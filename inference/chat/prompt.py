"""What the model gets to read: the conversation so far, as much of it as fits.

How many tokens a text has, only the engine knows. It told so for every earlier prompt of the
conversation: what it counted last corrects the rule of thumb here. Where it still found a prompt
too long, the next one is half as long.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from inference.engines.base import Engine
from inference.validation import requests
from inference.validation.schemas import Body

ANSWER_TOKENS = 4096  # the most in one answer; "continue" asks for more
TEMPLATE_TOKENS = 6  # that a chat template puts around a message
SHORTEST_ANSWER = 32  # tokens: the least that is offered where a quota has no room for more
ASCII_PER_TOKEN = 4  # characters; of others, Chinese above all, one is about a token
MARGIN = 0.9
SCALES = (0.4, 4.0)  # the least and the most that is believed

Message = dict[str, str]


@dataclass(frozen=True)
class Earlier:
    """What was said before, and what is known of its length."""

    said: list[Message] = field(default_factory=list)
    dropped: int = 0  # older messages, and questions that the model could not read
    scale: float = 1.0  # tokens as the engine counts them, to one as we do
    too_long: int = 0  # so often in a row the engine has refused


class Prompt(NamedTuple):
    body: Body
    left_out: int  # messages


def fitted(
    earlier: Earlier, question: str, engine: Engine, max_tokens: int | None = None
) -> Prompt:
    """`max_tokens`: of an answer that is to be shorter than usual."""
    context = engine.context_length
    answer = min(ANSWER_TOKENS, context // 2, max_tokens or ANSWER_TOKENS)
    room = (context - answer) * MARGIN / earlier.scale / 2**earlier.too_long
    messages = [*earlier.said, {"role": "user", "content": question}]
    kept = _latest(messages, room)
    body = {
        "model": engine.config.name,
        "messages": _alternating(kept),
        "max_tokens": answer,
        "stream": True,
    }
    return Prompt(body, earlier.dropped + len(messages) - len(kept))


def scale(messages: list[Message], prompt_tokens: int) -> float:
    """For messages that the engine has counted."""
    low, high = SCALES
    return min(high, max(low, prompt_tokens / max(1.0, sum(map(_tokens, messages)))))


def estimate(request: Body) -> int:
    """As for a request without a limit: few answers come near theirs."""
    return requests.estimate(sum(len(m["content"].encode()) for m in request["messages"]), {})


def _alternating(messages: list[Message]) -> list[Message]:
    """A question that got no answer goes with the next: many templates want strict turns."""
    turns: list[Message] = []
    for message in messages:
        if turns and turns[-1]["role"] == message["role"]:
            joined = f"{turns[-1]['content']}\n\n{message['content']}"
            turns[-1] = {"role": message["role"], "content": joined}
        else:
            turns.append(message)
    return turns


def _latest(messages: list[Message], room: float) -> list[Message]:
    """The newest ones within so many tokens, beginning with a question; always the last."""
    first = len(messages) - 1
    room -= _tokens(messages[first])
    while first and (room := room - _tokens(messages[first - 1])) >= 0:
        first -= 1
    while messages[first]["role"] != "user":
        first += 1
    return messages[first:]


def _tokens(message: Message) -> float:
    text = message["content"]
    plain = sum(map(str.isascii, text)) if not text.isascii() else len(text)
    return TEMPLATE_TOKENS + plain / ASCII_PER_TOKEN + len(text) - plain
