"""Likelihood of texts on llama.cpp's server, which has no logprobs of a prompt.

So the prompt grows by a token at a time, and each answer lists the likeliest next tokens. Only the
new token is computed, the others are in the slot's cache. A token outside of the list gets an equal
part of the likelihood that the list leaves, so that all likelihoods add up to one.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import exp, log
from typing import Any, NamedTuple

from inference.engines.kinds.prompt_slots import Knowledge, Lease
from inference.engines.scoring import Scores, TokenScore

LISTED = 1000  # next tokens in an answer
LEAST_REST = 1e-6  # of the likelihood: the logarithms in an answer are rounded
SURE = 1000  # added to a token's logit, so that it is the one that is made
Ask = Callable[[str, dict[str, Any]], Awaitable[Any]]


class NextTokens(NamedTuple):
    """The likeliest tokens of one place, and the loss of each other one."""

    losses: dict[int, float]
    top: int
    other: float

    def score(self, token: int) -> TokenScore:
        loss = self.losses.get(token)
        return TokenScore(self.other if loss is None else loss, self.top, loss is None)


class LlamaCppScoring:
    """`ask` posts to a path of the server. The slot is the lease's as long as this is used.

    `fields` are further ones of each question, such as an adapter.
    """

    piece = 16

    def __init__(
        self,
        ask: Ask,
        lease: Lease,
        knowledge: Callable[[], Knowledge | None],
        vocabulary: int,
        fields: Mapping[str, Any] = {},
    ) -> None:
        self._fields = fields
        self._ask, self._lease, self._knowledge = ask, lease, knowledge
        self._since, self._vocabulary = knowledge(), vocabulary
        self._places: dict[tuple[int, ...], NextTokens] = {}
        self._letter: int | None = None

    async def tokens(self, text: str, *, begins: bool) -> list[int]:
        body = {"content": text, "add_special": begins, "parse_special": False}
        answer = await self._ask("/tokenize", body)
        return [int(token) for token in answer["tokens"]]

    async def score(self, prompt: Sequence[int], continuation: Sequence[int]) -> Scores:
        scores = Scores([])
        for number, token in enumerate(continuation):
            before = (*prompt, *continuation[:number])
            place = self._places.get(before)
            if place is None:
                place = self._places[before] = await self._next(before, scores)
            scores.tokens.append(place.score(token))
        return scores

    async def _next(self, before: tuple[int, ...], scores: Scores) -> NextTokens:
        if self._letter is None:
            self._letter = (await self.tokens("a", begins=False))[-1]
        answer = await self._ask(
            "/completion",
            {
                **self._fields,
                "prompt": list(before),
                "n_predict": 1,
                "n_probs": LISTED,
                "post_sampling_probs": False,
                "temperature": 0,
                # The list leaves the bias out. An answer that ends within a character, as one of
                # Chinese may after a token, has no list; a letter always has one.
                "logit_bias": [[self._letter, SURE]],
                "cache_prompt": self._may_use_cache(),
                "id_slot": self._lease.number,
            },
        )
        self._lease.served = True
        scores.questions += 1
        return self._listed(answer["completion_probabilities"][0]["top_logprobs"])

    def _may_use_cache(self) -> bool:
        """Returns whether the slot's prompt is surely the tenant's own: it is after an answer."""
        if not self._lease.served:
            return self._lease.own_cache
        return self._since is not None and self._knowledge() == self._since

    def _listed(self, listed: list[dict[str, Any]]) -> NextTokens:
        losses = {int(each["id"]): -float(each["logprob"]) for each in listed}
        rest = max(LEAST_REST, 1 - sum(exp(-loss) for loss in losses.values()))
        others = max(1, self._vocabulary - len(losses))
        return NextTokens(losses, int(listed[0]["id"]), -log(rest / others))
