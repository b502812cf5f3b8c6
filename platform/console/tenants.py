"""The tenants of the platform, for operators: list and open."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from console.door import ConsoleRequest, operators_only
from console.forms import ConsoleForm
from tenants.models import Link, Tenant
from tenants.models.link import Purpose
from tenants.models.tenant import Tier
from tenants.roles import Role


class NewTenantForm(ConsoleForm):
    name = forms.SlugField(
        label=_("Name"),
        max_length=60,
        help_text=_("Small letters, digits and dashes. It cannot be changed later."),
    )
    tier = forms.ChoiceField(label=_("Tier"), choices=Tier.choices)
    owner = forms.EmailField(
        label=_("Owner's email address"),
        required=False,
        help_text=_("Gets a link to join. You can also invite people later."),
    )


@never_cache
@operators_only
def tenants(request: ConsoleRequest) -> HttpResponse:
    form = NewTenantForm(request.POST or None)
    context: dict[str, Any] = {"form": form}
    if form.is_bound and form.is_valid():
        context |= _opened(request, form)
    search = request.GET.get("q", "").strip()
    pages = Paginator(_listed(search), 50)
    context |= {"search": search, "page": pages.get_page(request.GET.get("page"))}
    return render(request, "console/tenants/page.html", context)


def _opened(request: ConsoleRequest, form: NewTenantForm) -> dict[str, Any]:
    name, tier, owner = (form.cleaned_data[field] for field in ("name", "tier", "owner"))
    try:
        with transaction.atomic():
            tenant = Tenant.open(name, by=request.actor, tier=tier)
            link = owner and Link.issue(
                Purpose.INVITATION, by=request.actor, email=owner, tenant=tenant, role=Role.OWNER
            )
    except ValidationError as problem:
        form.add_error(None, problem.messages)
        return {}
    except IntegrityError:  # somebody else took it in the same moment
        form.add_error("name", _("This name is taken."))
        return {}
    return {"opened": tenant, "link": link, "invited": owner, "form": NewTenantForm()}


def _listed(search: str) -> QuerySet[Tenant]:
    people = Count("members", distinct=True)
    keys = Count("api_keys", distinct=True, filter=Q(api_keys__revoked_at=None))
    found = Tenant.objects.filter(name__icontains=search)
    return found.annotate(people=people, keys=keys).order_by("name")
