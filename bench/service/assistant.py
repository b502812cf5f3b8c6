"""The shop's assistant, its actions and its handbook."""

import tomllib
from typing import Any

from bench.service.goals import FOLDER

EXAMPLES: dict[str, Any] = tomllib.loads((FOLDER / "examples.toml").read_text())
HANDBOOKS = {name: FOLDER / name for name in ("handbook.en.md", "handbook.zh.md")}
HANDBOOK_URL = "https://shop.example/"
ORDER_PATTERN = "[A-Z]{2}-\\d{4}"
ASK = {
    "order": {"en": "Which order is it about?", "zh": "请问订单号是多少？"},
    "address": {"en": "What is the new address?", "zh": "请问新地址是什么？"},
}
TITLES = {
    "track": {"en": "the state of an order", "zh": "查询订单"},
    "refund": {"en": "a refund", "zh": "退款"},
    "cancel": {"en": "cancelling an order", "zh": "取消订单"},
    "move": {"en": "another delivery address", "zh": "更改收货地址"},
    "question": {"en": "a question about the shop", "zh": "咨询商店信息"},
    "complaint": {"en": "a complaint", "zh": "投诉"},
    "account": {"en": "a problem with an account or a payment", "zh": "账户或付款问题"},
}
_SLOTS = {
    "order": {"name": "order", "kind": "order_number", "pattern": ORDER_PATTERN,
              "title": {"en": "order", "zh": "订单"}, "ask": ASK["order"]},
    "address": {"name": "address", "kind": "text", "title": {"en": "address", "zh": "地址"},
                "ask": ASK["address"]},
}  # fmt: skip
_RULES: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "track": ("order_state", ["order"], {
        "confirm": False,
        "reply": {"en": "Order {{order}} ({{item}}): {{status}}.",
                  "zh": "订单{{order}}（{{item}}）：{{status}}。"}}),
    "refund": ("refund_order", ["order"], {
        "reply": {"en": "We pay back {{amount}} euros.", "zh": "我们退还{{amount}}欧元。"}}),
    "cancel": ("cancel_order", ["order"], {
        "reply": {"en": "Order {{order}} is cancelled.", "zh": "订单{{order}}已取消。"}}),
    "move": ("change_address", ["order", "address"], {
        "reply": {"en": "Order {{order}} goes to {{address}}.",
                  "zh": "订单{{order}}将寄到{{address}}。"}}),
}  # fmt: skip
MOVES_MONEY = {"order_state": False, "refund_order": True, "cancel_order": True,
               "change_address": False}  # fmt: skip


def spec(embedding_model: str, knowledge: str, chat_model: str = "") -> dict[str, Any]:
    return {
        "languages": ["en", "zh"],
        "embedding_model": embedding_model,
        "chat_model": chat_model,
        "knowledge": knowledge,
        "actions": list(MOVES_MONEY),
        "intents": [_intent(name) for name in EXAMPLES],
    }


def _intent(name: str) -> dict[str, Any]:
    intent = {"name": name, "title": TITLES[name], "examples": EXAMPLES[name]}
    if name == "question":
        return intent | {"rule": {"kind": "knowledge"}, "length": "short"}
    if name not in _RULES:
        return intent | {"rule": {"kind": "hand_over"}}
    action, slots, rule = _RULES[name]
    rule = {"kind": "action", "action": action, **rule}
    return intent | {"slots": [_SLOTS[slot] for slot in slots], "rule": rule}


def actions(url: str) -> list[dict[str, Any]]:
    """Returns the fields of each action."""
    text = {"type": "string"}
    state = {"item": text, "status": text, "amount": {"type": "integer"}}
    answer = {"type": "object", "properties": state, "required": list(state)}
    return [
        {
            "name": name,
            "url": url,
            "arguments": _arguments(
                ["order", "address"] if name == "change_address" else ["order"]
            ),
            "answer": answer,
            "moves_money": money,
            "on_failure": {
                "en": "That is not possible for order {{order}}.",
                "zh": "订单{{order}}无法办理。",
            },
        }
        for name, money in MOVES_MONEY.items()
    ]


def _arguments(names: list[str]) -> dict[str, Any]:
    properties = {name: {"type": "string", "maxLength": 500} for name in names}
    return {"type": "object", "properties": properties, "required": names}
