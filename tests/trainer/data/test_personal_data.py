"""Rules for personal data, against 215 lines written by hand: half of them only look like it."""

import random
from collections import Counter
from pathlib import Path

import pytest

from trainer.data.personal_data import is_bank_card, mask

pytestmark = pytest.mark.unit
LINES = [
    line.split("\t")
    for line in Path(__file__).with_name("personal_lines.tsv").read_text().splitlines()
]


@pytest.mark.parametrize(("kinds", "text"), LINES, ids=range(1, len(LINES) + 1))
def test_each_line_has_the_items_that_a_person_sees_in_it(kinds: str, text: str) -> None:
    wanted = Counter([] if kinds == "-" else kinds.split(","))
    masked, counts = mask(text)
    assert counts == wanted, masked
    assert all(masked.count(f"[{kind}]") == count for kind, count in wanted.items())
    assert masked == text or wanted


def test_there_are_two_hundred_lines_of_both_kinds() -> None:
    without = sum(kinds == "-" for kinds, _text in LINES)
    assert len(LINES) >= 200
    assert 80 <= without <= len(LINES) - 100
    assert len({text for _kinds, text in LINES}) == len(LINES)


def test_what_is_masked_is_gone_and_the_rest_stays() -> None:
    assert mask("卡号4111111111111111，手机13812345678，邮箱a.b@example.com。")[0] == (
        "卡号[BANK_CARD]，手机[PHONE]，邮箱[EMAIL]。"
    )


def test_a_masked_text_has_nothing_more_to_mask() -> None:
    for _kinds, text in LINES:
        masked, _counts = mask(text)
        assert mask(masked) == (masked, {})


def test_a_long_number_is_no_card_only_for_its_check_digit() -> None:
    """Luhn alone takes one number in ten; the prefix of an issuer is asked for as well."""
    numbers = random.Random(7)
    orders = [f"{numbers.choice('1789')}{numbers.randrange(10**15):015d}" for _ in range(2000)]
    assert not any(is_bank_card(order) for order in orders)


@pytest.mark.parametrize(
    "text", ["1 " * 50_000, "a." * 50_000, "+1" * 50_000, "@" * 50_000, "1" * 100_000]
)
@pytest.mark.slow(seconds=20)
def test_no_text_takes_long(text: str) -> None:
    """A rule whose time grew with the square of the length would take minutes here."""
    assert len(mask(text)[0]) > 0
