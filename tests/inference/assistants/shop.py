"""The assistant of a shop, for tests: a look-up, a refund, an address, questions."""

from typing import Any

import msgspec

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
    return Intent(name=name, title=title, examples=EXAMPLES[name], slots=slots, rule=Rule(**rule))  # type: ignore[arg-type]


def _examples(english: str, chinese: str) -> Any:
    return {"en": english.split("|"), "zh": chinese.split("|")}


EXAMPLES = {
    "track": _examples(
        "Where is my order?|Has my parcel been sent?|Track AB-1234|When does it arrive?",
        "我的订单在哪里？|包裹寄出了吗？|查一下AB-1234|什么时候能到？",
    ),
    "refund": _examples(
        "I want my money back|Refund my order please|Pay me back|Return the goods for a refund",
        "我要退款|请把钱退给我|退货退钱|能退款吗",
    ),
    "move": _examples(
        "Send it to another address|I moved house|Change the delivery address|Deliver elsewhere",
        "改收货地址|我搬家了|寄到别的地方|换个地址",
    ),
    "opening_hours": _examples(
        "When are you open?|Opening hours|Are you open on Sunday?|What time do you close?",
        "几点开门？|营业时间|周日开门吗|几点关门",
    ),
    "question": _examples(
        "What does delivery cost?|How can I pay?|Do you gift wrap?|Is there a warranty?",
        "运费多少？|怎么付款？|有礼品包装吗？|有保修吗？",
    ),
    "complaint": _examples(
        "This is a scandal|I want to complain|Your service is terrible|I am very angry",
        "我要投诉|太差劲了|你们服务很糟糕|我很生气",
    ),
}
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


SPEC_JSON: Any = msgspec.to_builtins(SHOP)


def sure(name: str, probability: float = 0.9) -> list[Prediction]:
    others = [intent.name for intent in SHOP.intents if intent.name != name]
    rest = [Prediction(each, (1 - probability) / len(others)) for each in others]
    return [Prediction(name, probability), *rest]


def unsure(*names: str) -> list[Prediction]:
    return [Prediction(name, 0.3) for name in names]
