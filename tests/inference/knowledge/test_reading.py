"""Documents read into passages: headings, anchors, odd characters, broken files."""

import time

import orjson
import pytest

from inference.knowledge import token_estimate
from inference.knowledge.reading import cutting, reader
from inference.knowledge.reading.section import Section
from inference.models import DocumentFormat as F
from inference.text_extraction.unreadable import UnreadableDocument

pytestmark = pytest.mark.unit

MARKDOWN = """---
title: left out
---
Before the first heading.

# Returns
Within *30 days*.

```
# no heading
```

## How to [send](https://a.b) `back`
By post.

## How to send back
Again.

Fees
----
| country | fee |
|---|---|
| DE | 5 |
"""
HTML = """<!doctype html><html><head><title>Shop</title><style>p {}</style></head><body>
<nav>Menu</nav><p>Hello &amp; welcome</p>
<h1 id="returns">Returns</h1><p>Within <b>30</b> days.<!-- never --> Always.</p>
<section id="fees"><h2>Fees</h2><table><tr><td>DE</td><td>5</td></tr></table></section>
<h2><a name="post"></a>Post</h2>line<br>next<script>alert(1)</script> end
<form>Name</form></body></html>"""


def passages(text: str | bytes, form: F, name: str = "page") -> list[Section]:
    raw = text.encode() if isinstance(text, str) else text
    return reader.read(raw, form, name).passages


def test_markdown_is_cut_at_its_headings() -> None:
    sections = passages(MARKDOWN, F.MARKDOWN)
    assert [(one.titles, one.anchor) for one in sections] == [
        (["page"], ""),
        (["Returns"], "returns"),
        (["Returns", "How to send back"], "how-to-send-back"),
        (["Returns", "How to send back"], "how-to-send-back-1"),
        (["Returns", "Fees"], "fees"),
    ]
    assert sections[1].text == "Within *30 days*.\n\n```\n# no heading\n```"
    assert "| DE | 5 |" in sections[-1].text


def test_chinese_headings_have_anchors() -> None:
    (section,) = passages("# 配额与价格：概述\n每天重置。", F.MARKDOWN)
    assert (section.titles, section.anchor) == (["配额与价格：概述"], "配额与价格概述")


def test_html_is_read_without_menus_scripts_and_forms() -> None:
    sections = [one._asdict() for one in passages(HTML, F.HTML)]
    assert sections == [
        {"titles": ["Shop"], "anchor": "", "text": "Hello & welcome", "url": ""},
        {"titles": ["Returns"], "anchor": "returns", "text": "Within 30 days. Always.", "url": ""},
        {"titles": ["Returns", "Fees"], "anchor": "fees", "text": "DE 5", "url": ""},
        {"titles": ["Returns", "Post"], "anchor": "post", "text": "line\n\nnext end", "url": ""},
    ]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("question,answer,url\nWhen?,Now.,https://a.b/c\n,\nHow?,\n", F.FAQ_CSV),
        ("\ufeff问题;答案;链接\nWhen?;Now.;https://a.b/c\nHow?;;\n", F.FAQ_CSV),
        (
            '{"question": "When?", "answer": "Now.", "url": "https://a.b/c"}\n\n{"answer": "A"}\n',
            F.FAQ_JSONL,
        ),
    ],
)
def test_each_entry_of_an_faq_is_a_passage(text: str, form: F) -> None:
    reading = reader.read(text.encode(), form, "faq")
    assert reading.passages == [Section(["When?"], "", "Now.", "https://a.b/c")]
    assert reading.left_out == 1


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "ftp://a.b", "a.b", 5, "https://" + "a" * 2_000]
)
def test_an_entry_links_to_web_pages_alone(url: object) -> None:
    line = orjson.dumps({"question": "When?", "answer": "Now.", "url": url})
    assert passages(line, F.FAQ_JSONL) == [Section(["When?"], "", "Now.", "")]


@pytest.mark.parametrize(
    "raw",
    [
        "配额用完了，明天再试。".encode("gb18030"),
        "配额用完了，明天再试。".encode("utf-16"),
        "\ufeff配额用完了，明天再试。".encode(),
        ("配额用完了，明天再试。" + "\x00" + "\r\n" * 200).encode(),
    ],
)
def test_odd_encodings_are_read(raw: bytes) -> None:
    (passage,) = passages(raw, F.TEXT)
    assert passage.text == "配额用完了，明天再试。"


@pytest.mark.parametrize(
    ("raw", "form", "code"),
    [
        (b"", F.TEXT, "no_text"),
        (b" \n\t\n", F.MARKDOWN, "no_text"),
        (b"# Title alone\n", F.MARKDOWN, "no_text"),
        ("Größe und Gebühr für Fußgänger".encode("latin-1"), F.TEXT, "encoding"),
        (b"\xff\xfe\x00", F.TEXT, "encoding"),
        (bytes(range(256)) * 40, F.TEXT, "encoding"),
        (b"\x00\x01\x02\x03" * 100, F.TEXT, "not_text"),
        (b"<html><body></body></html>", F.HTML, "no_text"),
        (b"", F.HTML, "html"),
        (b"name,text\na,b\n", F.FAQ_CSV, "faq_header"),
        (b"question,answer\n,\n", F.FAQ_CSV, "no_entries"),
        (b"not json\n", F.FAQ_JSONL, "no_entries"),
        (b'question,answer\na,"' + b"x" * 2_000_000, F.FAQ_CSV, "csv"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_code(raw: bytes, form: F, code: str) -> None:
    with pytest.raises(UnreadableDocument) as refused:
        passages(raw, form)
    assert refused.value.code == code


def test_html_may_be_nested_but_not_without_end() -> None:
    (passage,) = passages("<div>" * 200 + "deep" + "</div>" * 200, F.HTML)
    assert passage.text == "deep"
    with pytest.raises(UnreadableDocument, match="no_text"):
        passages("<div>" * 50_000 + "deep" + "</div>" * 50_000, F.HTML)


def test_long_sections_are_cut_between_paragraphs_then_lines_then_sentences() -> None:
    paragraph = "A sentence of six short words. " * 10
    section = Section(
        ["T"], "t", "\n\n".join([paragraph] * 9) + "\n\n" + "word " * 900 + "x" * 5_000
    )
    parts = list(cutting.passages(section))
    assert len(parts) > 5
    assert {(tuple(part.titles), part.anchor) for part in parts} == {(("T",), "t")}
    assert all(token_estimate.tokens(part.text) <= cutting.MOST for part in parts[:-1])
    assert parts[0].text.startswith("A sentence")
    assert parts[0].text.endswith("words.")
    joined = "".join("".join(part.text.split()) for part in parts)
    assert joined == "".join(section.text.split()), "nothing is lost, nothing comes twice"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("<p>a" + "\u2003" * 200_000 + "b</p>", F.HTML),
        ("<p>a" + "&#x2003;\n" * 50_000 + "b</p>", F.HTML),
        ("<h1></h1>" * 60_000, F.HTML),
        ("<nav></nav>abc" * 60_000, F.HTML),
        ("# " + "[" * 200_000, F.MARKDOWN),
        ("# " + "<" * 200_000, F.MARKDOWN),
    ],
)
def test_a_page_that_is_made_to_be_slow_is_read_at_once(text: str, form: F) -> None:
    """Each took its square: minutes here, and days for the largest document."""
    began = time.process_time()
    assert passages(text + "\n\nEnd.", form)
    assert time.process_time() - began < 5
