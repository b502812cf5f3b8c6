"""The handbook in memory, searched as `inference/knowledge/searching.py` searches a base."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import mul

from bench.service.assistant import HANDBOOK_URL
from inference.assistants.understanding import normalised
from inference.knowledge import ranking, search_words
from inference.knowledge.reading import cutting, markdown

Embed = Callable[[Sequence[str]], list[list[float]]]
MOST = 5  # passages


@dataclass(frozen=True, slots=True)
class Passage:
    title: str
    url: str
    text: str
    score: float = 0.0


class Handbook:
    def __init__(self, pages: dict[str, str], embed: Embed) -> None:
        sections = [
            (name, part)
            for name, text in pages.items()
            for section in markdown.sections(text, name)
            for part in cutting.passages(section)
        ]
        self._passages = [
            Passage(" › ".join(part.titles), f"{HANDBOOK_URL}{name}#{part.anchor}", part.text)
            for name, part in sections
        ]
        texts = [" › ".join(part.titles) + "\n" + part.text for _name, part in sections]
        self._vectors = [normalised(vector) for vector in embed(texts)]
        self._counts = [search_words.of_passage(part.titles, part.text) for _name, part in sections]

    def search(self, query: str, vector: Sequence[float]) -> list[Passage]:
        """Returns the best passages; the score is the relevance, from 0 to 1."""
        unit = normalised(vector)
        likeness = {n: sum(map(mul, unit, other)) for n, other in enumerate(self._vectors)}
        weights, shared = self._shared(query)
        scores = ranking.fused(likeness, shared)
        most = sum(weights.by_word.values()) * (ranking.SATURATION + 1) or 1.0
        best = sorted(scores, key=lambda number: (-scores[number], number))[:MOST]
        relevance = {n: max(0.0, likeness[n], min(1.0, shared[n] / most)) for n in best}
        return [replace(self._passages[number], score=relevance[number]) for number in best]

    def _shared(self, query: str) -> tuple[ranking.Weights, dict[int, float]]:
        query_words = list(search_words.counted(query))
        having = [sum(word in each for each in self._counts) for word in query_words]
        by_word = {
            number: ranking.weight(len(self._counts), count)
            for number, count in enumerate(having)
            if count
        }
        lengths = [each.total() for each in self._counts]
        weights = ranking.Weights(by_word, sum(lengths) / len(lengths))
        shared = {}
        for passage, counts in enumerate(self._counts):
            own = {
                number: counts[query_words[number]]
                for number in by_word
                if query_words[number] in counts
            }
            shared[passage] = ranking.bm25(own, lengths[passage], weights)
        return weights, shared
