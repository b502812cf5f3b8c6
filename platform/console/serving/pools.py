"""Pages of pools for operators: occupancy, and the acts on pools."""

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render, resolve_url
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, operators_only
from console.post_only import require_POST
from console.reported_acts import act_and_report, report_and_leave, saved
from console.serving.forms import NewEngineForm, NewPoolForm, PolicyForm
from console.serving.pool_lines import engine_line, jobs_waiting, pool_lines
from inference.models import Pool
from inference.pool_policy import LIMITS, LendingRules
from inference.queue.limits import kept_free

STEPS = {"up": -1, "down": 1}
# The limits of a queue in words: each that has been set, even to 0.
_WORDS: dict[str, Any] = {
    "waiting": ngettext_lazy("%(n)s request waiting", "%(n)s requests waiting", "count"),
    "wait_s": gettext_lazy("%(n)s s of wait"),
    "share": gettext_lazy("share %(n)s"),
    "share_after_s": gettext_lazy("share after %(n)s s without a turn"),
    "ageing_s": gettext_lazy("one class higher each %(n)s s without a turn"),
    "reserved": ngettext_lazy("%(n)s slot kept free", "%(n)s slots kept free", "count"),
    "headroom": ngettext_lazy(
        "%(n)s slot kept free while it comes", "%(n)s slots kept free while it comes", "count"
    ),
    "lower_slots": ngettext_lazy(
        "%(n)s slot for lower classes while it comes",
        "%(n)s slots for lower classes while it comes",
        "count",
    ),
    "reserved_vip": ngettext_lazy(
        "%(n)s slot for VIPs alone", "%(n)s slots for VIPs alone", "count"
    ),
}


@operators_only
def pools(request: ConsoleRequest) -> HttpResponse:
    return page(request)


@operators_only
def live(request: ConsoleRequest) -> HttpResponse:
    return render(request, "console/serving/_pools.html", {"lines": pool_lines()})


@require_POST
@operators_only
@recently_proven
def addition(request: ConsoleRequest) -> HttpResponse:
    form = NewPoolForm(request.POST)
    if saved(form, lambda: Pool.add(**form.cleaned_data, by=request.actor)):
        text = _("The pool %(name)s is there. It serves its model once it has an engine.")
        messages.success(request, text % form.cleaned_data)
        return redirect("console:pools")
    return page(request, new_pool=form)


@require_POST
@operators_only
@recently_proven
def removal(request: ConsoleRequest, pool: UUID) -> HttpResponse:
    row = _pool_row(pool)
    text = _("The pool %(name)s is removed.") % {"name": row.name}
    return report_and_leave(request, row.remove, text, "console:pools")


@require_POST
@operators_only
def moving(request: ConsoleRequest, pool: UUID) -> HttpResponse:
    """Move a pool one position `to` up or down in the order of its model, or `behind` another."""
    row, to = _pool_row(pool), request.POST.get("to", "")
    text = _("The pools of %(model)s are tried in this order from now on.")
    act = partial(_move, row, to, request.POST.get("behind"))
    act_and_report(request, act, text % {"model": row.model.name})
    return redirect(f"{resolve_url('console:served_models')}#{to or 'up'}-{row.pk}")


def _move(pool: Pool, to: str, behind: str | None, *, by: str) -> None:
    """Raises Http404, FromFile, ValidationError."""
    if behind is not None:
        pool.place(_behind(behind), by=by)
    elif to in STEPS:
        pool.move(STEPS[to], by=by)
    else:
        raise Http404


def _behind(text: str) -> Pool | None:
    """Returns the pool to move behind, None for the first position.

    A pool that no longer exists is returned by its id: it is in no order.
    """
    if not text:
        return None
    try:
        return Pool(pk=UUID(text))
    except ValueError:
        raise Http404 from None


@operators_only
@recently_proven
def pool(request: ConsoleRequest, pool: UUID) -> HttpResponse:
    """Show and change when a pool takes requests, and how many may wait for it."""
    row = _pool_row(pool)
    form = PolicyForm.of(row, request.POST if request.method == "POST" else None)
    if saved(form, lambda: _change(pool, form, request)):
        text = _("The pool %(name)s is changed. The change is in force within a second.")
        messages.success(request, text % {"name": row.name})
        return redirect("console:pool", pool=pool)
    row = _pool_row(pool)
    limits = _limit_words(row.limits)
    context = {"pool": row, "form": form, "kept_free": kept_free(row.name), "limits": limits}
    lent = row.engines.filter(lent_since__isnull=False).select_related("pool")
    lending, engines = LendingRules.of(row.lending), row.engines.filter(staged=False).count()
    context |= {"lending": lending, "loans": [engine_line(each) for each in lent]}
    context["lends_none"] = bool(lending and engines <= lending.stays_loaded)
    context["jobs_waiting"] = jobs_waiting(row)
    return render(request, "console/serving/pool.html", context)


def page(
    request: ConsoleRequest,
    *,
    new_pool: NewPoolForm | None = None,
    new_engine: NewEngineForm | None = None,
) -> HttpResponse:
    """Render the page, with an invalid form if there is one."""
    context = {
        "lines": pool_lines(),
        "new_pool": new_pool or NewPoolForm(),
        "new_engine": new_engine or NewEngineForm(),
    }
    return render(request, "console/serving/pools.html", context)


def _change(pool: UUID, form: PolicyForm, request: ConsoleRequest) -> None:
    rows = Pool.objects.select_for_update(of=("self",), no_key=True)
    form.change(get_object_or_404(rows.select_related("model"), pk=pool), by=request.actor)


def _pool_row(pool: UUID) -> Pool:
    row: Pool = get_object_or_404(Pool.objects.select_related("model"), pk=pool)
    return row


def _limit_words(limits: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Returns the words of each class."""
    return [(name, _words(limit)) for name, limit in limits.items()]


def _words(limit: Mapping[str, Any]) -> list[str]:
    names = (name for name in LIMITS if name in limit)
    return [str(_WORDS[name] % {"count": limit[name], "n": f"{limit[name]:,}"}) for name in names]
