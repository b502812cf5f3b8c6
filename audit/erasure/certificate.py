"""A signed certificate of erasure: what was asked, when, what became of each store.

It verifies offline (audit/offline/forebay_verify.py certificate). No name stands in it, and its
pseudonym leads nowhere by then.
"""

import base64
import json
from hashlib import sha256
from typing import Any

from django.utils import timezone
from django.utils.translation import override

from audit.erasure import erasers
from audit.keys import signing
from audit.models import Checkpoint, DeletionRequest, ErasureStep

FORMAT = "forebay-certificate/1"
PURPOSE = "certificate"
Certificate = dict[str, Any]


def issue(request: DeletionRequest, left: dict[str, int]) -> Certificate:
    """For a request whose stores are all empty: `left` is what each has just counted.
    {"body": …, "signature": …}.
    """
    body = _body(request, left)
    return {
        "body": body,
        "public_key": base64.b64encode(signing.public_key()).decode(),
        "key_id": signing.key_id(),
        "signature": base64.b64encode(signing.sign(canonical(body), PURPOSE)).decode(),
    }


def verifies(found: Certificate) -> bool:
    """With a key of this installation, of now or of before."""
    signature = base64.b64decode(found["signature"])
    return signing.is_ours(canonical(found["body"]), signature, PURPOSE)


def canonical(body: dict[str, Any]) -> bytes:
    """UTF-8 JSON, keys sorted, no spaces: what is signed after the line `forebay-certificate/1`."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def sha256_of(found: Certificate) -> str:
    return sha256(canonical(found["body"])).hexdigest()


def _body(request: DeletionRequest, left: dict[str, int]) -> dict[str, Any]:
    steps = _in_order(request)
    moments = ("requested_at", "due_at", "approved_at", "started_at", "finished_at")
    return {
        "format": FORMAT,
        "request": str(request.id),
        "tenant": str(request.tenant_id),
        "subject": str(request.subject_id),
        "mode": request.mode,
        "removal_asked": request.removes,
        "membership_removed": any(step.evidence.get("removed") for step in steps),
        **{name: _moment(getattr(request, name)) for name in moments},
        "approved_by": request.approved_by.partition(":")[0],
        "stores": [_store(step, left.get(step.store)) for step in steps],
        "kept": "the audit skeleton without texts, under a pseudonym that leads to nobody",
        "checkpoint": _checkpoint(),
        "issued_at": _moment(timezone.now()),
    }


def _in_order(request: DeletionRequest) -> list[ErasureStep]:
    order = {eraser.name: n for n, eraser in enumerate(erasers.in_order())}
    return sorted(request.steps.all(), key=lambda step: order.get(step.store, len(order)))


def _store(step: ErasureStep, left: int | None) -> dict[str, Any]:
    """Ids of keys stand for their owner's texts: only their hash is told. Nothing is left of a
    store that this version does not have: null.
    """
    hidden = ("key_ids", "tried_at")
    with override("en"):
        label = erasers.label(step.store)
    return {
        "store": step.store,
        "label": label,
        "evidence": {k: v for k, v in step.evidence.items() if k not in hidden},
        "attempts": step.attempts,
        "left": left,
        "finished_at": _moment(step.finished_at),
    }


def _checkpoint() -> dict[str, Any] | None:
    """The newest one at that time: the trail under it had this erasure's acts nearly all."""
    newest = Checkpoint.objects.order_by("-n").first()
    if newest is None:
        return None
    return {"n": newest.n, "root": bytes(newest.root).hex(), "at": _moment(newest.at)}


def _moment(at: Any) -> str | None:
    return at.isoformat() if at else None
