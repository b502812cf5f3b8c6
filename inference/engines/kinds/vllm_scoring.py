"""Likelihood of texts on vLLM, which gives logprobs of a prompt: one question for each text."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from inference.engines.scoring import Scores, TokenScore

Ask = Callable[[str, dict[str, Any]], Awaitable[Any]]


class VllmScoring:
    """`ask` posts to a path of the server; `common` are fields of each question."""

    piece = 2**31

    def __init__(self, ask: Ask, common: dict[str, Any]) -> None:
        self._ask, self._common = ask, common

    async def tokens(self, text: str, *, begins: bool) -> list[int]:
        body = {"model": self._common["model"], "prompt": text, "add_special_tokens": begins}
        answer = await self._ask("/tokenize", body)
        return [int(token) for token in answer["tokens"]]

    async def score(self, prompt: Sequence[int], continuation: Sequence[int]) -> Scores:
        tokens = [*prompt, *continuation]
        body = {"prompt": tokens, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 1}
        answer = await self._ask("/v1/completions", {**self._common, **body})
        places = answer["choices"][0]["prompt_logprobs"][len(prompt) :]
        scores = [_score(place, t) for place, t in zip(places, continuation, strict=True)]
        return Scores(scores, questions=1)


def _score(place: dict[str, dict[str, Any]], token: int) -> TokenScore:
    """Returns the score of a token. A place lists it and the likeliest one, by their numbers."""
    top = next(number for number, each in place.items() if each["rank"] == 1)
    return TokenScore(-float(place[str(token)]["logprob"]), int(top))
