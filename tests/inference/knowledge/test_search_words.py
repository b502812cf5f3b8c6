"""Words of a text as a search compares them."""

import pytest

from inference.knowledge import search_words

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("What is the quota of a team?", {"quota": 1, "team": 1}),
        ("Quotas, QUOTA and quotas", {"quota": 3}),
        ("stopped stopping stops", {"stop": 3}),
        ("caches caching cached", {"cach": 3}),
        ("配额用完", {"配额": 1, "额用": 1, "用完": 1}),
        ("键", {"键": 1}),
        ("怎么用 FOREBAY_HOME", {"么用": 1, "forebay": 1, "home": 1}),
        ("ＡＰＩ 密钥", {"api": 1, "密钥": 1}),
        ("sha256 of port 8000", {"sha256": 1, "port": 1, "8000": 1}),
    ],
)
def test_words_are_brought_to_one_form(text: str, expected: dict[str, int]) -> None:
    assert search_words.counted(text) == expected


def test_a_passage_has_a_bounded_number_of_words() -> None:
    text = " ".join(f"w{n}" for n in range(3 * search_words.MOST))
    assert len(search_words.counted(text)) == search_words.MOST
    assert max(map(len, search_words.counted("x" * 10_000))) == search_words.LONGEST
