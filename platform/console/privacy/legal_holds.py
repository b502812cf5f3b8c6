"""Pages of legal holds: placed by one person, approved by another; renewed and released by two."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.models import LegalHold
from audit.retention import legal_hold
from audit.retention.legal_hold import AlreadyApproved, Ended, HoldRefused, SamePerson
from audit.trail.record import LONGEST_REASON
from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, TenantRequest, View, operators_only, permitted
from console.forms import ConsoleForm, MomentField
from console.post_only import require_POST
from console.tables import Column, Table
from tenants.models import Member, Tenant, User
from tenants.personal_data.subject import find_person
from tenants.roles import Permission

MOST_HOLDING = 200  # holds in force that a page has above the table


class HoldForm(ConsoleForm):
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=LONGEST_REASON)
    subject = forms.CharField(
        label=gettext_lazy("Person"),
        required=False,
        max_length=200,
        widget=forms.TextInput(
            attrs={"placeholder": gettext_lazy("Email address, reference or pseudonym")}
        ),
        help_text=gettext_lazy("Leave empty to cover everyone in the tenant."),
    )
    covers_from = MomentField(label=gettext_lazy("Data from"))
    covers_until = MomentField(label=gettext_lazy("Data until"))
    expires_at = MomentField(
        label=gettext_lazy("Expires"),
        required=True,
        help_text=gettext_lazy("At most a year from now; it can be renewed."),
    )

    def __init__(self, data: Any, tenant: Tenant) -> None:
        super().__init__(data)
        self.tenant = tenant

    def clean_subject(self) -> UUID | None:
        text = self.cleaned_data["subject"].strip()
        if not text:
            return None
        try:
            return UUID(text)
        except ValueError:
            member = self.tenant.members.filter(user__email__iexact=text).first()
        owner = member or find_person(self.tenant, text)
        if owner is None:
            raise ValidationError(_("No member has this address, and no person this reference."))
        subject: UUID = owner.subject_id
        return subject


class RenewalForm(ConsoleForm):
    expires_at = MomentField(required=True)


class ReleaseForm(ConsoleForm):
    """Gives the reason for a release, which the approver reads."""

    reason = forms.CharField(max_length=LONGEST_REASON, required=False)


@dataclass(frozen=True, slots=True)
class HoldRow:
    hold: LegalHold
    tenant: str
    whose: str
    requested_by: str
    approved_by: str
    release_asked_by: str
    released_by: str

    @property
    def ended(self) -> bool:
        return legal_hold.has_ended(self.hold)

    @property
    def state(self) -> str:
        return state_text(self.hold)

    @property
    def last_renewed_by(self) -> str:
        """Returns the person who renewed it last and may not renew it now."""
        return self.hold.renewed_by or self.hold.requested_by


_COLUMNS = {
    "for": Column(
        gettext_lazy("For"),
        lambda hold: hold.whose or hold.subject_id or _("Everybody of the tenant"),
        "whose",
    ),
    "reason": Column(gettext_lazy("Reason"), "reason", "reason"),
    "from": Column(gettext_lazy("Data from"), "covers_from", file_only=True),
    "until": Column(gettext_lazy("Data until"), "covers_until", file_only=True),
    "placed": Column(gettext_lazy("Placed"), "requested_at", "requested_at"),
    "placed_by": Column(gettext_lazy("Placed by"), "requested_by", file_only=True),
    "approved": Column(gettext_lazy("Approved"), "approved_at", "approved_at"),
    "approved_by": Column(gettext_lazy("Approved by"), "approved_by", file_only=True),
    "expires": Column(gettext_lazy("Expires"), "expires_at", "expires_at"),
    "released": Column(gettext_lazy("Released"), "released_at", file_only=True),
    "state": Column(gettext_lazy("State"), lambda hold: state_text(hold)),
}
HOLDS = Table("holds", _COLUMNS, order="-placed", search=("whose", "reason"))
ALL_HOLDS = Table(
    "all-holds",
    {"tenant": Column(gettext_lazy("Tenant"), "tenant_name", "tenant_name"), **_COLUMNS},
    order="-placed",
    search=("whose", "reason", "tenant_name"),
)


def state_text(hold: LegalHold) -> str:
    if hold.released_at:
        return _("Released")
    if legal_hold.has_ended(hold):
        return _("Expired") if hold.approved_at else _("Never approved")
    if hold.approved_at:
        return _("In force")
    waits = _("In force, waits for approval")
    return waits if hold.holds_meanwhile else _("Not in force before it is approved")


@permitted(Permission.VIEW_AUDIT)
def legal_holds(request: TenantRequest) -> HttpResponse:
    if file := HOLDS.file(request, _with_names(_rows(request))):
        return file
    form = HoldForm(request.POST or None, request.tenant)
    form.initial["subject"] = request.GET.get("subject", "")[:200]
    if request.method != "POST":
        return _page(request, form)
    answer: HttpResponse = _place_hold(request, form=form)  # type: ignore[assignment]
    return answer


@operators_only
def all_holds(request: ConsoleRequest) -> HttpResponse:
    """List all tenants' holds, which are never deleted, without old ones of deleted tenants."""
    shown = Q(released_at=None) | Q(tenant_id__in=Tenant.objects.values("pk"))
    rows = _with_names(LegalHold.objects.filter(shown))
    if file := ALL_HOLDS.file(request, rows):
        return file
    table = ALL_HOLDS.shown(request, rows)
    context = {"table": table, "lines": _lines(request, table.rows)}
    return render(request, "console/holds/all.html", context)


