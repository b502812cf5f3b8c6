"""A first version to start from: the page for a new assistant and the API's example show it."""

from typing import Any

SAMPLE: dict[str, Any] = {
    "languages": ["en", "zh"],
    "tone": "friendly",
    "chat_model": "",
    "embedding_model": "embeddings",
    "greeting": {"en": "Hello! How can I help you?", "zh": "你好，请问有什么可以帮你？"},
    "intents": [
        {
            "name": "opening_hours",
            "title": {"en": "opening hours", "zh": "营业时间"},
            "examples": {
                "en": ["When are you open?", "Are you open on Sunday?", "closing time", "hours"],
                "zh": ["你们几点开门？", "周日营业吗？", "几点关门", "营业时间是什么"],
            },
            "rule": {
                "kind": "answer",
                "reply": {"en": "We are open from 9 to 5.", "zh": "我们九点到五点营业。"},
            },
            "length": "short",
        },
        {
            "name": "complaint",
            "title": {"en": "a complaint", "zh": "投诉"},
            "examples": {
                "en": [
                    "I want to complain",
                    "This is unacceptable",
                    "I am very unhappy with this",
                    "Your service was terrible",
                ],
                "zh": ["我要投诉", "太让人失望了", "你们的服务太差了", "我非常不满意"],
            },
            "slots": [
                {
                    "name": "order",
                    "kind": "order_number",
                    "title": {"en": "order number", "zh": "订单号"},
                    "ask": {
                        "en": "Which order is it about?",
                        "zh": "请问是哪个订单？",
                    },
                    "pattern": "[A-Z]{2}-\\d{6}",
                }
            ],
            "rule": {"kind": "hand_over"},
        },
    ],
    "sure": 0.6,
    "most_turns": 12,
    "hand_over_words": ["manager", "经理"],
}
