"""Searches a base: by vectors and by words, both of which the base's secret hides.

Only the passages that are returned are decrypted.
"""

from typing import NamedTuple
from uuid import UUID

from inference.knowledge import encryption, ranking, search_words, vectors
from inference.knowledge.base_keys import BaseSecrets
from inference.knowledge.embedding import Vector
from inference.knowledge.encryption import Text
from inference.knowledge.ranking import Weights
from inference.models import Document, DocumentState, KnowledgeBase, Passage
from infrastructure.postgres.queries import rows
from infrastructure.postgres.request_threads import in_request_thread
from tenants.scope import read_in_tenant_scope

CANDIDATES = 60  # of each measure
MOST_WORDS = 32  # of a question: the rarest of them
FREQUENT = 10_000  # passages with a word; how many more have it does not matter
LOOKED_AT = 10_000  # passages with one of the words, at most
_READY = f"join inference_document d on d.id = p.document_id and d.state = '{DocumentState.READY}'"
_NEAREST = f"""
    select p.id from inference_passage p {_READY}
    where p.base_id = %(base)s and p.dimensions = {{length}}
    order by (p.embedding::halfvec({{length}})) <#> %(vector)s::halfvec({{length}})
    limit %(most)s"""
_HAVING = f"""
    select asked.word, (select count(*) from (
        select from inference_passageword w where w.word = asked.word limit {FREQUENT}) w)
    from unnest(%s::bigint[]) asked(word)"""
# The best are chosen before their documents are looked at; a few more, as some may not be ready.
_SHARING = f"""
    select p.id from (
        select w.passage_id, sum(asked.weight * w.count / (w.count + 1.2::float)) as score
        from unnest(%(words)s::bigint[], %(weights)s::float[]) asked(word, weight)
        join inference_passageword w on w.word = asked.word
        group by w.passage_id order by score desc, 1 limit 4 * %(most)s) best
    join inference_passage p on p.id = best.passage_id {_READY}
    order by best.score desc, 1 limit %(most)s"""
_LIKENESS = """
    select id, words, -(embedding <#> %s::halfvec) from inference_passage where id = any(%s)"""
_COUNTS = """
    select passage_id, word, count from inference_passageword
    where passage_id = any(%s) and word = any(%s::bigint[])"""
_SIZE = """
    select coalesce(sum(passages), 0) from inference_document
    where base_id = %s and state = 'ready'"""


class Cited(NamedTuple):
    """A passage with its source. `url` is "" where its document has none."""

    id: int
    document: UUID
    name: str  # of the document
    titles: list[str]
    url: str
    text: str
    score: float  # among the candidates of this question: above 0 is better than most of them
    likeness: float  # of vectors: 1 says the same, 0 is about something else
    shared: float  # the weight of the question's words that it has: from 0 to 1

    @property
    def title(self) -> str:
        return " › ".join(self.titles)

    @property
    def relevance(self) -> float:
        """Returns the better of both measures: from 0 to 1, whatever else the base has."""
        return max(0.0, self.likeness, self.shared)


async def search(
    base_id: UUID, tenant_id: UUID, query: str, vector: Vector, most: int = 5
) -> list[Cited]:
    """Returns the best passages for a question, the best first; none of a base that is gone.

    `vector` is the question's, by the base's model. Raises Unreadable, MasterKeyUnavailable,
    django.db.Error.
    """
    return await in_request_thread(search_now)(base_id, tenant_id, query, vector, most)


def search_now(
    base_id: UUID, tenant_id: UUID, query: str, vector: Vector, most: int = 5
) -> list[Cited]:
    bases = KnowledgeBase.objects.present().filter(tenant_id=tenant_id, pk=base_id)

    def best() -> list[Cited]:
        base = bases.all().first()
        if base is None or base.dimensions != len(vector):
            return []
        return _Search(base, query, vector).best(most)

    return read_in_tenant_scope(tenant_id, best)


class _Search:
    def __init__(self, base: KnowledgeBase, query: str, vector: Vector) -> None:
        secrets = BaseSecrets.of(base)
        self._base, self._vector = base, vectors.literal(secrets.turned(vector))
        self._passages = int(rows(_SIZE, [base.pk])[0][0])
        self._weights = self._weigh([secrets.word(word) for word in search_words.counted(query)])

    def best(self, most: int) -> list[Cited]:
        candidates = list({*self._nearest(), *self._sharing()})
        likeness, shared = self._measure(candidates)
        scores = ranking.fused(likeness, shared)
        best = sorted(scores, key=lambda key: (-scores[key], key))[:most]
        texts = _texts(best)
        return [
            _cited(*texts[key], scores[key], likeness[key], self._share(shared[key]))
            for key in best
            if key in texts
        ]

    # Candidates ----------------------------------------------------------------------------------
    def _nearest(self) -> list[int]:
        rows("select set_config('hnsw.ef_search', %s, true)", [str(2 * CANDIDATES)])
        rows("select set_config('hnsw.iterative_scan', 'strict_order', true)")
        statement = _NEAREST.format(length=int(self._base.dimensions))
        values = {"base": self._base.pk, "vector": self._vector, "most": CANDIDATES}
        return [key for (key,) in rows(statement, values)]

    def _weigh(self, hashes: list[int]) -> Weights:
        """Returns the weights of the rarest words, which are in few enough passages together."""
        by_word, total = dict[int, float](), 0
        having = sorted(rows(_HAVING, [hashes]), key=lambda row: row[1]) if hashes else []
        for word, count in having[:MOST_WORDS]:
            total += count
            if by_word and total > LOOKED_AT:
                break
            by_word[word] = ranking.weight(max(self._passages, count), count)
        return Weights(by_word, 0.0)

    def _sharing(self) -> list[int]:
        by_word = self._weights.by_word
        if not by_word:
            return []
        values = {"words": list(by_word), "weights": list(by_word.values()), "most": CANDIDATES}
        return [key for (key,) in rows(_SHARING, values)]

    # Measures ------------------------------------------------------------------------------------
    def _measure(self, keys: list[int]) -> tuple[dict[int, float], dict[int, float]]:
        """Returns both measures of all candidates."""
        measured = rows(_LIKENESS, [self._vector, keys])
        lengths = {key: length for key, length, _likeness in measured}
        weights = self._weights._replace(mean_words=sum(lengths.values()) / (len(lengths) or 1))
        counts: dict[int, dict[int, int]] = {key: {} for key in lengths}
        for key, word, count in rows(_COUNTS, [keys, list(weights.by_word)]):
            counts[key][word] = count
        shared = {key: ranking.bm25(counts[key], lengths[key], weights) for key in lengths}
        return {key: likeness for key, _length, likeness in measured}, shared

    def _share(self, score: float) -> float:
        most = sum(self._weights.by_word.values()) * (ranking.SATURATION + 1)
        return min(1.0, score / most) if most else 0.0


def _texts(keys: list[int]) -> dict[int, tuple[Passage, Document, Text]]:
    passages = Passage.objects.filter(pk__in=keys).select_related("document")
    return {each.pk: (each, each.document, encryption.clear_passage(each)) for each in passages}


def _cited(
    passage: Passage, document: Document, text: Text, score: float, likeness: float, shared: float
) -> Cited:
    address = text.url or document.url
    url = f"{address}#{text.anchor}" if address and text.anchor and "#" not in address else address
    return Cited(
        id=passage.pk,
        document=document.pk,
        name=document.name,
        titles=text.titles,
        url=url,
        text=text.text,
        score=round(score, 4),
        likeness=round(likeness, 4),
        shared=round(shared, 4),
    )
