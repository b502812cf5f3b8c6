"""Pages of operators' keys, with which programs operate the platform; new ones are shown once."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from console.account.reauthentication import recently_proven_by_factor
from console.authorization import ConsoleRequest, operators_only
from console.forms import ConsoleForm, LimitField, LinesField
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.tables import Column, Table
from tenants.accounts import operator_keys as keys_of_operators
from tenants.accounts import second_factor_policy
from tenants.models import OperatorKey
from tenants.models.operator_key import REQUESTS_PER_MINUTE
from tenants.operator_scopes import OperatorScope

SHOWN_REVOKED = 20


class OperatorKeyForm(ConsoleForm):
    name = forms.CharField(
        label=_("Name"),
        max_length=80,
        help_text=_(
            "What the key is for, such as a pipeline. Tenants whose limits it changes see it on "
            "their record."
        ),
    )
    days = forms.TypedChoiceField(
        label=_("Expires"),
        coerce=int,
        choices=[
            (90, _("after 90 days")),
            (30, _("after 30 days")),
            (365, _("after a year")),
        ],
    )
    scopes = forms.MultipleChoiceField(
        label=_("What it may do"),
        choices=OperatorScope.choices,
        widget=forms.CheckboxSelectMultiple,
    )
    allowed_networks = LinesField(
        label=_("Allowed addresses"),
        help_text=_("One per line, such as 192.0.2.0/24. Leave empty to allow any address."),
    )
    requests_per_minute = LimitField(
        label=_("Requests per minute"), initial=REQUESTS_PER_MINUTE, required=True
    )

    def settings(self) -> dict[str, Any]:
        fields = dict(self.cleaned_data)
        ends = timezone.now() + timedelta(days=fields.pop("days"))
        return fields | {"expires_at": ends}


KEYS = Table(
    "operator-keys",
    {
        "name": Column(_("Name"), "name", "name"),
        "scopes": Column(_("Scopes"), lambda row: ", ".join(row.scopes)),
        "created": Column(_("Created"), "created_at", "created_at"),
        "last_used": Column(_("Last used"), "last_used_at", "last_used_at"),
        "expires": Column(_("Expires"), "expires_at", "expires_at"),
    },
    order="-created",
    search=("name", "public_id", "created_by__email"),
)


@never_cache
@operators_only
@recently_proven_by_factor
def operator_keys(request: ConsoleRequest) -> HttpResponse:
    form = OperatorKeyForm(request.POST or None)
    made = saved(form, lambda: keys_of_operators.make(request.user, **form.settings()))
    if not made:
        return _page(request, form)
    key, text = made
    return _page(request, OperatorKeyForm(), new_key=key, text=text)


@require_POST
@operators_only
def revocation(request: ConsoleRequest, operator_key: UUID) -> HttpResponse:
    """Revoke a key. Needs no proof of identity: a leaked key must be stopped at once."""
    key = get_object_or_404(OperatorKey, pk=operator_key)
    text = _("The key %(name)s is revoked.") % {"name": key.name}
    return report_and_leave(request, key.revoke, text, "console:operator_keys")


def _page(request: ConsoleRequest, form: OperatorKeyForm, **shown: Any) -> HttpResponse:
    keys = OperatorKey.objects.select_related("created_by").order_by("-created_at")
    context = {
        "form": form,
        "revoked": keys.exclude(revoked_at=None)[:SHOWN_REVOKED],
        "has_factor": second_factor_policy.enrolled(request.user),
        **shown,
    }
    live = keys.filter(revoked_at=None)
    return KEYS.page(request, live, "console/operator_keys.html", **context)
