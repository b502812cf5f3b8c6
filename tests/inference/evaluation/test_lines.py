"""The JSONL of a task set: what it may hold, and refusals that name lines, never texts."""

import orjson
import pytest

from inference.evaluation import content, lines
from inference.evaluation.content import Content, Item, Kind, Options
from inference.evaluation.lines import BadLines, items_in

pytestmark = pytest.mark.unit


def jsonl(*rows: object) -> bytes:
    return b"\n".join(orjson.dumps(row) for row in rows)


def problems(data: bytes, kind: str) -> list[tuple[int, str]]:
    with pytest.raises(BadLines) as refused:
        items_in(data, kind)
    return refused.value.problems


def test_each_kind_reads_its_fields() -> None:
    (text,) = items_in(b"\xef\xbb\xbf" + jsonl({"text": "Water flows.", "id": 7}), "perplexity")
    assert text == Item(text="Water flows.")
    by_number, by_text = items_in(
        jsonl(
            {"prompt": "One and one is", "choices": ["two", "three"], "answer": 0, "group": "sums"},
            {"prompt": "Two and one is", "choices": ["two", "three"], "answer": "three"},
        ),
        "choices",
    )
    assert (by_number.right, by_number.group, by_text.right) == (0, "sums", 1)
    chat = [{"role": "user", "content": "Capital of Spain?"}]
    plain, spoken = items_in(
        jsonl(
            {"prompt": "2+2=", "answer": "4"}, {"messages": chat, "answer": ["Madrid", "马德里"]}
        ),
        "exact",
    )
    assert plain.answers == ["4"]
    assert (spoken.messages, spoken.answers) == (chat, ["Madrid", "马德里"])
    (pair,) = items_in(jsonl({"prompt": "Hello"}), "agreement")
    assert pair.prompt == "Hello"


@pytest.mark.parametrize(
    ("kind", "line", "words"),
    [
        ("perplexity", b"{", "not JSON"),
        ("perplexity", b"[1]", "no JSON object"),
        ("perplexity", b'{"text": "\xff"}', "not UTF-8"),
        ("perplexity", b'{"text": ""}', "`text` must be a text"),
        ("perplexity", b'{"text": "a\\u0000b"}', "`text` must be a text"),
        ("perplexity", b'{"text": "a", "label": 1}', "no field label"),
        ("choices", b'{"prompt": "a", "choices": ["b"], "answer": 0}', "`choices`"),
        ("choices", b'{"prompt": "a", "choices": ["b", "b"], "answer": 0}', "the same"),
        ("choices", b'{"prompt": "a", "choices": ["b", "c"], "answer": 2}', "`answer`"),
        ("choices", b'{"prompt": "a", "choices": ["b", "c"], "answer": true}', "`answer`"),
        ("exact", b'{"prompt": "a"}', "`answer`"),
        ("exact", b'{"prompt": "a", "answer": []}', "`answer`"),
        ("exact", b'{"messages": [], "answer": "a"}', "`messages`"),
        (
            "exact",
            b'{"messages": [{"role": "assistant", "content": "a"}], "answer": "a"}',
            "last one is a user's",
        ),
    ],
)
def test_a_wrong_line_is_named_by_its_number(kind: str, line: bytes, words: str) -> None:
    good = {
        "perplexity": {"text": "a"},
        "choices": {"prompt": "a", "choices": ["b", "c"], "answer": 1},
        "exact": {"prompt": "a", "answer": "b"},
    }[kind]
    ((number, text),) = problems(jsonl(good) + b"\n\n" + line, kind)
    assert number == 3
    assert words in text


def test_no_refusal_quotes_the_file() -> None:
    with pytest.raises(BadLines) as refused:
        items_in(b'{"text": "the secret", "secret": }\n{"text": ["secret"]}', "perplexity")
    assert "secret" not in str(refused.value)


def test_files_and_lines_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    long = jsonl({"text": "a" * lines.LONGEST_LINE})
    assert problems(long, "perplexity")[0][0] == 1
    assert "longer" in problems(long, "perplexity")[0][1]
    assert "larger" in problems(b" " * (lines.LARGEST + 1), "perplexity")[0][1]
    assert "1 to" in problems(b"\n \n", "perplexity")[0][1]
    assert len(problems(b"{\n" * 100, "perplexity")) == lines.MOST_SHOWN
    monkeypatch.setattr(lines, "MOST_ITEMS", 2)
    assert problems(jsonl(*[{"text": "a"}] * 3), "perplexity")


def test_the_hash_covers_items_options_and_kind() -> None:
    items = items_in(jsonl({"prompt": "a", "answer": "b"}, {"prompt": "c", "answer": "d"}), "exact")
    whole = Content(Kind.EXACT, items)
    assert whole.sha256 == Content("exact", list(items), Options()).sha256
    others = [
        Content(Kind.EXACT, items[:1]),
        Content(Kind.EXACT, items[::-1]),
        Content(Kind.EXACT, items, Options(max_tokens=8)),
        Content(Kind.AGREEMENT, items),
    ]
    assert len({whole.sha256, *(each.sha256 for each in others)}) == 5
    assert content.unpacked(content.packed(whole)) == whole


def test_the_part_for_tests_depends_on_the_items_alone() -> None:
    items = [Item(text=f"text {n}") for n in range(1000)]
    part = Content(Kind.PERPLEXITY, items, Options(test_percent=30)).test_items
    shuffled = Content(Kind.PERPLEXITY, items[::-1], Options(test_percent=30)).test_items
    assert 230 < len(part) < 370
    assert shuffled == part[::-1]
    larger = Content(Kind.PERPLEXITY, items, Options(test_percent=60)).test_items
    assert {item.text for item in part} < {item.text for item in larger}
