"""Budgets of a team: quotas of tokens, cost or requests per day or month, and what is left."""

from django import forms
from django.utils.translation import gettext_lazy as _

from console.authorization import TenantRequest
from console.quota_amounts import AmountField, CountedForm
from console.quota_lines import QuotaLine, lines
from tenants.models import Quota, Team
from tenants.models.quotas.quota import Unit, Window
from tenants.roles import Permission

_UNITS = (Unit.TOKENS, Unit.COST, Unit.REQUESTS)
_WINDOWS = (Window.MONTH, Window.DAY)


class BudgetForm(CountedForm):
    limit = AmountField(
        label=_("At most"), help_text=_("Cost is in the currency of the price list.")
    )
    unit = forms.ChoiceField(
        label=_("Counts"), choices=[(unit.value, unit.label) for unit in _UNITS]
    )
    window = forms.ChoiceField(
        label=_("Per"), choices=[(window.value, window.label) for window in _WINDOWS]
    )

    def set(self, team: Team, *, by: str, platform: bool) -> Quota:
        """Set the budget, or change the one of this unit and window.

        Raises ValidationError, SetByPlatform.
        """
        return Quota.set(team.tenant, team=team, by=by, platform=platform, **self.cleaned_data)


def budgets(request: TenantRequest, team: Team) -> list[QuotaLine] | None:
    """Returns the team's budgets with their present use, None for who may not see them."""
    if Permission.VIEW_LIMITS not in request.permissions:
        return None
    return lines(request.tenant, request.tenant.quotas.filter(team=team))
