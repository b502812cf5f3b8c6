"""The assistant of a shop, for tests: a look-up, a refund, an address, questions."""

from typing import Any

from inference.assistants.spec import AssistantSpec, Choice, Intent, Rule, Slot
from inference.assistants.understanding import Prediction

ORDER = Slot(
    name="order",
    kind="order_number",
    pattern=r"[A-Z]{2}-\d{4}",
    ask={"en": "Which order?", "zh": "请问订单号是多少？"},
)
REASON = Slot(
    name="reason",
    kind="choice",
    ask={"en": "Why?", "zh": "什么原因？"},
    choices=[
        Choice(value="broken", words={"en": ["broken", "damaged"], "zh": ["坏了", "破损"]}),
        Choice(value="late", words={"en": ["late", "too late"], "zh": ["太晚", "迟到"]}),
    ],
)
ADDRESS = Slot(name="address", kind="text", ask={"en": "Where to?", "zh": "寄到哪里？"})


def intent(name: str, slots: list[Slot], **rule: Any) -> Intent:
    title = {"en": name.replace("_", " "), "zh": name}
    examples: Any = {"en": [f"{name} {number}" for number in range(4)]}
    return Intent(name=name, title=title, examples=examples, slots=slots, rule=Rule(**rule))  # type: ignore[arg-type]


SHOP = AssistantSpec(
    languages=["en", "zh"],
    embedding_model="minilm",
    knowledge="6f2c1e1e-0f55-4f5e-9d3c-0a51b0f6a111",
    actions=["find_order", "refund", "change_address"],
    intents=[
        intent("track", [ORDER], kind="action", action="find_order", confirm=False,
               reply={"en": "Order {{order}} is {{status}}.", "zh": "订单{{order}}：{{status}}。"}),
        intent("refund", [ORDER, REASON], kind="action", action="refund",
               reply={"en": "{{amount}} is on its way.", "zh": "已退款{{amount}}。"}),
        intent("move", [ORDER, ADDRESS], kind="action", action="change_address"),
        intent("opening_hours", [], kind="answer", reply={"en": "9 to 5.", "zh": "九点到五点。"}),
        intent("question", [], kind="knowledge"),
        intent("complaint", [], kind="hand_over"),
    ],
)  # fmt: skip


def sure(name: str, probability: float = 0.9) -> list[Prediction]:
    others = [intent.name for intent in SHOP.intents if intent.name != name]
    rest = [Prediction(each, (1 - probability) / len(others)) for each in others]
    return [Prediction(name, probability), *rest]


def unsure(*names: str) -> list[Prediction]:
    return [Prediction(name, 0.3) for name in names]
