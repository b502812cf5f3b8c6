"""Goals of made-up persons, drawn by a seed, and the state of the shop that each should lead to."""

import random
import tomllib
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from bench.service.shop import Order, changed

FOLDER = Path(__file__).parent
SENTENCES: dict[str, Any] = tomllib.loads((FOLDER / "sentences.toml").read_text())
QUESTIONS: dict[str, dict[str, list[str]]] = tomllib.loads((FOLDER / "questions.toml").read_text())
LANGUAGES = ("en", "zh")
NAMES_ORDER = 0.6  # of persons say the order's number in their first message
ITEMS = ("a kettle", "a lamp", "a backpack", "a radio", "a pair of boots", "a raincoat")
STREETS = {
    "en": ("Mill Lane", "Station Road", "Church Street", "Park Avenue"),
    "zh": ("人民路", "中山路", "解放街", "长安街"),
}


class Kind(StrEnum):
    STATUS = "status"
    REFUND = "refund"
    CANCEL = "cancel"
    ADDRESS = "address"
    QUESTION = "question"
    COMPLAINT = "complaint"
    ACCOUNT = "account"
    OUTSIDE = "outside"  # nothing that the assistant was made for
    DISPUTE = "dispute"  # a refund that the shop refuses, and the person does not accept it


class Twist(StrEnum):
    """A changed mind: at the confirmation it is another order, or nothing at all."""

    NONE = ""
    CORRECTS = "corrects"
    WITHDRAWS = "withdraws"


SHARES = {
    Kind.STATUS: 22, Kind.QUESTION: 26, Kind.REFUND: 14, Kind.CANCEL: 10, Kind.ADDRESS: 8,
    Kind.COMPLAINT: 5, Kind.ACCOUNT: 5, Kind.OUTSIDE: 5, Kind.DISPUTE: 5,
}  # fmt: skip
UNSOLVABLE = (Kind.COMPLAINT, Kind.ACCOUNT, Kind.OUTSIDE, Kind.DISPUTE)
ACTIONS = {Kind.REFUND: "refund_order", Kind.CANCEL: "cancel_order", Kind.ADDRESS: "change_address"}
TWISTED = {Twist.CORRECTS: 0.12, Twist.WITHDRAWS: 0.08}  # of goals with an action


@dataclass(frozen=True, slots=True)
class Goal:
    """`orders` are the person's own: the one that is meant, and another one."""

    number: int
    kind: Kind
    language: str
    orders: tuple[Order, Order]
    section: str = ""  # of the handbook
    twist: Twist = Twist.NONE
    names_order: bool = True
    address: str = ""

    @property
    def solvable(self) -> bool:
        return self.kind not in UNSOLVABLE

    @property
    def order(self) -> Order:
        """The order that is acted on in the end."""
        return self.orders[1] if self.twist is Twist.CORRECTS else self.orders[0]

    @property
    def expected(self) -> tuple[str, dict[str, str]] | None:
        """Returns the action that should be done once, and its arguments; None for none."""
        action = ACTIONS.get(self.kind)
        if action is None or self.twist is Twist.WITHDRAWS:
            return None
        arguments = {"order": self.order.number}
        if self.kind is Kind.ADDRESS:
            arguments["address"] = self.address
        return action, arguments

    def final_orders(self) -> dict[str, Order]:
        """Returns the person's orders as they should be afterwards."""
        orders = {order.number: order for order in self.orders}
        if self.expected:
            action, arguments = self.expected
            orders[self.order.number] = changed(self.order, action, arguments)
        return orders


def make_goals(seed: int, count: int) -> list[Goal]:
    chance = random.Random(seed)
    numbers = Numbers(chance)
    return [_goal(number, chance, numbers) for number in range(count)]


def again(goal: Goal, numbers: "Numbers") -> Goal:
    """Returns the same goal about other orders: for another trial of it."""
    one, other = (replace(order, number=numbers.next()) for order in goal.orders)
    return replace(goal, orders=(one, other))


class Numbers:
    """Numbers of orders, each once."""

    def __init__(self, chance: random.Random) -> None:
        self._chance, self._used = chance, set[str]()

    def next(self) -> str:
        while True:
            letters = "".join(self._chance.choices("ABCDEFGHJKLMNPQRSTUVWXYZ", k=2))
            number = f"{letters}-{self._chance.randrange(1000, 10_000)}"
            if number not in self._used:
                self._used.add(number)
                return number


def _goal(number: int, chance: random.Random, numbers: Numbers) -> Goal:
    kind = chance.choices(list(SHARES), list(SHARES.values()))[0]
    language = chance.choice(LANGUAGES)
    twist = Twist.NONE
    if kind in ACTIONS:
        weights = [1 - sum(TWISTED.values()), *TWISTED.values()]
        twist = chance.choices([Twist.NONE, *TWISTED], weights)[0]
    street = chance.choice(STREETS[language])
    house = chance.randrange(1, 200)
    return Goal(
        number=number,
        kind=kind,
        language=language,
        orders=(_order(kind, chance, numbers), _order(kind, chance, numbers)),
        section=chance.choice(list(QUESTIONS)) if kind is Kind.QUESTION else "",
        twist=twist,
        names_order=chance.random() < NAMES_ORDER,
        address=f"{house} {street}" if language == "en" else f"{street}{house}号",
    )


def _order(kind: Kind, chance: random.Random, numbers: Numbers) -> Order:
    status: Any = chance.choice(["preparing", "shipped", "delivered"])
    if kind in (Kind.REFUND, Kind.DISPUTE):
        status = "delivered"
    elif kind in (Kind.CANCEL, Kind.ADDRESS):
        status = "preparing"
    return Order(
        number=numbers.next(),
        item=chance.choice(ITEMS),
        status=status,
        amount=chance.randrange(10, 400),
        address="1 Old Street",
        final_sale=kind is Kind.DISPUTE,
    )
