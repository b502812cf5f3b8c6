"""Pages to read prompts and answers: only with a reason, and on record."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.models import Event
from audit.search import text_search
from audit.trail.record import LONGEST_REASON
from console.account.reauthentication import recently_proven_by_factor
from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm, MomentField
from tenants.roles import Permission


class WhyForm(ConsoleForm):
    reason = forms.CharField(
        label=_("Reason"),
        max_length=LONGEST_REASON,
        help_text=_("Recorded in the audit trail together with your name."),
    )


class TextSearchForm(WhyForm):
    words = forms.CharField(
        label=_("Words"), min_length=text_search.SHORTEST_WORD, max_length=text_search.LONGEST
    )
    since = MomentField(label=_("From"), required=True)
    until = MomentField(label=_("To"), required=True, help_text=_("At most 31 days at once."))
    subject = forms.UUIDField(
        label=_("Person (pseudonym)"),
        required=False,
        help_text=_("Only texts of this person, if given."),
    )
    field_order = ("words", "since", "until", "subject", "reason")


@permitted(Permission.VIEW_PROMPTS)
@recently_proven_by_factor
def text_search_page(request: TenantRequest) -> HttpResponse:
    form = TextSearchForm(request.POST or None, initial=_last_day())
    matches = None
    if request.method == "POST" and form.is_valid():
        fields = form.cleaned_data
        try:
            matches = text_search.search(
                request.tenant.id,
                fields["words"],
                by=request.actor,
                reason=fields["reason"],
                since=fields["since"],
                until=fields["until"],
                subject_id=fields["subject"],
                searcher_id=request.member.subject_id if request.member else None,
            )
        except ValidationError as problem:
            form.refuse(problem)
    context = {
        "form": form,
        "found": matches,
        "left": text_search.remaining_this_hour(request.tenant.id, request.actor),
        "most": text_search.MOST_TEXTS,
    }
    return render(request, "console/audit/text_search.html", context)


@permitted(Permission.VIEW_PROMPTS)
@recently_proven_by_factor
def text_view(request: TenantRequest, completion: UUID) -> HttpResponse:
    """Show a form for the reason on GET, the text on POST."""
    form, viewed = WhyForm(request.POST or None), None
    if request.method == "POST" and form.is_valid():
        viewed = text_search.view(
            request.tenant.id,
            completion,
            by=request.actor,
            reason=form.cleaned_data["reason"],
        )
    events = Event.objects.of_tenant(request.tenant.id).filter(request_id=completion)
    context = {
        "form": form,
        "viewed": viewed,
        "completion": completion,
        "events": events.order_by("at", "id")[:10],
    }
    status = 200 if events else 404
    return render(request, "console/audit/text.html", context, status=status)


def _last_day() -> dict[str, Any]:
    now = timezone.now()
    return {"since": now - timedelta(days=1), "until": now + timedelta(minutes=1)}
