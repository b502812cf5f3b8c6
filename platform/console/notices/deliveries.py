"""Pages of deliveries: what went to targets, and the platform's outbox of mails."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.authorization import ConsoleRequest, operators_only, permitted
from console.post_only import require_POST
from console.reported_acts import report_and_leave
from console.tables import Column, Table
from tenants.models import Notice, NoticeState, NoticeTarget
from tenants.notices.events import EVENTS
from tenants.roles import Permission

_EVENT = {
    "event": Column(gettext_lazy("Event"), "event", "event"),
    "id": Column(gettext_lazy("Id"), "pk", file_only=True),
}
_OUTCOME = {
    "state": Column(gettext_lazy("State"), lambda row: row.get_state_display(), "state"),
    "answer": Column(gettext_lazy("Answer"), "status", "status"),
    "reason": Column(gettext_lazy("Reason"), "reason", file_only=True),
    "tries": Column(gettext_lazy("Tries"), "attempts", "attempts", numbers=True),
    "time": Column(gettext_lazy("Time"), "latest_ms", numbers=True),
    "created": Column(gettext_lazy("Created"), "created_at", "created_at"),
}
DELIVERIES = Table(
    "deliveries",
    {
        **_EVENT,
        "target": Column(gettext_lazy("Target"), "target.name", "target__name"),
        **_OUTCOME,
    },
    order="-created",
)
MAILS = Table(
    "mails",
    {**_EVENT, "to": Column(gettext_lazy("To"), "recipient", "recipient"), **_OUTCOME},
    order="-created",
    search=("recipient",),
)


def _list(request: ConsoleRequest) -> HttpResponse:
    """List deliveries: `?state=`, `?event=`, `?target=`, or `?id=` of one, as the header has it."""
    rows = _filtered(request, Notice.objects.to_targets_of(request.tenant))
    targets = NoticeTarget.objects.of(request.tenant)
    shown = {"targets": targets, **_filter_context(request)}
    return DELIVERIES.page(request, rows, "console/notices/deliveries.html", **shown)


def _mails(request: ConsoleRequest) -> HttpResponse:
    """List mails without their texts, and to whom each went."""
    rows = _filtered(request, Notice.objects.by_mail())
    rows = rows.annotate(recipient=Coalesce("user__email", "link__email"))
    shown = {"mail": settings.MAIL, **_filter_context(request)}
    return MAILS.page(request, rows, "console/notices/mails.html", **shown)


def _redelivery(request: ConsoleRequest, notice: UUID) -> HttpResponse:
    row = get_object_or_404(Notice.objects.to_targets_of(request.tenant), pk=notice)
    name = "notice_deliveries" if request.tenant else "platform_notice_deliveries"
    text = _("The notice is on its way once more.")
    return report_and_leave(request, row.redeliver, text, f"console:{name}")


def _filtered(request: ConsoleRequest, rows: QuerySet[Notice]) -> QuerySet[Notice]:
    conditions = _asked(request)
    if conditions["id"]:
        return rows.filter(pk=conditions["id"])
    names = {"state": "state", "event": "event", "target": "target_id"}
    return rows.filter(**{names[key]: conditions[key] for key in names if conditions[key]})


def _asked(request: ConsoleRequest) -> dict[str, str]:
    state, event = request.GET.get("state", ""), request.GET.get("event", "")
    return {
        "state": state if state in NoticeState.values else "",
        "event": event if event in EVENTS else "",
        "target": _uuid(request.GET.get("target", "")),
        "id": _uuid(request.GET.get("id", "")),
    }


def _uuid(text: str) -> str:
    try:
        return str(UUID(text.strip()))
    except ValueError:
        return ""


def _filter_context(request: ConsoleRequest) -> dict[str, Any]:
    events = [(name, str(words.title)) for name, words in EVENTS.items()]
    return {"asked": _asked(request), "states": NoticeState.choices, "events": events}


_in_tenant = permitted(Permission.MANAGE_NOTICES)
deliveries, platform_deliveries = _in_tenant(_list), operators_only(_list)
redelivery = require_POST(_in_tenant(_redelivery))
platform_redelivery = require_POST(operators_only(_redelivery))
mails = operators_only(_mails)
