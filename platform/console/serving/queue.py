"""Page of a pool's queue: the waiting requests by tenant, lowering and cancelling them."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render, resolve_url
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy
from redis import RedisError

from console.authorization import ConsoleRequest, operators_only
from console.post_only import require_POST
from console.serving.queue_lines import (
    About,
    Done,
    below,
    cancel_requests,
    lower_requests,
    queue_of,
)
from inference.models import Pool
from inference.queue_control.tenant_queue import own_lines
from tenants.models import Tenant

_LOWERED = ngettext_lazy(
    "%(n)d request goes to the class %(to)s.", "%(n)d requests go to the class %(to)s.", "n"
)
_CANCELLED = ngettext_lazy("%(n)d request is cancelled.", "%(n)d requests are cancelled.", "n")


class AboutForm(forms.Form):
    request = forms.UUIDField(required=False)
    tenant = forms.SlugField(required=False)
    klass = forms.SlugField(required=False)

    def about(self) -> About:
        """Raises Http404."""
        if not self.is_valid():
            raise Http404
        fields = self.cleaned_data
        if fields["request"]:
            return About(request=fields["request"])
        tenant = get_object_or_404(Tenant, name=fields["tenant"])
        return About(tenant=tenant, klass=fields["klass"])


@operators_only
def queue(request: ConsoleRequest, pool: UUID) -> HttpResponse:
    return render(request, "console/serving/queue.html", _context(request, _pool_row(pool)))


@operators_only
def live(request: ConsoleRequest, pool: UUID) -> HttpResponse:
    return render(request, "console/serving/_queue.html", _context(request, _pool_row(pool)))


def _context(request: ConsoleRequest, pool: Pool) -> dict[str, Any]:
    klass, tenant = request.GET.get("klass", ""), request.GET.get("tenant", "")
    shown: dict[str, Any] = {"pool": pool, "klass": klass, "tenant_shown": tenant}
    shown["query"] = urlencode({"klass": klass, "tenant": tenant}) if tenant else ""
    try:
        return {**shown, "queue": queue_of(pool.name), "own": _line(pool, klass, tenant)}
    except RedisError:
        return shown


def _line(pool: Pool, klass: str, tenant: str) -> dict[str, Any] | None:
    """The requests of one tenant in a class, where they were asked for."""
    row = Tenant.objects.filter(name=tenant).first() if tenant else None
    if row is None:
        return None
    lines = own_lines(str(row.pk), [pool.name])
    line = next((each for each in lines if each.klass == klass), None)
    return {"line": line, "lower": below(klass)}


@require_POST
@operators_only
def lowering(request: ConsoleRequest, pool: UUID) -> HttpResponse:
    row, to = _pool_row(pool), request.POST.get("to", "")
    act = partial(lower_requests, row, AboutForm(request.POST).about(), to)
    return _act(request, row, act, _LOWERED, to=to)


@require_POST
@operators_only
def cancellation(request: ConsoleRequest, pool: UUID) -> HttpResponse:
    row = _pool_row(pool)
    act = partial(cancel_requests, row, AboutForm(request.POST).about())
    return _act(request, row, act, _CANCELLED)


def _act(
    request: ConsoleRequest,
    pool: Pool,
    act: Callable[..., Done | None],
    sentence: Any,
    **names: str,
) -> HttpResponse:
    """Act, and say how many requests it was. `names` are those of the sentence."""
    try:
        done = act(by=request.actor)
    except ValidationError as problem:
        messages.error(request, " ".join(problem.messages))
    except RedisError:
        messages.error(request, _("Redis is unavailable. Try again in a moment."))
    else:
        _report(request, done, sentence, names)
    return redirect(f"{resolve_url('console:queue', pool=pool.pk)}{_open_line(request)}")


def _report(
    request: ConsoleRequest, done: Done | None, sentence: Any, names: dict[str, str]
) -> None:
    if done is None or not done.requests:
        messages.warning(request, _("Nothing was done: what was meant does not wait any more."))
        return
    rest = _("%(n)d more wait there: repeat it for them.") % {"n": done.left} if done.left else ""
    messages.success(request, f"{sentence % {'n': done.requests, **names}} {rest}".strip())


def _open_line(request: ConsoleRequest) -> str:
    """Returns the query of the line that was open."""
    shown = {name: request.POST.get(f"shown_{name}", "") for name in ("klass", "tenant")}
    return f"?{urlencode(shown)}" if shown["tenant"] else ""


def _pool_row(pool: UUID) -> Pool:
    row: Pool = get_object_or_404(Pool.objects.select_related("model"), pk=pool)
    return row
