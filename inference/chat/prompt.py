"""Makes the prompt: the conversation so far, as much of it as fits.

Only the engine can count tokens. It has reported the number for every earlier prompt of the
conversation: the last one corrects the estimate here. After a prompt that was too long, the next
one is half as long.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from inference.chat import content
from inference.chat.content import Content, readable_by
from inference.chat.presets.settings import NO_SETTINGS, parameters
from inference.chat.protocol import ChatSettings
from inference.engines.base import Engine
from inference.validation import requests
from inference.validation.schemas import Body

ANSWER_TOKENS = 4096  # the most in one answer; "continue" asks for more
RESERVE_TOKENS = 1024  # that no message may take from the answer; few answers are longer
TEMPLATE_TOKENS = 6  # that a chat template adds to a message
SHORTEST_ANSWER = 32  # tokens: the least to offer if a quota has no room for more
ASCII_PER_TOKEN = 4  # characters; another one, such as a Chinese one, is about a token
MARGIN = 0.9
SCALES = (0.4, 4.0)  # bounds of the correction

Message = dict[str, Any]  # its content is text, or has images too (content.py)


@dataclass(frozen=True)
class Earlier:
    """Earlier messages, and what is known of their length."""

    messages: list[Message] = field(default_factory=list)
    dropped: int = 0  # older messages, and questions that the model could not read
    scale: float = 1.0  # the engine's tokens for each estimated one
    too_long: int = 0  # refusals by the engine in a row
    settings: ChatSettings = NO_SETTINGS


class Prompt(NamedTuple):
    body: Body
    left_out: int  # messages


def fitted(
    earlier: Earlier, question: Content, engine: Engine, max_tokens: int | None = None
) -> Prompt:
    """Returns the prompt. `max_tokens` asks for a shorter answer than usual."""
    messages = [*earlier.messages, {"role": "user", "content": question}]
    messages = [{**each, "content": readable_by(engine, each["content"])} for each in messages]
    latest = _latest(messages, question_room(earlier, engine))
    system, settings = system_messages(earlier.settings), earlier.settings
    answer = _answer_tokens(earlier, [*system, *latest], engine.context_length)
    most = [each for each in (max_tokens, settings.max_tokens) if each]
    body = {
        "model": engine.config.name,
        "messages": [*system, *_alternating(latest)],
        "max_tokens": min([answer, *most]),
        "stream": True,
        **parameters(settings),
    }
    return Prompt(body, earlier.dropped + len(messages) - len(latest))


def _answer_tokens(earlier: Earlier, messages: list[Message], context: int) -> int:
    """Returns the tokens that these messages leave to the answer, at least those reserved."""
    remaining = context - round(sum(map(_tokens, messages)) * _stretch(earlier))
    reserved = max(SHORTEST_ANSWER, _reserve(context) >> earlier.too_long)
    return min(max(reserved, remaining), context // 2, ANSWER_TOKENS)


def question_room(earlier: Earlier, engine: Engine) -> float:
    """Returns the estimated tokens of the longest prompt that leaves the answer enough."""
    return room(engine.context_length) / _stretch(earlier) - tokens(earlier.settings.system)


def system_messages(settings: ChatSettings) -> list[Message]:
    return [{"role": "system", "content": settings.system}] if settings.system else []


def _stretch(earlier: Earlier) -> float:
    """Returns the engine's tokens, with a margin, for each estimated one."""
    stretch: float = earlier.scale * 2**earlier.too_long / MARGIN
    return stretch


def room(context: int) -> int:
    """Returns the tokens of a context that messages may fill: the rest is for the answer."""
    return context - _reserve(context)


def _reserve(context: int) -> int:
    return min(RESERVE_TOKENS, context // 4)


def scale(messages: list[Message], prompt_tokens: int) -> float:
    """Returns the correction by messages that the engine has counted."""
    low, high = SCALES
    return min(high, max(low, prompt_tokens / max(1.0, sum(map(_tokens, messages)))))


def estimate(request: Body) -> int:
    """Returns the estimate of a request without a limit: few answers come near theirs."""
    images = sum(len(content.images_in(message["content"])) for message in request["messages"])
    return requests.estimate(length(request), {}) + content.IMAGE_TOKENS * images


def total_tokens(earlier: Earlier) -> float:
    """Returns the estimate of all earlier messages, with the system prompt."""
    messages = [*system_messages(earlier.settings), *earlier.messages]
    return sum(map(_tokens, messages)) * earlier.scale


def length(request: Body) -> int:
    """Returns the bytes of its texts."""
    contents = (message["content"] for message in request["messages"])
    return sum(len(content.text_in(each).encode()) for each in contents)


def _alternating(messages: list[Message]) -> list[Message]:
    """Join an unanswered question with the next: many templates require strict turns."""
    turns: list[Message] = []
    for message in messages:
        if turns and turns[-1]["role"] == message["role"]:
            joined = content.joined(turns[-1]["content"], message["content"])
            turns[-1] = {"role": message["role"], "content": joined}
        else:
            turns.append(message)
    return turns


def _latest(messages: list[Message], room: float) -> list[Message]:
    """Returns the newest messages that fit, beginning with a question; always the last one."""
    first = len(messages) - 1
    room -= _tokens(messages[first])
    while first and (room := room - _tokens(messages[first - 1])) >= 0:
        first -= 1
    while messages[first]["role"] != "user":
        first += 1
    return messages[first:]


def _tokens(message: Message) -> float:
    return TEMPLATE_TOKENS + content_tokens(message["content"])


def content_tokens(each: Content) -> float:
    """Returns the estimate of a message's content."""
    return tokens(content.text_in(each)) + content.IMAGE_TOKENS * len(content.images_in(each))


def tokens(text: str) -> float:
    """Returns the estimate of a text."""
    plain = sum(map(str.isascii, text)) if not text.isascii() else len(text)
    return plain / ASCII_PER_TOKEN + len(text) - plain
