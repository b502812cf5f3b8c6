"""The form that starts a job of a kind, and the estimate beside it."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from console.authorization import TenantRequest, permitted
from console.jobs import words
from console.jobs.forms import JobForm
from console.jobs.owner import of_member
from console.quota_lines import QuotaLine, lines
from console.reported_acts import saved
from inference.jobs import bases, creating, orders
from inference.jobs.planning.estimating import Estimate
from inference.jobs.planning.estimating import estimate as estimate_of
from inference.jobs.planning.plans import Plan
from inference.jobs.refusals import JobRefused
from inference.models import Job, JobKind
from tenants.models import Tenant
from tenants.models.quotas.quota import Unit
from tenants.roles import Permission


@permitted(Permission.MANAGE_KEYS)
def addition(request: TenantRequest) -> HttpResponse:
    """Show the form of `?kind=`; `?base=` and `?data_set_version=` are chosen already."""
    form = _form(request, request.POST or None)
    if job := saved(form, lambda: _created(request, form)):
        return redirect("console:job", tenant=request.tenant.name, job=job.pk)
    kinds = [(kind, kind.label, words.KINDS[kind], kind == form.kind) for kind in JobKind]
    context = {"form": form, "kinds": kinds, "about": words.KINDS[form.kind]}
    return render(request, "console/jobs/addition.html", {**context, **_limits(request.tenant)})


@permitted(Permission.MANAGE_KEYS)
def estimate(request: TenantRequest) -> HttpResponse:
    """Show what the job of these fields is likely to take."""
    form = _form(request, request.GET)
    context: dict[str, Any] = {}
    if plan := form.plan():
        price = _price(request, plan, form.cleaned_data["pool"])
        context = {"estimate": estimate_of(plan, request.tenant.pk), "plan": plan}
        context |= {"gpu_hour": price and round(price * 3600)}
        context |= {"cost": _cost(context["estimate"], price)}
    return render(request, "console/jobs/_estimate.html", context)


def _form(request: TenantRequest, data: QueryDict | None) -> JobForm:
    kind = request.GET.get("kind", "")
    kind = kind if kind in JobKind.values else str(JobKind.FINE_TUNE)
    chosen = {name: request.GET.get(name) for name in ("base", "data_set_version")}
    may_use = of_member(request.member, request.actor).can_use if request.member else _none
    task_sets = Permission.VIEW_EVALUATIONS in request.permissions
    own = request.tenant.pk
    return JobForm(data, kind, own, may_use, shows_task_sets=task_sets, initial=chosen)


def _none(_model: str) -> bool:
    return False


def _created(request: TenantRequest, form: JobForm) -> Job:
    """Raises ValidationError."""
    if request.member is None:  # an operator who is no member would own it
        raise ValidationError(_("Only members of the tenant can do this."))
    try:
        return creating.create(of_member(request.member, request.actor), form.wanted)
    except JobRefused as refusal:
        raise ValidationError(_in_words(refusal)) from None


def _in_words(refusal: JobRefused) -> str:
    texts = {
        "model_not_found": _("The model is gone. Reload the page."),
        "no_pool": _("No pool of this installation takes jobs: the operators add one."),
        "too_many_jobs": _("%(most)d jobs of this tenant are under way, which is the most.")
        % {"most": settings.JOBS_UNDER_WAY},
        "insufficient_quota": _("A quota has no room for GPU time."),
    }
    return texts.get(refusal.code, refusal.message)


def _limits(tenant: Tenant) -> dict[str, Any]:
    return {
        "under_way": Job.objects.filter(tenant=tenant).under_way().count(),
        "most": settings.JOBS_UNDER_WAY,
        "quotas": gpu_quotas(tenant),
    }


def gpu_quotas(tenant: Tenant) -> list[QuotaLine]:
    return lines(tenant, tenant.quotas.filter(unit=Unit.GPU_SECONDS))


def _cost(expected: Estimate, price: float | None) -> int | None:
    """Returns micro-units of the currency; None where it is not known, or nothing."""
    return round(price * expected.gpu_ms / 1000) if price and expected.gpu_ms else None


def _price(request: TenantRequest, plan: Plan, pool: str) -> float | None:
    """Returns micro-units for a GPU-second, now and in the pool that it would use."""
    if request.member is None:
        return None
    may_use = of_member(request.member, request.actor).can_use
    try:
        place = bases.place(str(plan.base or ""), may_use, pool)
    except JobRefused:
        return None
    return orders.gpu_price(Job(kind=plan.kind, model=place.model, pool=place.pool))
