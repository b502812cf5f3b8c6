"""Lines are found where they stand, however the file comes in pieces."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from inference.batch.input_lines import Malformed, line_request, longest, split
from tests.inference.batch.conftest import CHAT, TEXT, line

pytestmark = pytest.mark.unit
WORDS = st.lists(st.sampled_from([b"a", b"bc", b"\n", b" ", b"\r\n", b"def"]), max_size=40)


@given(WORDS, st.integers(1, 7))
def test_each_line_is_where_it_says(words: list[bytes], piece: int) -> None:
    content = b"".join(words)
    pieces = [content[n : n + piece] for n in range(0, len(content), piece)]
    found = list(split(pieces))
    expected = [
        (number, text) for number, text in enumerate(content.split(b"\n"), 1) if text.strip()
    ]
    assert [(each.number, each.text) for each in found] == expected
    for each in found:
        assert each.text
        assert content[each.offset : each.offset + len(each.text)] == each.text


@pytest.mark.parametrize("piece", [1, 2, 5, 100])
def test_a_byte_order_mark_is_no_part_of_the_first_line(piece: int) -> None:
    content = BOM_UTF8 + b'{"a":1}\n' + BOM_UTF8 + b"second"
    pieces = [content[n : n + piece] for n in range(0, len(content), piece)]
    first, second = split(pieces)
    assert (first.number, first.offset, first.text) == (1, 3, b'{"a":1}')
    assert second.text == BOM_UTF8 + b"second"
    assert list(split([BOM_UTF8 + b"\n"])) == list(split([BOM_UTF8])) == []


def test_one_that_is_too_long_is_the_last_and_is_not_kept(settings: Settings) -> None:
    settings.MAX_BODY_BYTES = 1000
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        yield b"short\n"
        for _ in range(1_000_000):
            taken += 1
            yield b"x" * 1000

    found = list(split(pieces()))
    assert [(each.number, each.text) for each in found] == [(1, b"short"), (2, None)]
    assert taken * 1000 <= longest() + 2000


@pytest.mark.parametrize(
    ("bad", "code", "param"),
    [
        (b"{broken", "invalid_json_line", None),
        (b"[1]", "invalid_json_line", None),
        (b"\xff\xfe", "invalid_json_line", None),
        ({"custom_id": 7}, "invalid_custom_id", "custom_id"),
        ({"custom_id": ""}, "invalid_custom_id", "custom_id"),
        ({"custom_id": "x" * 513}, "invalid_custom_id", "custom_id"),
        ({"method": "GET"}, "invalid_method", "method"),
        ({"url": TEXT}, "mismatched_url", "url"),
        ({"url": "/v1/models"}, "invalid_url", "url"),
        ({"url": ["/v1/models"]}, "invalid_url", "url"),
        ({"body": "x"}, "invalid_body", "body"),
    ],
)
def test_what_is_no_request(bad: Any, code: str, param: str | None) -> None:
    text = bad if isinstance(bad, bytes) else orjson.dumps(line(1, **bad))
    with pytest.raises(Malformed) as malformed:
        line_request(text, CHAT)
    assert (malformed.value.code, malformed.value.param) == (code, param)


def test_what_is_one() -> None:
    assert line_request(orjson.dumps(line(1)), CHAT) == ("id-1", "mock")
