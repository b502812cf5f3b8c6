"""Figures of a task set, each beside what no model is needed for."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from trainer.scoring.answers import Reader, probabilities
from trainer.scoring.next_tokens import Tally, next_logits
from trainer.scoring.tasks import Item, TaskSet

Z = 1.96  # of an interval of 95 %


@dataclass(slots=True)
class Scores:
    """Figures by name, and for two choices the probability of the second one of each item."""

    figures: dict[str, Any]
    chances: list[float] = field(default_factory=list)
    answers: list[object] = field(default_factory=list)


def score(
    task_set: TaskSet, reader: Reader, tell: Callable[[int, int], None], most_tokens: int | None
) -> Scores:
    if task_set.kind == "perplexity":
        return _of_texts(task_set.items, reader, tell, most_tokens)
    if task_set.kind == "choices":
        return _of_choices(task_set.items, reader, tell)
    return _of_answers(task_set.items, reader, tell)


def _of_texts(
    items: Sequence[Item], reader: Reader, tell: Callable[[int, int], None], most: int | None
) -> Scores:
    tally, size, words = Tally(), 0, Counter[int]()
    for number, item in enumerate(items, 1):
        ids = reader.ids(item.text)
        words.update(ids)
        size += len(item.text.encode())
        for at in range(0, len(ids) - 1, reader.length):
            row = torch.tensor([ids[at : at + reader.length]], device=reader.device)
            tally.add(next_logits(reader.model, row, bf16=reader.bf16), row)
        tell(number, len(items))
        if most is not None and tally.tokens >= most:
            break
    commonest = max(words.values(), default=0) / max(1, words.total())
    return Scores(
        {
            "perplexity": {"value": tally.perplexity, "baselines": {"unigram": _unigram(words)}},
            "bits_per_byte": {"value": tally.bits_per_byte(size)},
            "next_token_accuracy": share(tally.right, tally.tokens, commonest_token=commonest),
        }
    )


def _of_choices(items: Sequence[Item], reader: Reader, tell: Callable[[int, int], None]) -> Scores:
    scores, right = Scores({}), 0
    for number, item in enumerate(items, 1):
        likelihoods = reader.likelihoods(item)
        chosen = max(range(len(likelihoods)), key=likelihoods.__getitem__)
        right += chosen == item.right
        scores.answers.append(chosen)
        if len(likelihoods) == 2:
            scores.chances.append(probabilities(likelihoods)[1])
        tell(number, len(items))
    chance = sum(1 / len(item.choices) for item in items) / len(items)
    texts = Counter(item.choices[item.right] for item in items)
    majority = max(texts.values()) / len(items)
    scores.figures = {"accuracy": share(right, len(items), chance=chance, majority=majority)}
    return scores


def _of_answers(items: Sequence[Item], reader: Reader, tell: Callable[[int, int], None]) -> Scores:
    scores, right = Scores({}), 0
    for number, item in enumerate(items, 1):
        answer = reader.continuation(item.text)
        right += _normal(answer) in {_normal(each) for each in item.answers}
        scores.answers.append(answer)
        tell(number, len(items))
    commonest = Counter(each for item in items for each in {_normal(a) for a in item.answers})
    majority = max(commonest.values()) / len(items)
    scores.figures = {"exact_match": share(right, len(items), majority=majority)}
    return scores


def share(right: int, of: int, **baselines: float) -> dict[str, Any]:
    """Returns a share with Wilson's interval of 95 %."""
    of = max(1, of)
    value, spread = right / of, Z * Z / of
    middle = (value + spread / 2) / (1 + spread)
    half = Z * math.sqrt(value * (1 - value) / of + spread / (4 * of)) / (1 + spread)
    interval = [max(0.0, middle - half), min(1.0, middle + half)]
    return {"value": value, "interval": interval, "count": of, "baselines": baselines}


def _unigram(words: Counter[int]) -> float:
    """Returns the perplexity of knowing only how often each token comes."""
    total = words.total()
    return math.exp(-sum(n * math.log(n / total) for n in words.values()) / total) if total else 1.0


def _normal(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .")
