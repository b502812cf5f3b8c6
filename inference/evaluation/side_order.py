"""One side of an evaluation as an order: what its body says, and how it is put into one.

It travels in the field `prompt`, which every kind of engine leaves in a body that it adopts.
"""

from uuid import UUID

import msgspec

ROUTE, CLASS = "evaluations", "evaluation"
CANDIDATE, AGAINST = "candidate", "against"


class Asked(msgspec.Struct, frozen=True):
    evaluation: UUID
    side: str  # CANDIDATE or AGAINST
    task_set: UUID
    sha256: str
    kind: str
    items: int


def body_of(work: Asked, model: str) -> bytes:
    prompt = msgspec.json.encode(work).decode()
    return msgspec.json.encode({"model": model, "prompt": prompt})


def asked_in(body: bytes) -> Asked:
    """Raises msgspec.DecodeError, KeyError."""
    return msgspec.json.decode(msgspec.json.decode(body)["prompt"], type=Asked)
