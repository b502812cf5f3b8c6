"""A signed certificate of erasure: the request, its times, and the outcome of each store.

It verifies offline (audit/offline/forebay_verify.py certificate). It contains no name, and its
pseudonym leads to nobody once the erasure is done.
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


def issue(request: DeletionRequest, remaining: dict[str, int]) -> Certificate:
    """Returns {"body": ..., "signature": ...} for a request whose stores are all empty.

    `remaining` is the count that each store has just returned.
    """
    body = _body(request, remaining)
    return {
        "body": body,
        "public_key": base64.b64encode(signing.public_key()).decode(),
        "key_id": signing.key_id(),
        "signature": base64.b64encode(signing.sign(canonical(body), PURPOSE)).decode(),
    }


def verifies(certificate: Certificate) -> bool:
    """Returns True if a current or former key of this installation signed the certificate."""
    signature = base64.b64decode(certificate["signature"])
    return signing.is_ours(canonical(certificate["body"]), signature, PURPOSE)


def canonical(body: dict[str, Any]) -> bytes:
    """Returns UTF-8 JSON, keys sorted, no spaces: signed after the line `forebay-certificate/1`."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def sha256_of(certificate: Certificate) -> str:
    return sha256(canonical(certificate["body"])).hexdigest()


def _body(request: DeletionRequest, remaining: dict[str, int]) -> dict[str, Any]:
    order = {eraser.name: n for n, eraser in enumerate(erasers.in_order())}
    steps = sorted(request.steps.all(), key=lambda step: order.get(step.store, len(order)))
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
        "stores": [_store(step, remaining.get(step.store)) for step in steps],
        "kept": "the audit skeleton without texts, under a pseudonym that leads to nobody",
        "checkpoint": _checkpoint(),
        "issued_at": _moment(timezone.now()),
    }


def _store(step: ErasureStep, remaining: int | None) -> dict[str, Any]:
    """Returns one store's entry. Only a hash of key ids is included, since ids stand for their
    owner's texts.

    `remaining` is None for a store that this version does not have.
    """
    hidden = ("key_ids", "tried_at")
    with override("en"):
        label = erasers.label(step.store)
    return {
        "store": step.store,
        "label": label,
        "evidence": {k: v for k, v in step.evidence.items() if k not in hidden},
        "attempts": step.attempts,
        "left": remaining,
        "finished_at": _moment(step.finished_at),
    }


def _checkpoint() -> dict[str, Any] | None:
    """Returns the newest checkpoint, which covers nearly all acts of this erasure."""
    newest = Checkpoint.objects.order_by("-n").first()
    if newest is None:
        return None
    return {"n": newest.n, "root": bytes(newest.root).hex(), "at": _moment(newest.at)}


def _moment(at: Any) -> str | None:
    return at.isoformat() if at else None
