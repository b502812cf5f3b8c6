"""An assistant that serves, its embeddings and its classifier, for tests of dialogues.

A vector says which words a text has; the classifier reads them.
"""

import base64
import struct
from typing import Any

import msgspec

from inference.assistants import spec as specs
from inference.assistants.spec import AssistantSpec, Intent, Rule
from inference.assistants.understanding import Classifier
from inference.models import Assistant
from inference.models.assistants.assistant_version import Written
from tenants.models import ApiKey, Tenant
from tests.inference.assistants.shop import ORDER

WORDS = {"opening_hours": "open", "track": "order", "question": "cost", "complaint": "complain"}
INTENTS = list(WORDS)


def _intent(name: str, title: str, slots: list[Any] | None = None, **rule: Any) -> Intent:
    examples: Any = {"en": [f"{WORDS[name]} please"], "zh": [WORDS[name]]}
    named: Any = {"en": title}
    return Intent(name=name, title=named, examples=examples, slots=slots or [], rule=Rule(**rule))


SPEC = AssistantSpec(
    languages=["en", "zh"],
    embedding_model="small",
    greeting={"en": "Hello!", "zh": "您好！"},
    actions=["order_state"],
    intents=[
        _intent("opening_hours", "opening hours", kind="answer", reply={"en": "9 to 5."}),
        _intent(
            "track", "look up an order", [ORDER], kind="action", action="order_state", confirm=False
        ),
        _intent("question", "questions", kind="knowledge"),
        _intent("complaint", "complaints", kind="hand_over"),
    ],
)


def vector_of(text: str) -> list[float]:
    has = [float(word in text.lower()) for word in WORDS.values()]
    return has if any(has) else [0.5] * len(has)


def embedded(body: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the engine's answer to a request for embeddings; None for others."""
    if "input" not in body:
        return None
    packed = [struct.pack("<4f", *vector_of(text)) for text in body["input"]]
    data = [
        {"object": "embedding", "index": n, "embedding": base64.b64encode(each).decode()}
        for n, each in enumerate(packed)
    ]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return {"object": "list", "data": data, "model": "theirs", "usage": usage}


def serve(tenant: Tenant, key: ApiKey, name: str = "shop", **changes: Any) -> Assistant:
    """Returns an assistant whose first version answers."""
    spec = msgspec.structs.replace(SPEC, **changes)
    written = Written(specs.packed(spec), spec.embedding_model, 8)
    assistant = Assistant.create(tenant, name, written, by="member:1", caller=key)
    version = assistant.versions.get()
    version.begin_build()
    weights = [[20.0 * (row == column) for column in range(4)] for row in range(4)]
    version.complete_build(Classifier("small", INTENTS, weights, [0.0] * 4), {}, "")
    version.submit(by="member:1")
    version.approve(by="member:2")
    assistant.promote(version, by="member:1")
    return assistant
