"""The likelihood of given texts, of which an engine kind may be able (`Engine.scoring`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class TokenScore(NamedTuple):
    """The score of one token after those before it."""

    loss: float  # negative logarithm of its likelihood, base e
    top: int  # the likeliest token in its place
    outside: bool = False  # not among those that the engine listed: the loss is an estimate


@dataclass(slots=True)
class Scores:
    """The scores of a continuation, and how many questions the engine answered for them."""

    tokens: list[TokenScore]
    questions: int = 0


class Scoring(Protocol):
    """The use of an engine for a while. All methods raise EngineFailed."""

    piece: int  # tokens of a continuation that take about a second, or one question

    async def tokens(self, text: str, *, begins: bool) -> list[int]:
        """Returns the tokens of a text, with the model's own first token if the text `begins`."""
        ...

    async def score(self, prompt: Sequence[int], continuation: Sequence[int]) -> Scores:
        """Returns the scores of each token of the continuation. The prompt is not empty."""
        ...
