"""The shop's orders, and what an action does to them. Orders are the state that is scored."""

import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Status = Literal["preparing", "shipped", "delivered", "cancelled"]
CHANGING = ("cancel_order", "change_address", "refund_order")
MONEY = ("cancel_order", "refund_order")  # both pay back


class Refused(Exception):
    """The shop does not do it, and has changed nothing."""


@dataclass(frozen=True, slots=True)
class Order:
    number: str
    item: str
    status: Status
    amount: int  # in euros
    address: str
    refunded: bool = False
    final_sale: bool = False


@dataclass(frozen=True, slots=True)
class Effect:
    """A call that the shop has done. `call` names it: a second delivery is not done again."""

    call: str
    dialogue: str
    action: str
    order: str
    arguments: tuple[tuple[str, str], ...]

    @property
    def changes(self) -> bool:
        return self.action in CHANGING


@dataclass(slots=True)
class Shop:
    orders: dict[str, Order] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, orders: Iterable[Order]) -> None:
        with self._lock:
            self.orders |= {order.number: order for order in orders}

    def state(self) -> dict[str, Order]:
        with self._lock:
            return dict(self.orders)

    def effects_of(self, dialogue: str) -> list[Effect]:
        with self._lock:
            return [effect for effect in self.effects if effect.dialogue == dialogue]

    def do(self, call: str, dialogue: str, action: str, arguments: dict[str, Any]) -> Order:
        """Returns the order afterwards. Raises Refused."""
        with self._lock:
            if any(effect.call == call for effect in self.effects):
                return self.orders[str(arguments["order"])]
            order = changed(self.orders.get(str(arguments.get("order"))), action, arguments)
            self.orders[order.number] = order
            texts = tuple(sorted((name, str(value)) for name, value in arguments.items()))
            self.effects.append(Effect(call, dialogue, action, order.number, texts))
            return order


def changed(order: Order | None, action: str, arguments: dict[str, Any]) -> Order:
    """Returns an order after an action. Raises Refused."""
    if order is None:
        raise Refused("no such order")
    if action == "order_state":
        return order
    if action == "refund_order" and order.status == "delivered" and not order.final_sale:
        return replace(order, refunded=True)
    if action == "cancel_order" and order.status == "preparing":
        return replace(order, status="cancelled", refunded=True)
    if action == "change_address" and order.status == "preparing":
        return replace(order, address=str(arguments["address"]))
    raise Refused("not possible in this state")


def as_answer(order: Order) -> dict[str, Any]:
    """Returns the fields of an order that the webhook answers with."""
    fields = asdict(order)
    return {name: fields[name] for name in ("item", "status", "amount")}
