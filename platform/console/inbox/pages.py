"""The inbox: dialogues that wait for people, and one of them, live.

Opening a dialogue puts it on the trail who reads it, once in a quarter of an hour.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.keys.keyring import Barred
from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm
from console.inbox.lines import lines, short_name, waiting
from console.inbox.thread import calls, thread
from console.inbox.words import reason_text
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.trail.actors import Actors
from inference.dialogues import handing_over
from inference.dialogues.handing_over import LONGEST_TEXT
from inference.models import ActionCall, Dialogue, DialogueStatus, Settlement
from tenants.models import Member
from tenants.roles import Permission, Role, may

READING = "inbox_reading"  # in the session: a dialogue, and when its reading came on the trail
ANEW_S = 15 * 60
_BARRED: dict[type[Exception], Promise] = {
    Barred: _("The data of this person is erased or restricted: nothing of theirs is processed.")
}


class WrittenForm(ConsoleForm):
    """A text, and an id of the page's: sent again with it, the text counts once."""

    client_id = forms.UUIDField(required=False, widget=forms.HiddenInput)


class TextForm(WrittenForm):
    text = forms.CharField(
        label=_("Reply"),
        max_length=LONGEST_TEXT,
        widget=forms.Textarea(attrs={"rows": 3, "data-composer": ""}),
    )


class NoteForm(WrittenForm):
    text = forms.CharField(
        label=_("Note"),
        max_length=LONGEST_TEXT,
        help_text=_("For members. The person never sees it."),
        widget=forms.Textarea(attrs={"rows": 2, "data-composer": ""}),
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, auto_id="note_%s")


class TransferForm(ConsoleForm):
    to = forms.ModelChoiceField(Member.objects.none(), label=_("Member"))

    def __init__(self, data: Any, request: TenantRequest) -> None:
        super().__init__(data)
        tenant = request.tenant
        roles = [role for role in Role if may(role, Permission.ANSWER_DIALOGUES, tenant.profile)]
        rows = tenant.members.filter(role__in=roles, user__is_active=True)
        if request.member:
            rows = rows.exclude(pk=request.member.pk)
        field: Any = self.fields["to"]
        field.queryset = rows.select_related("user").order_by("user__email")
        field.label_from_instance = lambda member: member.user.email


@permitted(Permission.ANSWER_DIALOGUES)
def inbox(request: TenantRequest) -> HttpResponse:
    _here(request)
    return render(request, "console/inbox/inbox.html", _list(request))


@permitted(Permission.ANSWER_DIALOGUES)
def inbox_list(request: TenantRequest) -> HttpResponse:
    """Return the list alone, for the script that keeps it live."""
    _here(request)
    return render(request, "console/inbox/_list.html", _list(request))


@permitted(Permission.ANSWER_DIALOGUES)
def dialogue(request: TenantRequest, dialogue: UUID) -> HttpResponse:
    row = _dialogue(request, dialogue)
    _here(request)
    _note_reading(request, row)
    return _page(request, row)


@permitted(Permission.ANSWER_DIALOGUES)
def live(request: TenantRequest, dialogue: UUID) -> HttpResponse:
    """Return what moves of a dialogue's page, for the script that keeps it live."""
    row = _dialogue(request, dialogue)
    _note_reading(request, row)
    return render(request, "console/inbox/_live.html", _shown(request, row))


# Acts --------------------------------------------------------------------------------------------
@require_POST
@permitted(Permission.ANSWER_DIALOGUES)
def taking(request: TenantRequest, dialogue: UUID) -> HttpResponse:
    row = _dialogue(request, dialogue)
    take = partial(_take, row, request.member)
    return _leave(request, row, take, _("You have this dialogue now."))


@require_POST
@permitted(Permission.ANSWER_DIALOGUES)
def return_(request: TenantRequest, dialogue: UUID) -> HttpResponse:
    row = _dialogue(request, dialogue)
    give_back = partial(handing_over.give_back, row)
    return _leave(request, row, give_back, _("The assistant answers from the next message on."))


@require_POST
@permitted(Permission.ANSWER_DIALOGUES)
def resolution(request: TenantRequest, dialogue: UUID) -> HttpResponse:
    row = _dialogue(request, dialogue)
    return _leave(request, row, partial(handing_over.resolve, row), _("The dialogue is resolved."))


@require_POST
@permitted(Permission.ANSWER_DIALOGUES)
def transfer(request: TenantRequest, dialogue: UUID) -> HttpResponse:
    row, form = _dialogue(request, dialogue), TransferForm(request.POST, request)
    if not form.is_valid():
        return _page(request, row, transfer=form)
    give = partial(handing_over.transfer, row, form.cleaned_data["to"])
    return _leave(request, row, give, _("The member has this dialogue now."))


