"""The tenants of the platform, for operators: list and open."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.core.paginator import Page, Paginator
from django.db import IntegrityError, transaction
from django.db.models import Count, F, Q, QuerySet, Sum
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, operators_only
from console.forms import ConsoleForm, LimitField
from console.limits.tenant_limits import LABELS
from console.tenants.tenant_settings import TIME_ZONES
from inference.models import UsageDay
from tenants.models import Link, Tenant
from tenants.models.link import Purpose
from tenants.models.tenant import NAME, RETENTION_FLOOR_DAYS, State
from tenants.models.tier import LIMITS, Tier
from tenants.roles import Profile, Role

ADVANCED = ("profile", "time_zone", "retention_days", "local_only", *LIMITS)


class NewTenantForm(ConsoleForm):
    name = forms.RegexField(
        NAME.regex,
        label=_("Name"),
        max_length=60,
        help_text=_("Lowercase letters, digits and dashes. It cannot be changed later."),
        error_messages={"invalid": NAME.message},
    )
    tier = forms.ChoiceField(label=_("Tier"), choices=Tier.choices)
    owner = forms.EmailField(
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
    burst = LimitField(label=LABELS["burst"])
    tokens_per_minute = LimitField(label=LABELS["tokens_per_minute"])
    max_concurrency = LimitField(label=LABELS["max_concurrency"])
    megabytes_in_flight = LimitField(label=LABELS["megabytes_in_flight"])
    megabytes_per_day = LimitField(label=LABELS["megabytes_per_day"])

    @property
    def simple(self) -> list[forms.BoundField]:
        return [field for field in self.visible_fields() if field.name not in ADVANCED]

    @property
    def advanced(self) -> list[forms.BoundField]:
        return [self[name] for name in ADVANCED]

    @property
    def open_advanced(self) -> bool:
        return any(name in self.errors for name in ADVANCED)

    def settings(self) -> dict[str, Any]:
        """Returns the fields that were filled in; others get a tenant's defaults."""
        fields = {name: self.cleaned_data[name] for name in ("tier", *ADVANCED)}
        return {name: value for name, value in fields.items() if value not in (None, "")}


@never_cache
@operators_only
@recently_proven
def tenants(request: ConsoleRequest) -> HttpResponse:
    form = NewTenantForm(request.POST or None)
    context: dict[str, Any] = {"form": form}
    if form.is_bound and form.is_valid():
        context |= _open(request, form)
    search, state = request.GET.get("q", "").strip(), request.GET.get("state", "")
    page = Paginator(_matching(search, state), 50).get_page(request.GET.get("page"))
    context |= {
        "search": search,
        "state": state,
        "states": State.choices,
        "page": page,
        "used": _used_today(page),
        "time_zones": TIME_ZONES,
    }
    return render(request, "console/tenants/page.html", context)


def _open(request: ConsoleRequest, form: NewTenantForm) -> dict[str, Any]:
    name, owner = form.cleaned_data["name"], form.cleaned_data["owner"]
    try:
        with transaction.atomic():
            tenant = Tenant.open(name, by=request.actor, **form.settings())
            link = owner and Link.issue(
                Purpose.INVITATION, by=request.actor, email=owner, tenant=tenant, role=Role.OWNER
            )
    except ValidationError as problem:
        form.refuse(problem)
        return {}
    except IntegrityError:  # somebody else took it in the same moment
        form.add_error("name", _("This name is taken."))
        return {}
    return {"opened": tenant, "link": link, "invited": owner, "form": NewTenantForm()}


def _matching(search: str, state: str) -> QuerySet[Tenant]:
    people = Count("members", distinct=True)
    keys = Count("api_keys", distinct=True, filter=Q(api_keys__revoked_at=None))
    rows = Tenant.objects.filter(name__icontains=search)
    if state in State.values:
        rows = rows.filter(state=state)
    return rows.annotate(people=people, keys=keys).order_by("name")


def _used_today(page: Page[Tenant]) -> dict[UUID, dict[str, int]]:
    """Returns requests and tokens since midnight (UTC) of the tenants that have used some."""
    today = datetime.combine(timezone.now().date(), datetime.min.time(), UTC)
    rows = UsageDay.objects.filter(starts=today, tenant__in=[each.pk for each in page])
    tokens = Sum(F("prompt_tokens") + F("completion_tokens"))
    summed = rows.values("tenant").annotate(asked=Sum("requests"), tokens=tokens).order_by()
    return {row["tenant"]: {"requests": row["asked"], "tokens": row["tokens"]} for row in summed}
