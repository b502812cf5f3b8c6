"""Values of slots in sentences of people, in both languages."""

import time
from datetime import date
from typing import Any

import pytest

from inference.assistants.slots import patterns
from inference.assistants.slots.dates import dates
from inference.assistants.slots.extraction import cleaned, extract
from inference.assistants.slots.numbers import numbers
from inference.assistants.spec import Slot
from tests.inference.assistants.dialogue import TODAY
from tests.inference.assistants.shop import ADDRESS, ORDER, REASON

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("3 boxes", [3]),
        ("1,250.50 EUR and 7", [1250.5, 7]),
        ("twenty-three", [23]),
        ("two hundred and five thousand", [205_000]),
        ("a hundred", [100]),
        ("我要三个", [3]),
        ("二十三块", [23]),
        ("一百零五", [105]),
        ("三万两千", [32_000]),
        ("退三万五", [35_000]),
        ("一百二", [120]),
        ("一万零五", [10_005]),
        ("两千三百五十六", [2_356]),
        ("十二", [12]),
        ("-5 degrees", [-5]),
        ("order AB-1234 of A7", []),
        ("４２", [42]),
        ("none", []),
        ("一" * 30, []),
        ("一" * 4_900, []),
        ("万" * 900, []),
        ("1" + ",000" * 1_200, []),
        ("999999999999999", [999_999_999_999_999]),
    ],
)
def test_numbers(text: str, values: list[float]) -> None:
    assert [value for _piece, value in numbers(text)] == values


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("on 2026-12-24 please", "2026-12-24"),
        ("24 December 2026", "2026-12-24"),
        ("the 3rd of May", "2026-05-03"),
        ("Dec. 24th, 2027", "2027-12-24"),
        ("24/12/2026", "2026-12-24"),
        ("12/24/2026", "2026-12-24"),
        ("2026年12月24日", "2026-12-24"),
        ("12月24号", "2026-12-24"),
        ("tomorrow", "2026-12-01"),
        ("the day after tomorrow", "2026-12-02"),
        ("后天", "2026-12-02"),
        ("昨天下的单", "2026-11-29"),
        ("next Friday", "2026-12-04"),
        ("last Monday", "2026-11-23"),
        ("下周三", "2026-12-09"),
        ("星期天", "2026-12-06"),
    ],
)
def test_dates(text: str, day: str) -> None:
    assert [value.isoformat() for _piece, value in dates(text, TODAY)] == [day]


@pytest.mark.parametrize("text", ["03/04/2026", "31 February 2026", "99月1日", "monthly", "2026"])
def test_what_is_no_date_or_could_be_two_is_none(text: str) -> None:
    assert dates(text, TODAY) == []


def test_relative_dates_need_today() -> None:
    assert dates("tomorrow, or 2026-01-02", None) == [("2026-01-02", date(2026, 1, 2))]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("it was damaged", "broken"),
        ("收到的时候破损了", "broken"),
        ("far too late", "late"),
        ("late and broken", None),
        ("lately", None),
    ],
)
def test_a_choice_is_one_or_none(text: str, value: str | None) -> None:
    assert extract([REASON], text).values.get("reason") == value


def test_an_order_number_is_written_as_its_pattern_has_it() -> None:
    assert extract([ORDER], "about ab-1234, please").values == {"order": "AB-1234"}
    assert extract([ORDER], "AB-12345").values == {}
    assert extract([ORDER], "XAB-1234").values == {}
    assert extract([ORDER], "订单AB-1234在哪").values == {"order": "AB-1234"}


def test_no_number_is_taken_out_of_an_order_or_a_date() -> None:
    slots = [
        Slot(name="count", kind="number"),
        Slot(name="day", kind="date"),
        ORDER,
        Slot(name="size", kind="number"),
    ]
    text = "3 of AB-1234 on 24 December 2026, size 42"
    values: dict[str, Any] = {"count": 3, "day": "2026-12-24", "order": "AB-1234", "size": 42}
    assert extract(slots, text).values == values
    assert extract(slots, "42", "size").values == {"size": 42}


def test_a_text_is_only_taken_if_it_was_asked_for() -> None:
    assert extract([ADDRESS], "12 High Street").values == {}
    text = " 12\u202e High\u0000 Street\n" + "x" * 1_000
    value = extract([ADDRESS], text, "address").values["address"]
    assert isinstance(value, str)
    assert value.startswith("12 High Street xxx")
    assert len(value) == 500
    assert cleaned("\u200b") == ""


@pytest.mark.parametrize(
    "pattern",
    [
        "", "(a+)+", "a*", "a+", "a|b", ".*", "a{1,99}", "[a-", "a?", r"\d{0}", "(?=a)", "a{5,2}",
        r"\d{1,9}[a-z]{1,9}\d{1,9}", "[z-a]", "x" * 101, r"\1", "[^a]",
    ],
)  # fmt: skip
def test_a_pattern_that_could_be_slow_or_is_none_is_refused(pattern: str) -> None:
    assert patterns.problem(pattern)


@pytest.mark.parametrize(
    "pattern", [r"[A-Z]{2}-\d{4}", r"\d{6,10}", "ORD#[0-9]{3,8}x?", r"号\d{5}"]
)
def test_usual_patterns_are_taken_and_are_fast(pattern: str) -> None:
    assert patterns.problem(pattern) == ""
    began = time.process_time()
    patterns.matches(pattern, "1234567890ORD#" * 1_000)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5 Mill Lane", "5 Mill Lane"),
        ("It's 5 Mill Lane, please.", "5 Mill Lane"),
        ("My new address is: 5 Mill Lane. Thanks!", "5 Mill Lane"),
        ("Itself Street 4", "Itself Street 4"),
        ("新地址是中山路5号，谢谢", "中山路5号"),
        ("是中山路5号", "中山路5号"),
        ("please", "please"),
    ],
)
def test_a_text_is_taken_without_the_words_around_it(text: str, value: str) -> None:
    assert extract([ADDRESS], text, "address").values == {"address": value}
