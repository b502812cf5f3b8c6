"""Figures of an evaluation, each with its interval and its baselines."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import exp, log
from zlib import compress

from inference.evaluation.content import Content, Item, Kind
from inference.evaluation.results import SideResults, normal
from inference.evaluation.statistics import Interval, Pair, bootstrap, wilson

LOWER, HIGHER = "lower", "higher"
BETTER = {"perplexity": LOWER, "bits_per_byte": LOWER}  # all others: the higher, the better
# The figures of each kind, which a gate may name.
METRICS = {
    Kind.PERPLEXITY: ("perplexity", "bits_per_byte", "next_token_accuracy"),
    Kind.CHOICES: ("accuracy", "accuracy_by_length"),
    Kind.EXACT: ("exact_match",),
    Kind.AGREEMENT: (),
}
MOST_GROUPS = 20
MOST_LOSS = 700.0  # beyond 709 no float holds its power of e


@dataclass(frozen=True)
class Figure:
    """A figure of one model: a ratio of sums over items, of which `shape` makes the value."""

    name: str
    pairs: list[Pair]
    count: int
    method: str  # of the interval
    shape: Callable[[float], float] = float
    baselines: dict[str, float] = field(default_factory=dict)

    @property
    def better(self) -> str:
        return BETTER.get(self.name.partition("/")[0], HIGHER)

    @property
    def value(self) -> float:
        below = sum(pair[1] for pair in self.pairs)
        return self.shape(sum(pair[0] for pair in self.pairs) / below if below else 0.0)

    @property
    def interval(self) -> Interval:
        if self.method == "wilson":
            return wilson(sum(pair[0] for pair in self.pairs), len(self.pairs))
        return bootstrap(self.pairs, self.shape)


def figures_of(content: Content, results: SideResults) -> list[Figure]:
    """Returns the figures of one model, the most important one first."""
    items = content.test_items
    if content.kind == Kind.PERPLEXITY:
        return _of_texts(items, results)
    if content.kind == Kind.CHOICES:
        return _of_choices(items, results)
    return _of_answers(content, items, results) if content.kind == Kind.EXACT else []


def chosen(content: Content, results: SideResults) -> list[list[object]]:
    """Returns what the model answered to each item, for comparison with another model."""
    match = content.options.match
    if content.kind == Kind.PERPLEXITY:
        return [list[object](text.tops) for text in results.texts]
    if content.kind == Kind.CHOICES:
        return [[choice.chosen] for choice in results.choices]
    return [[normal(answer.text, match)] for answer in results.answers]


def agreement(content: Content, ours: SideResults, theirs: SideResults) -> Figure | None:
    """Returns the share of the same answers; None if the models read texts as other tokens."""
    pairs = list[Pair]()
    for one, other in zip(chosen(content, ours), chosen(content, theirs), strict=True):
        if len(one) != len(other):
            return None
        same = sum(a == b for a, b in zip(one, other, strict=True))
        pairs.append((float(same), float(len(one))))
    if content.kind == Kind.PERPLEXITY:
        same_words = all(a.words == b.words for a, b in zip(ours.texts, theirs.texts, strict=True))
        return Figure("agreement", pairs, len(pairs), "bootstrap") if same_words else None
    return Figure("agreement", pairs, len(pairs), "wilson")


def _of_texts(items: Sequence[Item], results: SideResults) -> list[Figure]:
    texts, count = results.texts, len(results.texts)
    words = Counter(word for text in texts for word in text.words)
    losses = [(text.loss, float(text.tokens)) for text in texts]
    per_byte = [(text.loss / log(2), float(text.size)) for text in texts]
    right = [(float(text.right), float(text.tokens)) for text in texts]
    unigram = {"unigram": _unigram_perplexity(words)}
    majority = {"majority": max(words.values(), default=0) / max(1, words.total())}
    compressor = {"zlib": _compressed(items)}
    return [
        Figure("perplexity", losses, count, "bootstrap", _perplexity, unigram),
        Figure("bits_per_byte", per_byte, count, "bootstrap", float, compressor),
        Figure("next_token_accuracy", right, count, "bootstrap", float, majority),
    ]


def _perplexity(loss: float) -> float:
    """Returns e to the loss of a token, bounded: engines call an impossible token 9999."""
    return exp(min(loss, MOST_LOSS))


def _unigram_perplexity(words: Counter[int]) -> float:
    """Returns the perplexity of a model that knows only how often each token comes here."""
    total = words.total()
    return exp(sum(-n * log(n / total) for n in words.values()) / total) if total else 1.0


def _compressed(items: Sequence[Item]) -> float:
    """Returns zlib's bits per byte of all texts together."""
    data = "\n".join(item.text for item in items).encode()
    return 8 * len(compress(data, 9)) / len(data) if data else 0.0


def _of_choices(items: Sequence[Item], results: SideResults) -> list[Figure]:
    baselines = _guesses(items)
    plain = [float(c.chosen == i.right) for i, c in zip(items, results.choices, strict=True)]
    by_length = [
        float(c.chosen_by_length == i.right) for i, c in zip(items, results.choices, strict=True)
    ]
    return [
        *_shares("accuracy", items, plain, baselines),
        *_shares("accuracy_by_length", items, by_length, baselines),
    ]


def _guesses(items: Sequence[Item]) -> dict[str, float]:
    """Returns chance, and the best of always naming the same choice or the same position."""
    count = max(1, len(items))
    words = Counter(item.choices[item.right] for item in items)
    positions = Counter(item.right for item in items)
    best = max([*words.values(), *positions.values()], default=0)
    chance = sum(1 / len(item.choices) for item in items)
    return {"chance": chance / count, "majority": best / count}


def _of_answers(content: Content, items: Sequence[Item], results: SideResults) -> list[Figure]:
    match = content.options.match
    wanted = [{normal(answer, match) for answer in item.answers} for item in items]
    answers_given = [normal(answer.text, match) for answer in results.answers]
    right = [float(text in answers) for text, answers in zip(answers_given, wanted, strict=True)]
    commonest = Counter(word for answers in wanted for word in answers)
    majority = max(commonest.values(), default=0) / max(1, len(items))
    return _shares("exact_match", items, right, {"majority": majority})


def _shares(
    name: str, items: Sequence[Item], right: Sequence[float], baselines: dict[str, float]
) -> list[Figure]:
    """Returns the share of right answers over all items, and over each group of them."""
    whole = Figure(name, [(r, 1.0) for r in right], len(right), "wilson", float, baselines)
    groups = Counter(item.group for item in items if item.group)
    parts = [
        Figure(f"{name}/{group}", _of_group(items, right, group), groups[group], "wilson")
        for group in sorted(groups)[:MOST_GROUPS]
    ]
    return [whole, *(parts if name != "accuracy_by_length" else ())]


def _of_group(items: Sequence[Item], right: Sequence[float], group: str) -> list[Pair]:
    return [(r, 1.0) for item, r in zip(items, right, strict=True) if item.group == group]
