"""Made-up card payments with three kinds of fraud, the same for the same seed.

Written anew after the simulator of the Fraud Detection Handbook (Le Borgne, Siblini, Lebichot and
Bontempi, 2022): cards and terminals live on a square, a card pays at terminals near it, and a fraud
is a large amount, a terminal that leaks cards, or a card in other hands. Frauds are more frequent
here, about 3 % of the payments, so that a small file has some.
"""

import random
from dataclasses import dataclass
from enum import IntEnum
from math import dist

DAY = 86_400  # seconds
SIDE, REACH = 100.0, 8.0  # of the square, and how far from home a card pays
LARGE_AMOUNT = 220.0
TERMINAL_DAYS, CARD_DAYS = 28, 14
CARD_SHARE, CARD_FACTOR = 1 / 3, 5.0  # of a stolen card's payments, and by what they grow
NOON, SPREAD = 43_200, 20_000  # seconds after midnight: when people pay


class Fraud(IntEnum):
    NONE = 0
    LARGE_AMOUNT = 1
    LEAKING_TERMINAL = 2
    STOLEN_CARD = 3


@dataclass(slots=True)
class Payment:
    at: int  # seconds since the first midnight
    card: int
    terminal: int
    amount: float
    fraud: Fraud = Fraud.NONE

    @property
    def day(self) -> int:
        return self.at // DAY


@dataclass(frozen=True, slots=True)
class World:
    """Sizes of what is made up, and the seed that decides all of it."""

    seed: int
    cards: int = 500
    terminals: int = 1000
    days: int = 120


@dataclass(frozen=True, slots=True)
class _Card:
    mean: float  # amount
    per_day: float
    terminals: list[int]  # within reach


def make_payments(world: World) -> list[Payment]:
    """Returns all payments in the order of time."""
    chance = random.Random(world.seed)  # noqa: S311 (a simulation, no secret)
    cards = _cards(world, chance)
    payments = [
        payment
        for number, card in enumerate(cards)
        for day in range(world.days)
        for payment in _of_day(chance, number, card, day)
    ]
    payments.sort(key=lambda payment: (payment.at, payment.card))
    _commit_frauds(world, payments, chance)
    return payments


def _cards(world: World, chance: random.Random) -> list[_Card]:
    places = [_place(chance) for _ in range(world.terminals)]
    cards = list[_Card]()
    for _ in range(world.cards):
        home = _place(chance)
        near = [number for number, place in enumerate(places) if dist(home, place) < REACH]
        cards.append(_Card(chance.uniform(5, 100), chance.uniform(0, 4) if near else 0.0, near))
    return cards


def _place(chance: random.Random) -> tuple[float, float]:
    return chance.uniform(0, SIDE), chance.uniform(0, SIDE)


def _of_day(chance: random.Random, number: int, card: _Card, day: int) -> list[Payment]:
    payments = list[Payment]()
    for _ in range(_poisson(chance, card.per_day)):
        second = int(chance.gauss(NOON, SPREAD))
        if 0 < second < DAY:
            amount = max(0.5, abs(chance.gauss(card.mean, card.mean / 2)))
            terminal = chance.choice(card.terminals)
            payments.append(Payment(day * DAY + second, number, terminal, round(amount, 2)))
    return payments


def _poisson(chance: random.Random, mean: float) -> int:
    """Counts arrivals of one unit of time, whose gaps are exponential."""
    count, time = 0, chance.expovariate(mean) if mean else 1.0
    while time < 1:
        count += 1
        time += chance.expovariate(mean)
    return count


def _commit_frauds(world: World, payments: list[Payment], chance: random.Random) -> None:
    by_terminal = _grouped(payments, "terminal", world.terminals)
    by_card = _grouped(payments, "card", world.cards)
    for payment in payments:
        if payment.amount > LARGE_AMOUNT:
            payment.fraud = Fraud.LARGE_AMOUNT
    for day in range(world.days):
        for payment in by_terminal[chance.randrange(world.terminals)]:
            if day <= payment.day < day + TERMINAL_DAYS:
                payment.fraud = Fraud.LEAKING_TERMINAL
        for payment in by_card[chance.randrange(world.cards)]:
            honest = payment.fraud is Fraud.NONE and day <= payment.day < day + CARD_DAYS
            if honest and chance.random() < CARD_SHARE:
                payment.amount = round(payment.amount * CARD_FACTOR, 2)
                payment.fraud = Fraud.STOLEN_CARD


def _grouped(payments: list[Payment], name: str, count: int) -> list[list[Payment]]:
    groups: list[list[Payment]] = [[] for _ in range(count)]
    for payment in payments:
        groups[getattr(payment, name)].append(payment)
    return groups