@require_POST
@permitted(Permission.ANSWER_DIALOGUES)
def reply(request: TenantRequest, dialogue: UUID) -> HttpResponse:
    row, form = _dialogue(request, dialogue), TextForm(request.POST)
    write = partial(handing_over.reply, row, by=request.actor)
    if saved(form, lambda: write(**form.cleaned_data), _BARRED):
        return _written(request, row)
    return _page(request, row, 422, reply=form)


@require_POST
@permitted(Permission.ANSWER_DIALOGUES)
def note(request: TenantRequest, dialogue: UUID) -> HttpResponse:
    row, form = _dialogue(request, dialogue), NoteForm(request.POST)
    write = partial(handing_over.note, row, by=request.actor)
    if saved(form, lambda: write(**form.cleaned_data), _BARRED):
        return _written(request, row)
    return _page(request, row, 422, note=form)


@require_POST
@permitted(Permission.ANSWER_DIALOGUES)
def settlement(request: TenantRequest, call: UUID) -> HttpResponse:
    """Note whether an action with an unknown outcome was done."""
    row = get_object_or_404(request.tenant.action_calls, pk=call)
    was_done = Settlement.DONE if request.POST.get("done") == "yes" else Settlement.NOT_DONE
    settle = partial(row.settle, was_done)
    text = _("Noted: the outcome of this call is settled.")
    return report_and_leave(request, settle, text, "console:unsettled_calls")


@permitted(Permission.ANSWER_DIALOGUES)
def unsettled(request: TenantRequest) -> HttpResponse:
    """List calls whose outcome nobody knows, for a person to find out."""
    rows = ActionCall.objects.filter(tenant=request.tenant).to_settle().newest_first()[:100]
    return render(request, "console/inbox/unsettled.html", {"calls": rows})


# -------------------------------------------------------------------------------------------------
def _take(dialogue: Dialogue, member: Member | None, *, by: str) -> None:
    assert member  # operators have no part in a tenant's dialogues
    assert by == member.actor
    handing_over.take_over(dialogue, member)


def _leave(
    request: TenantRequest, row: Dialogue, act: Callable[..., object], text: Promise
) -> HttpResponse:
    page = "console:inbox_dialogue"
    return report_and_leave(request, act, text, page, _BARRED, dialogue=row.pk)


def _written(request: TenantRequest, row: Dialogue) -> HttpResponse:
    """Return to the page; its script has not left it, and must tell this from a lost session."""
    if request.htmx:
        return HttpResponse(status=204)
    return redirect("console:inbox_dialogue", tenant=request.tenant.name, dialogue=row.pk)


def _dialogue(request: TenantRequest, dialogue: UUID) -> Dialogue:
    rows = request.tenant.dialogues.select_related("person", "tenant")
    return get_object_or_404(rows, pk=dialogue)


def _here(request: TenantRequest) -> None:
    """Keep the member's dialogues, also where no websocket comes through."""
    if request.member:
        handing_over.renew(request.tenant.pk, request.member.actor)


def _note_reading(request: TenantRequest, row: Dialogue) -> None:
    before, at = request.session.get(READING, ("", 0.0))
    if before != str(row.pk) or time.time() - at > ANEW_S:
        row.record(Action.DIALOGUE_READ, request.actor, messages=row.messages_count)
        request.session[READING] = str(row.pk), time.time()


def _list(request: TenantRequest) -> dict[str, Any]:
    calls = ActionCall.objects.filter(tenant=request.tenant).to_settle()
    return {
        "lines": lines(request.tenant, request.member),
        "waiting": waiting(request.tenant),
        "unsettled": calls[:100].count(),
    }


def _shown(request: TenantRequest, row: Dialogue) -> dict[str, Any]:
    row.refresh_from_db(fields=["status", "taken_by", "messages_count", "language"])
    hand_over = row.hand_overs.order_by("-asked_at").first()
    name = Actors.among([row.taken_by], request.tenant).name(row.taken_by) if row.taken_by else ""
    with_human = row.status == DialogueStatus.WITH_HUMAN
    return {
        "dialogue": row,
        "name": short_name(row),
        "thread": thread(row, request.tenant),
        "calls": calls(row),
        "hand_over": hand_over,
        "reason": reason_text(hand_over.reason) if hand_over else "",
        "taken_by": name,
        "mine": with_human and row.taken_by == request.actor,
        "free": not with_human and row.status != DialogueStatus.CLOSED,
    }


def _page(request: TenantRequest, row: Dialogue, status: int = 200, **forms: Any) -> HttpResponse:
    shown = {
        "reply": TextForm(),
        "note": NoteForm(),
        "transfer": TransferForm(None, request),
        "opened": row.pk,
        **_list(request),
        **_shown(request, row),
        **forms,
    }
    return render(request, "console/inbox/dialogue.html", shown, status=status)
