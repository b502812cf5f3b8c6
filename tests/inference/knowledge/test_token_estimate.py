"""The estimate of a text's tokens, by which it is cut to what a model takes."""

import pytest

from inference.knowledge import token_estimate

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("   \n", 0),
        ("word", 1),
        ("keyring", 2),
        ("one two, three", 4),
        ("配额用完", 4),
        ("20261130", 3),
        ("a.b", 3),
    ],
)
def test_a_text_counts_its_words_and_signs(text: str, tokens: int) -> None:
    assert token_estimate.tokens(text) == tokens


def test_a_cut_text_ends_between_two_words() -> None:
    assert token_estimate.cut("one two three four", 2) == "one two"
    assert token_estimate.cut("one two", 2) == "one two"
    assert token_estimate.cut("配额用完了", 2) == "配额"
    assert token_estimate.cut("x" * 100, 3) == "", "a word that is longer than all that is left"


def test_a_cut_text_has_at_most_so_many_tokens() -> None:
    text = "The quota of a team, 配额 2026-11-30: counts internationalisation? " * 40
    for most in (1, 2, 17, 100, 500):
        cut = token_estimate.cut(text, most)
        assert text.startswith(cut)
        assert token_estimate.tokens(cut) <= most
