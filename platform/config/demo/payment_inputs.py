"""Inputs of a decision about a payment: only what is known when the payment comes.

Whether a payment was a fraud is known seven days later, when its card's owner has complained. So
the share of frauds at a terminal is that of the 28 days before the last seven.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from config.demo.payments import DAY, Fraud, Payment

DELAY_DAYS, WINDOW_DAYS, USUAL_DAYS = 7, 28, 30

Input = dict[str, float | str]
TEMPLATE = (
    "Payment of {{amount}} dollars, {{times_usual}} times the usual. "
    "Frauds at this terminal: {{terminal_frauds}} of {{terminal_payments}}. Fraud?"
)
NUMBERS = (
    "amount", "times_usual", "hour", "weekend", "payments_today", "terminal_payments",
    "terminal_frauds",
)  # fmt: skip


@dataclass(slots=True)
class _Past:
    """Payments of one card or terminal, the oldest first, and where the known ones end."""

    payments: deque[Payment] = field(default_factory=deque)

    def since(self, moment: int) -> Sequence[Payment]:
        while self.payments and self.payments[0].at < moment:
            self.payments.popleft()
        return self.payments


def inputs_of(payments: Sequence[Payment]) -> list[Input]:
    """Returns the input of each payment; they must be in the order of time."""
    cards: dict[int, _Past] = {}
    terminals: dict[int, _Past] = {}
    inputs = list[Input]()
    for payment in payments:
        card = cards.setdefault(payment.card, _Past())
        terminal = terminals.setdefault(payment.terminal, _Past())
        inputs.append(_input(payment, card, terminal))
        card.payments.append(payment)
        terminal.payments.append(payment)
    return inputs


def _input(payment: Payment, card: _Past, terminal: _Past) -> Input:
    month = card.since(payment.at - USUAL_DAYS * DAY)
    usual = sum(each.amount for each in month) / len(month) if month else payment.amount
    known = [
        each
        for each in terminal.since(payment.at - (DELAY_DAYS + WINDOW_DAYS) * DAY)
        if each.at <= payment.at - DELAY_DAYS * DAY
    ]
    return {
        "card": f"card-{payment.card}",
        "amount": round(payment.amount),
        "times_usual": round(payment.amount / usual, 1),
        "hour": payment.at % DAY // 3600,
        "weekend": int(payment.day % 7 >= 5),
        "payments_today": sum(each.at > payment.at - DAY for each in month),
        "terminal_payments": len(known),
        "terminal_frauds": sum(each.fraud is not Fraud.NONE for each in known),
    }


def prompt_of(row: Input) -> str:
    """Returns the text that a policy makes of an input with TEMPLATE."""
    text = TEMPLATE
    for name, value in row.items():
        text = text.replace("{{" + name + "}}", str(value))
    return text
