"""The choices of a request: `n` answers to each of its prompts.

Choice number `prompt * n + i` is answer `i` to a prompt, as OpenAI numbers them. Some engines make
all answers to a prompt at once, and read it once (`Engine.makes_together`). Others are asked for
each answer apart, and read the prompt each time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from inference.order import Order

Body = dict[str, Any]


class Several(msgspec.Struct, frozen=True):
    """The prompts of a request, the answers to each, and how often an engine may read each."""

    prompts: int = 1
    each: int = 1
    reads: int = 1

    @property
    def count(self) -> int:
        return self.prompts * self.each


ONE = Several()


@dataclass(frozen=True, slots=True)
class Question:
    """A question to an engine. Its `count` answers are the choices from number `first` on."""

    order: Order
    first: int = 0
    count: int = 1


def prompts_of(body: Body) -> list[Any]:
    """Returns the prompts of a body; of a chat or a single prompt one."""
    prompt: Any = body.get("prompt")
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        return prompt
    return [prompt]


def several_of(body: Body, *, read_once: bool) -> Several:
    """Returns the numbers of a checked body. `read_once`: all its engines make them together."""
    prompts, each = len(prompts_of(body)), int(body.get("n") or 1)
    if prompts * each == 1:
        return ONE
    return Several(prompts, each, 1 if read_once else each)


def questions(order: Order, makes_together: Callable[[Body], bool]) -> Iterator[Question]:
    """Yields the questions of an order: one for all answers to a prompt, or one for each."""
    body = orjson.loads(order.body)
    together = makes_together(body)
    each = int(body.pop("n", None) or 1)
    for number, prompt in enumerate(prompts_of(body)):
        own = body | {"prompt": prompt} if "prompt" in body else body
        if together:
            n = {"n": each} if each > 1 else {}
            yield Question(_asking(order, own | n), number * each, each)
            continue
        same = _asking(order, own)
        for i in range(each):
            one = _asking(order, _seeded(own, i)) if own.get("seed") is not None else same
            yield Question(one, number * each + i)


def _asking(order: Order, body: Body) -> Order:
    return msgspec.structs.replace(order, body=orjson.dumps(body), choices=1)


def _seeded(body: Body, number: int) -> Body:
    """Returns the body with a seed of its own: with the same one all answers would be the same."""
    return body | {"seed": _within(body["seed"] + number)}


def _within(seed: int) -> int:
    """Returns a seed that fits into 64 bits."""
    return seed if seed < 2**63 else seed - 2**64
