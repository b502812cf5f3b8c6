"""The tenants of the platform, for operators: list and open."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Count, F, Q, QuerySet, Sum
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, operators_only
from console.forms import AddressField, LimitField, LongForm
from console.limits.limit_forms import LABELS, LimitFields
from console.reported_acts import saved
from console.tables import Column, Table
from console.tenants.tenant_settings import TIME_ZONES
from inference.models import UsageDay
from tenants.models import Link, Tenant
from tenants.models.link import Purpose
from tenants.models.tenant import NAME, RETENTION_FLOOR_DAYS, State
from tenants.models.tier import LIMITS, Tier
from tenants.notices.links import mail_link
from tenants.roles import Profile, Role


class NewTenantForm(LongForm, LimitFields):
    name = forms.RegexField(
        NAME.regex,
        label=_("Name"),
        max_length=60,
        help_text=_("Lowercase letters, digits and dashes. It cannot be changed later."),
        error_messages={"invalid": NAME.message},
    )
    tier = forms.ChoiceField(label=_("Tier"), choices=Tier.choices)
    owner = AddressField(
        label=_("Owner's email address"),
        required=False,
        help_text=_("The owner gets an invitation link. You can also invite people later."),
    )
    profile = forms.ChoiceField(
        label=_("Security profile"), choices=Profile.choices, required=False
    )
    time_zone = forms.CharField(
        label=_("Time zone"),
        required=False,
        max_length=60,
        widget=forms.TextInput(
            attrs={"list": "time-zones", "autocomplete": "off", "placeholder": "UTC"}
        ),
    )
    retention_days = forms.IntegerField(
        label=_("Retention in days"),
        required=False,
        min_value=RETENTION_FLOOR_DAYS,
        max_value=36500,
        widget=forms.NumberInput(attrs={"placeholder": 200}),
    )
    local_only = forms.BooleanField(
        label=_("Local only"),
        required=False,
        help_text=_("No prompt ever leaves this installation."),
    )
    requests_per_minute = LimitField(
        label=LABELS["requests_per_minute"], help_text=_("Empty: the tier's figure.")
    )
    more = ("profile", "time_zone", "retention_days", "local_only", *LIMITS)

    def settings(self) -> dict[str, Any]:
        """Returns the fields that were filled in; others get a tenant's defaults."""
        fields = {name: self.cleaned_data[name] for name in ("tier", *self.more)}
        return {name: value for name, value in fields.items() if value not in (None, "")}


TENANTS = Table(
    "tenants",
    {
        "name": Column(_("Name"), "name", "name"),
        "state": Column(_("State"), lambda row: row.get_state_display(), "state"),
        "members": Column(_("Members"), "member_count", "member_count", numbers=True),
        "keys": Column(_("API keys"), "keys", "keys", numbers=True),
        "requests": Column(
            _("Requests/min"), lambda row: row.effective["requests_per_minute"], numbers=True
        ),
        "today": Column(_("Today"), numbers=True),
    },
    order="name",
    search=("name",),
)


@never_cache
@operators_only
@recently_proven
def tenants(request: ConsoleRequest) -> HttpResponse:
    form = NewTenantForm(request.POST or None)
    context: dict[str, Any] = {"form": form}
    if opened := saved(form, lambda: _open(request, form)):
        tenant, link = opened
        context = {"opened": tenant, "link": link, "invited": form.cleaned_data["owner"]}
        context["form"] = NewTenantForm()
    state = request.GET.get("state", "")
    rows = _in_state(state)
    if file := TENANTS.file(request, rows):
        return file
    table = TENANTS.shown(request, rows)
    context |= {
        "state": state,
        "states": State.choices,
        "table": table,
        "used": _used_today(table.rows),
        "time_zones": TIME_ZONES,
    }
    return render(request, "console/tenants/page.html", context)


def _open(request: ConsoleRequest, form: NewTenantForm) -> tuple[Tenant, str]:
    """Returns the tenant, and the link for its owner if there is one."""
    owner = form.cleaned_data["owner"]
    tenant = Tenant.open(form.cleaned_data["name"], by=request.actor, **form.settings())
    link = owner and Link.issue(
        Purpose.INVITATION, by=request.actor, email=owner, tenant=tenant, role=Role.OWNER
    )
    if link:
        mail_link(link)
    return tenant, link


def _in_state(state: str) -> QuerySet[Tenant]:
    members = Count("members", distinct=True)
    keys = Count("api_keys", distinct=True, filter=Q(api_keys__revoked_at=None))
    rows = Tenant.objects.filter(state=state) if state in State.values else Tenant.objects.all()
    return rows.annotate(member_count=members, keys=keys)


def _used_today(page: list[Tenant]) -> dict[UUID, dict[str, int]]:
    """Returns requests and tokens since midnight (UTC) of the tenants that have used some."""
    today = datetime.combine(timezone.now().date(), datetime.min.time(), UTC)
    rows = UsageDay.objects.filter(starts=today, tenant__in=[each.pk for each in page])
    tokens = Sum(F("prompt_tokens") + F("completion_tokens"))
    summed = rows.values("tenant").annotate(asked=Sum("requests"), tokens=tokens).order_by()
    return {row["tenant"]: {"requests": row["asked"], "tokens": row["tokens"]} for row in summed}
