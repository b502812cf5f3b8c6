"""Assertions of an answer have to stand in its sources."""

import pytest

from inference.assistants.grounding import speaks, supported, unsupported
from inference.assistants.state import Arguments
from tests.inference.assistants.passages import CHINESE, DELIVERY

pytestmark = pytest.mark.unit
FACTS: Arguments = {"order": "AB-1234", "amount": 12.5}


@pytest.mark.parametrize(
    "text",
    [
        "It takes 3 days and costs 4.90 EUR.",
        "It takes three days.",
        "Free from €50 on.",
        "Hermes brings it until 24 December 2026 [1].",
        "Hermes brings it until 2026-12-24.",
        "See https://shop.example/delivery.",
        "Write to help@shop.example, or call 0800-1234.",
        "Your order AB-1234: 12.50 is on its way.",
        "1. It takes 3 days.\n2. It is free from 50 EUR on.",
        "One of these helps. Please ask again.",
        "送货需要3天，运费4.90欧元。",
        "满50欧元免运费。",
        "",
    ],
)
def test_what_stands_in_the_sources_is_supported(text: str) -> None:
    assert unsupported(text, [DELIVERY], FACTS) == []
    assert supported(text, [DELIVERY], FACTS)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("It takes 5 days.", "5"),
        ("It takes 3 weeks.", "3"),
        ("It costs 3 EUR.", "3"),
        ("It takes fourteen days.", "fourteen"),
        ("It takes one day.", "one"),
        ("Free until 25 December 2026.", "25 december 2026"),
        ("See https://evil.example/refund", "https://evil.example/refund"),
        ("Write to me@evil.example", "me@evil.example"),
        ("We ship it with Royal Mail.", "Royal"),
        ("Your order is ZZ-9999.", "zz-9999"),
        ("Call 0900-6666.", "0900-6666"),
        ("DHL brings it.", "DHL"),
        ("送货需要5天。", "5"),
        ("需要十四天。", "十四"),
        ("由DHL配送。", "DHL"),
    ],
)
def test_what_stands_in_no_source_is_not(text: str, wrong: str) -> None:
    assert wrong in unsupported(text, [DELIVERY], FACTS)
    assert not supported(text, [DELIVERY], FACTS)


def test_chinese_sources_support_answers_in_both_languages() -> None:
    assert supported("14天内可退货，三个工作日退款。", [CHINESE], {})
    assert supported("You may return it within 14 days.", [CHINESE], {})
    assert not supported("30天内可退货。", [CHINESE], {})


def test_the_language_of_an_answer_shows_in_its_script() -> None:
    assert speaks("It takes 3 days.", "en")
    assert not speaks("It takes 3 days.", "zh")
    assert speaks("需要3天", "zh")
    assert not speaks("需要3天", "en")
