"""Page of a tenant's settings for owners; suspending and closing the tenant for operators."""

from collections.abc import Callable
from functools import partial
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.account.reauthentication import recently_proven
from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm, KnowingForm, LinesField, ReasonField
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from tenants.models.tenant import CHAT_RULES, Closed, Sharing, TemporaryChats, Tenant
from tenants.roles import Permission, Profile

# Retention has a page of its own, with a preview.
FIELDS = ("profile", "local_only", "time_zone", "allowed_origins", *CHAT_RULES)
OLD_NAMES = ("Etc/", "SystemV/", "US/")
TIME_ZONES = sorted(
    name for name in available_timezones() if "/" in name and not name.startswith(OLD_NAMES)
)


class SettingsForm(KnowingForm):
    profile = forms.ChoiceField(
        label=_("Security profile"),
        choices=Profile.choices,
        help_text=_("Rules for passwords, and separation of duties."),
    )
    local_only = forms.BooleanField(
        label=_("Local only"),
        required=False,
        help_text=_("No prompt ever leaves this installation."),
    )
    time_zone = forms.CharField(
        label=_("Time zone"),
        max_length=60,
        widget=forms.TextInput(attrs={"list": "time-zones", "autocomplete": "off"}),
        help_text=_("Days and months of quotas start at midnight in this time zone."),
    )

    allowed_origins = LinesField(
        label=_("Browser origins"),
        help_text=_(
            "Web pages that may use this tenant's keys from a browser, one origin per line, "
            "such as https://app.example.com. Leave empty for none. Every visitor of a page "
            "can read the key in it."
        ),
    )

    chat_sharing = forms.ChoiceField(
        label=_("Sharing of chats"),
        choices=Sharing.choices,
        help_text=_("For whom members may share copies of their conversations."),
    )
    temporary_chats = forms.ChoiceField(
        label=_("Temporary chats"),
        choices=TemporaryChats.choices,
        help_text=_(
            "A temporary chat is deleted when its person leaves it. The record of requests keeps "
            "its texts as long as those of others."
        ),
    )

    def __init__(self, data: Any, tenant: Tenant) -> None:
        super().__init__(data, initial={name: getattr(tenant, name) for name in FIELDS})


class SuspensionForm(ConsoleForm):
    reason = ReasonField()


class ClosureForm(ConsoleForm):
    """Asks for the tenant's name, so that nobody closes one by mistake."""

    reason = ReasonField()
    name = forms.CharField(label=_("Type the tenant's name"))

    def __init__(self, data: Any, tenant: Tenant) -> None:
        super().__init__(data, auto_id="id_closure_%s")
        self.fields["name"].widget.attrs |= {"autocomplete": "off", "placeholder": tenant.name}
        self.tenant = tenant

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name != self.tenant.name:
            raise ValidationError(_("This is not the tenant's name."))
        return name


@permitted(Permission.VIEW_MEMBERS)
@recently_proven
def tenant_settings(request: TenantRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request)
    if Permission.MANAGE_SECURITY not in request.permissions:
        raise PermissionDenied(_("Only owners can change these settings."))
    form = SettingsForm(request.POST, request.tenant)
    if not saved(form, lambda: request.tenant.change(by=request.actor, **form.cleaned_data)):
        return _page(request, form=form)
    messages.success(request, _("The settings are saved."))
    return redirect("console:tenant_settings", tenant=request.tenant.name)


@require_POST
@permitted(Permission.VIEW_LIMITS)
@recently_proven
def suspension(request: TenantRequest) -> HttpResponse:
    _refuse_unless_operator(request)
    form = SuspensionForm(request.POST)
    if not form.is_valid():
        return _page(request, suspending=form)
    act = partial(request.tenant.suspend, **form.cleaned_data)
    return _report(request, act, _("The tenant is suspended. No data is lost."))


@require_POST
@permitted(Permission.VIEW_LIMITS)
@recently_proven
def resumption(request: TenantRequest) -> HttpResponse:
    _refuse_unless_operator(request)
    return _report(request, request.tenant.resume, _("The tenant is active again."))


@require_POST
@permitted(Permission.VIEW_LIMITS)
@recently_proven
def closure(request: TenantRequest) -> HttpResponse:
    _refuse_unless_operator(request)
    form = ClosureForm(request.POST, request.tenant)
    if not form.is_valid():
        return _page(request, closing=form)
    act = partial(request.tenant.close, reason=form.cleaned_data["reason"])
    text = _("The tenant is closing. Its data is deleted when its retention ends.")
    return _report(request, act, text)


def _refuse_unless_operator(request: TenantRequest) -> None:
    if not request.user.is_operator:
        raise PermissionDenied(_("Only platform operators can suspend or close a tenant."))


def _report(request: TenantRequest, act: Callable[..., object], text: Promise) -> HttpResponse:
    refusals = {Closed: _("This tenant is closing; that cannot be undone.")}
    return report_and_leave(request, act, text, "console:tenant_settings", refusals)


def _page(request: TenantRequest, **shown: Any) -> HttpResponse:
    context = {
        "form": SettingsForm(None, request.tenant),
        "suspending": SuspensionForm(),
        "closing": ClosureForm(None, request.tenant),
        "time_zones": TIME_ZONES,
        **shown,
    }
    return render(request, "console/settings.html", context)
