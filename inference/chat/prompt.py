"""What the model gets to read: the conversation so far, as much of it as fits."""

from inference.engines.base import Engine
from inference.openai import shapes
from inference.openai.schemas import Body

ANSWER_TOKENS = 4096  # the most in one answer; "continue" asks for more
BYTES_PER_TOKEN = 3  # of UTF-8, on the safe side for Chinese and English alike

Message = dict[str, str]


def body(messages: list[Message], engine: Engine) -> Body:
    context = engine.config.context_length
    answer = min(ANSWER_TOKENS, context // 2)
    return {
        "model": engine.config.name,
        "messages": _latest(_alternating(messages), (context - answer) * BYTES_PER_TOKEN),
        "max_tokens": answer,
        "stream": True,
    }


def estimate(request: Body) -> int:
    """As for a request without a limit: few answers come near theirs."""
    return shapes.estimate(sum(map(_size, request["messages"])), {})


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


def _latest(messages: list[Message], most: int) -> list[Message]:
    """The newest ones within `most` bytes, beginning with a question; always the last."""
    kept: list[Message] = []
    for message in reversed(messages):
        most -= _size(message)
        if kept and most < 0:
            break
        kept.insert(0, message)
    while kept[0]["role"] != "user":
        kept.pop(0)
    return kept


def _size(message: Message) -> int:
    return len(message["content"].encode())
