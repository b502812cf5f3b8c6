"""Forms of quotas and raises. Cost is typed in whole units of the currency, not in millionths."""

from typing import Any
from uuid import UUID

from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms import ConsoleForm, MomentField, ReasonField
from console.quota_amounts import AmountField, CountedForm, to_count
from inference.engines import served_to
from tenants.models import Tenant
from tenants.models.quotas.quota import Unit, Window


class QuotaForm(CountedForm):
    unit = forms.ChoiceField(label=_("Counts"), choices=Unit.choices)
    window = forms.ChoiceField(label=_("Per"), choices=Window.choices)
    limit = AmountField(
        label=_("At most"),
        help_text=_("Cost is in the currency of the price list. 0 blocks every request."),
    )

    def __init__(self, data: Any, tenant: Tenant) -> None:
        super().__init__(data)
        keys = tenant.api_keys.in_place().order_by("name")
        members = tenant.members.select_related("user").order_by("user__email")
        choices = [
            ("", _("The whole tenant")),
            (_("Models"), [(f"model:{name}", name) for name in served_to(tenant.pk)]),
            (_("API keys"), [(f"api_key:{key.pk}", str(key)) for key in keys]),
            (_("Members"), [(f"member:{each.pk}", each.user.email) for each in members]),
            (
                _("Teams"),
                [(f"team:{each.pk}", each.name) for each in tenant.teams.order_by("name")],
            ),
        ]
        scope = forms.ChoiceField(label=_("For"), required=False, choices=choices)
        self.fields["scope"] = scope
        self.order_fields(("scope",))

    def quota_scope(self, tenant: Tenant) -> dict[str, Any]:
        """Returns the scope for Quota.set. The choices hold rows of the tenant only."""
        kind, _colon, name = self.cleaned_data["scope"].partition(":")
        if kind == "model":
            return {"model": name}
        if kind == "api_key":
            return {"api_key": tenant.api_keys.get(pk=UUID(name))}
        if kind == "team":
            return {"team": tenant.teams.get(pk=UUID(name))}
        return {"member": tenant.members.get(pk=UUID(name))} if kind else {}


class _OneUnitForm(ConsoleForm):
    """Amounts of an existing quota, in its unit."""

    def __init__(self, data: Any, unit: str, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.unit = unit

    def _count(self, name: str) -> int:
        return to_count(self.cleaned_data[name], self.unit)


class LimitForm(_OneUnitForm):
    limit = AmountField(label=_("At most"))

    def clean_limit(self) -> int:
        return self._count("limit")


class RaiseForm(_OneUnitForm):
    amount = AmountField(label=_("How much more"))
    expires_at = MomentField(
        label=_("Until"),
        required=True,
        help_text=_("At most 31 days from now."),
    )
    reason = ReasonField()

    def clean_amount(self) -> int:
        return self._count("amount")
