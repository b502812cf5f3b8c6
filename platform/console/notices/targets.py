"""Pages of the targets of notices: those of a tenant, and those of the platform's operators."""

from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache

from console.authorization import ConsoleRequest, operators_only, permitted
from console.notices.forms import EditionForm, NewTargetForm, RotationForm
from console.post_only import require_POST
from console.reported_acts import act_and_report, report_and_leave, saved
from console.tables import Column, Table
from console.trail.actors import Actors
from tenants.models import Notice, NoticeTarget, TargetKind
from tenants.notices.trial import EVERY_S, TooManyTests, send_test
from tenants.roles import Permission

RECENT = 10
TARGETS = Table(
    "notice-targets",
    {
        "name": Column(gettext_lazy("Target"), "name", "name"),
        "kind": Column(gettext_lazy("Kind"), lambda target: target.get_kind_display(), "kind"),
        "host": Column(gettext_lazy("Host"), "host", "host"),
        "enabled": Column(gettext_lazy("On"), "enabled", file_only=True),
        "changed": Column(gettext_lazy("Changed"), "changed_at", "changed_at"),
    },
    order="name",
    search=("name", "host"),
)


def _list(request: ConsoleRequest) -> HttpResponse:
    rows = NoticeTarget.objects.of(request.tenant)
    return TARGETS.page(request, rows, "console/notices/targets.html", mail=settings.MAIL)


def _addition(request: ConsoleRequest) -> HttpResponse:
    form = NewTargetForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        fields = dict(form.cleaned_data)
        url, secret = fields.pop("url"), fields.pop("secret")
        target = NoticeTarget(tenant=request.tenant, **fields)
        if made := saved(form, lambda: [target.create(url, secret, by=request.actor)]):
            return _page(request, target, secret=made[0], text=_("The target has been created."))
    return render(request, "console/notices/addition.html", {"form": form})


def _target(request: ConsoleRequest, target: UUID) -> HttpResponse:
    row = _row(request, target)
    if request.method != "POST":
        return _page(request, row)
    form = EditionForm.of(row, request.POST)
    if form.is_valid() and saved(form, partial(row.change, by=request.actor, **form.cleaned_data)):
        return _leave(request, "notice_target", target=row.pk)
    return _page(request, row, form=form)


def _rotation(request: ConsoleRequest, target: UUID) -> HttpResponse:
    row, form = _row(request, target), RotationForm(request.POST)
    if secret := saved(form, lambda: row.rotate(form.overlap, by=request.actor)):
        return _page(request, row, secret=secret, text=_("The secret has been replaced."))
    return _page(request, row, rotation=form)


def _trial(request: ConsoleRequest, target: UUID) -> HttpResponse:
    row = _row(request, target)
    text = _("A test is on its way. Its delivery appears below in some seconds.")
    too_many = _("A test has just been sent. Send the next one in %(seconds)d s.")
    refusals = {TooManyTests: too_many % {"seconds": EVERY_S}}
    act_and_report(request, partial(send_test, row), text, refusals)
    return _leave(request, "notice_target", target=row.pk)


def _removal(request: ConsoleRequest, target: UUID) -> HttpResponse:
    row = _row(request, target)
    text = _("The target %(name)s has been removed.") % {"name": row.name}
    return report_and_leave(request, row.remove, text, _name(request, "notices"))


def _row(request: ConsoleRequest, target: UUID) -> NoticeTarget:
    return get_object_or_404(NoticeTarget.objects.of(request.tenant), pk=target)


def _page(request: ConsoleRequest, row: NoticeTarget, **shown: Any) -> HttpResponse:
    context = {
        "target": row,
        "by": Actors.among([row.created_by], request.tenant).name(row.created_by),
        "form": EditionForm.of(row),
        "rotation": RotationForm() if row.kind == TargetKind.WEBHOOK else None,
        "recent": Notice.objects.filter(target=row).order_by("-created_at")[:RECENT],
        **shown,
    }
    return render(request, "console/notices/target.html", context)


def _name(request: ConsoleRequest, page: str) -> str:
    return f"console:{page}" if request.tenant else f"console:platform_{page}"


def _leave(request: ConsoleRequest, page: str, **place: Any) -> HttpResponse:
    if request.tenant:
        place["tenant"] = request.tenant.name
    answer: HttpResponse = redirect(_name(request, page), **place)
    return answer


_in_tenant = permitted(Permission.MANAGE_NOTICES)
targets, platform_targets = _in_tenant(_list), operators_only(_list)
addition = never_cache(_in_tenant(_addition))
platform_addition = never_cache(operators_only(_addition))
target, platform_target = _in_tenant(_target), operators_only(_target)
rotation = never_cache(require_POST(_in_tenant(_rotation)))
platform_rotation = never_cache(require_POST(operators_only(_rotation)))
trial = require_POST(_in_tenant(_trial))
platform_trial = require_POST(operators_only(_trial))
removal = require_POST(_in_tenant(_removal))
platform_removal = require_POST(operators_only(_removal))
