"""Notifies services outside this installation that got a person's texts (GDPR art. 19).

They are notified when the person is erased, which is not complete before that. A notice goes to
FOREBAY_DELETION_WEBHOOK, signed, and in any case into a log of its own
(FOREBAY_HOME/witness/recipients.jsonl), from which the operator writes to recipients without one.
"""

import json
import urllib.request
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Max, Min
from django.utils import timezone

from audit.actions import Action
from audit.erasure import line_file
from audit.erasure.erasers import Evidence
from audit.keys import signing
from audit.models import ErasureStep, Event
from inference.engines import engines
from infrastructure import outgoing_tls

STORE = "recipients"
PATIENCE_S = 5
PURPOSE = "erasure-notice"


def notify(tenant_id: UUID, subject_id: UUID) -> Evidence:
    """Notify all recipients. Raises OSError while the webhook does not answer."""
    notified = {entry["recipient"] for entry in _notices(tenant_id, subject_id)}
    received = [row for row in _received(tenant_id, subject_id) if row["upstream"] not in notified]
    notices = [_notify(tenant_id, subject_id, row) for row in received]
    if notices or notified:
        return {"recipients": len(notices), "told": notices}
    return {"recipients": 0, "told": "none"}


def not_notified(tenant_id: UUID, subject_id: UUID) -> int:
    """Returns how many lack a notice, by the evidence alone: the service's reaction is unknown."""
    notified = {entry["recipient"] for entry in _notices(tenant_id, subject_id)}
    return sum(row["upstream"] not in notified for row in _received(tenant_id, subject_id))


def _received(tenant_id: UUID, subject_id: UUID) -> list[dict[str, Any]]:
    """Returns hosted services by their name in the trail, with number and times of requests."""
    actions = [Action.COMPLETION_COMPLETED, Action.COMPLETION_LEFT]
    events = Event.objects.filter(tenant_id=tenant_id, subject_id=subject_id, action__in=actions)
    rows = events.values("upstream").annotate(n=Count("id"), first=Min("at"), last=Max("at"))
    return [dict(row) for row in rows.order_by("upstream") if is_hosted(row["upstream"])]


def is_hosted(upstream: str) -> bool:
    """Returns whether others run it: the trail has its host then (engines/base.py)."""
    hosted = {engine.upstream for engine in engines() if engine.config.hosted}
    return " " in upstream or upstream in hosted


def _notices(tenant_id: UUID, subject_id: UUID) -> list[dict[str, Any]]:
    steps = ErasureStep.objects.filter(store=STORE, tenant_id=tenant_id)
    steps = steps.filter(request__subject_id=subject_id)
    by_step = [step.evidence.get("told") for step in steps]
    return [entry for notices in by_step if isinstance(notices, list) for entry in notices]


def _notify(tenant_id: UUID, subject_id: UUID, row: dict[str, Any]) -> dict[str, Any]:
    notice = {
        "notice": "erase what you keep of these requests",
        "recipient": row["upstream"],
        "tenant": str(tenant_id),
        "subject": str(subject_id),
        "requests": row["n"],
        "first": row["first"].isoformat(),
        "last": row["last"].isoformat(),
    }
    how = "webhook" if settings.DELETION_WEBHOOK else "log"
    if how == "webhook":
        _post(notice)
    at = timezone.now().isoformat()
    path = settings.FOREBAY_HOME / "witness" / "recipients.jsonl"
    line_file.append(path, json.dumps({**notice, "told": how, "at": at}))
    return {"recipient": row["upstream"], "requests": row["n"], "told": how, "at": at}


def _post(notice: dict[str, Any]) -> None:
    body = json.dumps(notice, sort_keys=True).encode()
    headers = {
        "Content-Type": "application/json",
        "X-Forebay-Key": signing.key_id(),
        "X-Forebay-Signature": signing.sign(body, PURPOSE).hex(),
    }
    request = urllib.request.Request(settings.DELETION_WEBHOOK, body, headers)  # noqa: S310
    url = urlsplit(settings.DELETION_WEBHOOK)
    tls = outgoing_tls.context(url.hostname or "") if url.scheme == "https" else None
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=tls), _NoRedirect())
    with opener.open(request, timeout=PATIENCE_S):
        pass


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: a redirected POST would become a GET without the notice, and succeed."""

    def redirect_request(self, *_: Any) -> None:
        return None
