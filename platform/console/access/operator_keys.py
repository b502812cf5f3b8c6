"""Pages of operators' keys, with which programs operate the platform; new ones are shown once."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache

from console.account.reauthentication import recently_proven_by_factor
from console.authorization import ConsoleRequest, operators_only
from console.forms import ConsoleForm, LimitField, LinesField
from console.post_only import require_POST
from tenants.accounts import operator_keys as keys_of_operators
from tenants.accounts import second_factor
from tenants.models import OperatorKey
from tenants.models.operator_key import REQUESTS_PER_MINUTE
from tenants.operator_scopes import OperatorScope

SHOWN_REVOKED = 20


class OperatorKeyForm(ConsoleForm):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=80,
        help_text=gettext_lazy(
            "What the key is for, such as a pipeline. Tenants whose limits it changes see it on "
            "their record."
        ),
    )
    days = forms.TypedChoiceField(
        label=gettext_lazy("Expires"),
        coerce=int,
        choices=[
            (90, gettext_lazy("after 90 days")),
            (30, gettext_lazy("after 30 days")),
            (365, gettext_lazy("after a year")),
        ],
    )
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("What it may do"),
        choices=OperatorScope.choices,
        widget=forms.CheckboxSelectMultiple,
    )
    allowed_networks = LinesField(
        label=gettext_lazy("Allowed addresses"),
        help_text=gettext_lazy(
            "One per line, such as 192.0.2.0/24. Leave empty to allow any address."
        ),
    )
    requests_per_minute = LimitField(
        label=gettext_lazy("Requests per minute"), initial=REQUESTS_PER_MINUTE, required=True
    )

    def settings(self) -> dict[str, Any]:
        fields = dict(self.cleaned_data)
        ends = timezone.now() + timedelta(days=fields.pop("days"))
        return fields | {"expires_at": ends}


@never_cache
@operators_only
@recently_proven_by_factor
def operator_keys(request: ConsoleRequest) -> HttpResponse:
    form = OperatorKeyForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return _page(request, form)
    try:
        key, text = keys_of_operators.make(request.user, **form.settings())
    except ValidationError as problem:
        form.refuse(problem)
        return _page(request, form)
    return _page(request, OperatorKeyForm(), new_key=key, text=text)


@require_POST
@operators_only
def revocation(request: ConsoleRequest, operator_key: UUID) -> HttpResponse:
    """Revoke a key. Needs no proof of identity: a leaked key must be stopped at once."""
    key = get_object_or_404(OperatorKey, pk=operator_key)
    key.revoke(by=request.actor)
    messages.success(request, _("The key %(name)s is revoked.") % {"name": key.name})
    return redirect("console:operator_keys")


def _page(request: ConsoleRequest, form: OperatorKeyForm, **shown: Any) -> HttpResponse:
    keys = OperatorKey.objects.select_related("created_by").order_by("-created_at")
    context = {
        "form": form,
        "live": keys.filter(revoked_at=None),
        "revoked": keys.exclude(revoked_at=None)[:SHOWN_REVOKED],
        "has_factor": second_factor.enrolled(request.user),
        **shown,
    }
    return render(request, "console/operator_keys.html", context)