@recently_proven
def _place_hold(request: TenantRequest, form: HoldForm) -> HttpResponse:
    if Permission.MANAGE_HOLDS not in request.permissions:
        raise PermissionDenied(_("Your role in this tenant does not include this. Ask an owner."))
    if not form.is_valid():
        return _page(request, form)
    subject_id = form.cleaned_data.pop("subject")
    try:
        hold = legal_hold.request(
            request.tenant.id,
            by=request.actor,
            person=person(request.user),
            subject_id=subject_id,
            **form.cleaned_data,
        )
    except ValidationError as problem:
        form.refuse(problem)
        return _page(request, form)
    _report_placed(request, hold)
    return _back(request)


def _report_placed(request: TenantRequest, hold: LegalHold) -> None:
    if hold.holds_meanwhile:
        text = _("The hold is in force. Another person has to approve it within 72 hours.")
        messages.success(request, text)
    else:
        messages.warning(
            request,
            _(
                "This hold takes effect only when another person approves it, because a "
                "similar hold within the last 30 days was not approved."
            ),
        )


def _act_on_hold(act: Callable[[TenantRequest, LegalHold], str]) -> View:
    """Make a view of an act on a hold that returns its outcome in words."""

    @require_POST
    @permitted(Permission.MANAGE_HOLDS)
    @recently_proven
    @wraps(act)
    def view(request: TenantRequest, hold: UUID) -> HttpResponse:
        row = get_object_or_404(LegalHold, tenant_id=request.tenant.id, pk=hold)
        try:
            messages.success(request, act(request, row))
        except HoldRefused as problem:
            messages.error(request, refusal_text(problem))
        except ValidationError as problem:
            messages.error(request, " ".join(problem.messages))
        return _back(request)

    return view


@_act_on_hold
def hold_approval(request: TenantRequest, hold: LegalHold) -> str:
    legal_hold.approve(hold, by=request.actor, person=person(request.user))
    return _("Approved. The hold stays in force until it expires.")


@_act_on_hold
def hold_renewal(request: TenantRequest, hold: LegalHold) -> str:
    form = RenewalForm(request.POST)
    if not form.is_valid():
        raise ValidationError(_("Say until when."))
    until = form.cleaned_data["expires_at"]
    legal_hold.renew(hold, by=request.actor, person=person(request.user), expires_at=until)
    return _("Renewed.")


