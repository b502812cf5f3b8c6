"""Sentences of a growing text, as they are checked and given out one by one."""

import pytest

from inference.dialogues.splitting import sentences

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("Send it back. We pay.", ["Send it back. ", "We pay."]),
        ("It costs 3.50 euros. Fine!", ["It costs 3.50 euros. ", "Fine!"]),
        ("请寄回商品。我们承担运费！", ["请寄回商品。", "我们承担运费！"]),
        ("Really?! Yes.", ["Really?! ", "Yes."]),
        ("- one\n- two\n", ["- one\n", "- two\n"]),
        ("Use e.g. a box. Then go.", ["Use e.g. a box. ", "Then go."]),
        ('He said "yes." Then he left.', ['He said "yes." ', "Then he left."]),
        ("", []),
        ("   ", []),
    ],
)
def test_a_text_that_is_over_is_cut_into_its_sentences(text: str, whole: list[str]) -> None:
    assert sentences(text, over=True) == (whole, "")


@pytest.mark.parametrize("text", ["It is 3.", "It is 3. ", "是的。", "one\n"])
def test_the_last_sentence_waits_for_what_follows(text: str) -> None:
    assert sentences(text, over=False) == ([], text)


@pytest.mark.parametrize(
    "text", ["Send it back. We pay. Bye", "请寄回。费用由我们承担。再见", "a\nb. C? d!"]
)
def test_pieces_in_any_size_give_the_sentences_of_the_whole(text: str) -> None:
    for size in range(1, len(text)):
        pieces, rest = list[str](), ""
        for start in range(0, len(text), size):
            whole, rest = sentences(rest + text[start : start + size], over=False)
            pieces += whole
        pieces += sentences(rest, over=True)[0]
        assert "".join(pieces) == text
        assert pieces == sentences(text, over=True)[0]
