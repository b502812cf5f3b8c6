"""Made-up payments, and what is known of each when it comes."""

import pytest

from config.demo.payment_inputs import inputs_of, prompt_of
from config.demo.payments import DAY, LARGE_AMOUNT, Fraud, Payment, World, make_payments

pytestmark = pytest.mark.unit
SMALL = World(seed=3, cards=60, terminals=300, days=60)


def test_a_seed_makes_the_same_payments_again_and_another_others() -> None:
    payments = make_payments(SMALL)
    assert payments == make_payments(SMALL)
    assert payments != make_payments(World(4, SMALL.cards, SMALL.terminals, SMALL.days))


def test_payments_come_in_the_order_of_time_and_each_kind_of_fraud_is_there() -> None:
    payments = make_payments(World(seed=1, days=40))
    assert [each.at for each in payments] == sorted(each.at for each in payments)
    assert {each.fraud for each in payments} == set(Fraud)
    assert 0.01 < sum(each.fraud is not Fraud.NONE for each in payments) / len(payments) < 0.06
    large = [each for each in payments if each.fraud is Fraud.LARGE_AMOUNT]
    assert all(each.amount > LARGE_AMOUNT for each in large)


def payment(day: int, amount: float = 10, fraud: Fraud = Fraud.NONE) -> Payment:
    return Payment(day * DAY + 3600 * 13, card=1, terminal=2, amount=amount, fraud=fraud)


@pytest.mark.parametrize(("later", "known"), [(6, 0), (7, 1), (35, 1), (36, 0)])
def test_a_fraud_is_known_after_seven_days_for_twenty_eight(later: int, known: int) -> None:
    rows = inputs_of([payment(0, fraud=Fraud.LEAKING_TERMINAL), payment(later)])
    assert (rows[1]["terminal_payments"], rows[1]["terminal_frauds"]) == (known, known)


def test_an_input_has_nothing_of_its_own_fraud_and_nothing_later() -> None:
    past = [payment(day, 20) for day in range(5)]
    alone = inputs_of([*past, payment(5, 60)])[-1]
    inputs = inputs_of([*past, payment(5, 60, Fraud.STOLEN_CARD), payment(6, 900)])[5]
    assert alone == inputs
    assert alone["times_usual"] == 3.0
    assert (alone["payments_today"], alone["hour"], alone["weekend"]) == (0, 13, 1)


def test_the_first_payment_of_a_card_is_its_usual_one() -> None:
    assert inputs_of([payment(0, 55)])[0]["times_usual"] == 1.0


def test_a_prompt_has_the_values_of_its_input() -> None:
    text = prompt_of(inputs_of([payment(0, 20), payment(8, 60)])[1])
    assert text == (
        "Payment of 60 dollars, 3.0 times the usual. Frauds at this terminal: 0 of 1. Fraud?"
    )