@_act_on_hold
def hold_release(request: TenantRequest, hold: LegalHold) -> str:
    form = ReleaseForm(request.POST)
    reason = form.cleaned_data["reason"] if form.is_valid() else ""
    try:
        released = legal_hold.release(
            hold, by=request.actor, person=person(request.user), reason=reason
        )
    except ValidationError:
        raise ValidationError(_("Say why it is released.")) from None
    if released:
        return _("Released. The data it covered can be deleted from now on.")
    return _("Release requested. The hold stays in force until another person approves it.")


def person(user: User) -> str:
    """Returns the person's name in holds: the same in every tenant and role."""
    return f"user:{user.pk}"


def refusal_text(problem: HoldRefused) -> str:
    if isinstance(problem, SamePerson):
        return _("The person who took the previous step cannot take this one.")
    if isinstance(problem, AlreadyApproved):
        return _("Somebody has approved it already.")
    assert isinstance(problem, Ended)
    return _("This hold is over. Place a new one.")


def _back(request: TenantRequest) -> HttpResponse:
    return redirect("console:legal_holds", tenant=request.tenant.name)


def _page(request: TenantRequest, form: HoldForm) -> HttpResponse:
    open_ones = _rows(request).filter(released_at=None, expires_at__gt=timezone.now())
    waiting = _lines(request, open_ones.order_by("-requested_at")[:MOST_HOLDING])
    table = HOLDS.shown(request, _with_names(_rows(request)))
    context = {
        "form": form,
        "holding": [line for line in waiting if not line.ended],
        "table": table,
        "lines": _lines(request, table.rows),
        "me": person(request.user),
    }
    return render(request, "console/holds/page.html", context)


# Names -------------------------------------------------------------------------------------------
_STEPS = ("requested_by", "approved_by", "release_asked_by", "released_by")


def _rows(request: TenantRequest) -> QuerySet[LegalHold]:
    return LegalHold.objects.filter(tenant_id=request.tenant.id)


def _with_names(rows: QuerySet[LegalHold]) -> QuerySet[Any]:
    """Annotates `whose`, the address of a member, and the name of the tenant."""
    member = Member.objects.filter(
        subject_id=OuterRef("subject_id"), tenant=OuterRef("tenant_id")
    ).values("user__email")[:1]
    tenant = Tenant.objects.filter(pk=OuterRef("tenant_id")).values("name")[:1]
    return rows.annotate(whose=Subquery(member), tenant_name=Subquery(tenant))


def _lines(request: ConsoleRequest, rows: Iterable[LegalHold]) -> list[HoldRow]:
    """Returns the holds with people by their email addresses."""
    holds = list(rows)
    members = request.tenant.members if request.tenant else Member.objects
    subjects = members.filter(subject_id__in={hold.subject_id for hold in holds})
    whose: dict[UUID | None, str] = {None: _("Everybody of the tenant")}
    whose |= subjects.values_list("subject_id", "user__email")
    owners = Tenant.objects.filter(pk__in={hold.tenant_id for hold in holds})
    tenants = dict(owners.values_list("pk", "name"))
    names = _names(request, {getattr(hold, step) for hold in holds for step in _STEPS})
    return [
        HoldRow(
            hold,
            tenants.get(hold.tenant_id, ""),
            whose.get(hold.subject_id, str(hold.subject_id)),
            *(names[getattr(hold, step)] for step in _STEPS),
        )
        for hold in holds
    ]


def _names(request: ConsoleRequest, persons: set[str]) -> dict[str, str]:
    """Returns email addresses; to a tenant, others are just the platform's operators."""
    ids = {text: text.partition(":")[2] for text in persons}
    users = User.objects.filter(pk__in=[pk for pk in ids.values() if pk.isdigit()])
    stranger = _("unknown person")
    if request.tenant and not request.user.is_operator:
        users = users.filter(memberships__tenant=request.tenant)
        stranger = _("Platform operator")
    emails = {str(pk): email for pk, email in users.values_list("pk", "email")}
    return {text: emails.get(pk, stranger) if pk.isdigit() else text for text, pk in ids.items()}
