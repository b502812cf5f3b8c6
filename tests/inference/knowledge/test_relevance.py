"""The relevance of a passage, which does not depend on the other passages of its base."""

from uuid import UUID

import pytest

from inference.knowledge.searching import Cited

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("likeness", "shared", "relevance"), [(0.7, 0.1, 0.7), (0.2, 0.6, 0.6), (-0.3, 0.0, 0.0)]
)
def test_a_passage_counts_by_its_likeness_or_by_its_words(
    likeness: float, shared: float, relevance: float
) -> None:
    cited = Cited(1, UUID(int=1), "a.md", ["A"], "", "text", 5.0, likeness, shared)
    assert cited.relevance == relevance
