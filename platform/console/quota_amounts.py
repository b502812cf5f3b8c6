"""Amounts of quotas as people read and write them: cost in units of the currency."""

from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from console.forms import ConsoleForm
from tenants.models.quotas.quota import MOST, Unit

MICRO = 1_000_000


def to_count(amount: Decimal, unit: str) -> int:
    """Returns the amount as a quota counts it. Raises ValidationError for half a request."""
    exact = amount * MICRO if unit == Unit.COST else amount
    if exact != exact.to_integral_value():
        raise ValidationError(
            _("At most six decimal places.") if unit == Unit.COST else _("A whole number.")
        )
    if exact > MOST:
        raise ValidationError(_("This is too much."))
    return int(exact)


def from_count(amount: int, unit: str) -> Decimal:
    """Returns a quota's amount as people read it."""
    return Decimal(amount) / MICRO if unit == Unit.COST else Decimal(amount)


class AmountField(forms.DecimalField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"min_value": 0, "max_digits": 22, "decimal_places": 6, **kwargs})
        self.widget.attrs["step"] = "any"


class CountedForm(ConsoleForm):
    """Its field `limit` is an amount, and counts in the unit of its field `unit`."""

    def clean(self) -> dict[str, Any]:
        fields = self.cleaned_data
        if fields.get("limit") is not None and fields.get("unit"):
            try:
                fields["limit"] = to_count(fields["limit"], fields["unit"])
            except ValidationError as problem:
                self.add_error("limit", problem)
        return fields
