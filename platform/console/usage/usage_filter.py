"""The filter of a usage page: a time range, a grouping, and conditions."""

from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.forms import ConsoleForm
from inference.usage.report import SORTS, Dimension, Id, UsageReport
from inference.usage.time_range import MOST_DAYS, TimeRange, today
from tenants.models import Tenant

D = Dimension
CUSTOM, WEEK = "custom", "7d"
RANGES: dict[str, tuple[Promise, Callable[[str], TimeRange]]] = {  # by name, of a time zone
    "24h": (_("Last 24 hours"), lambda zone: TimeRange.last_hours(24, zone)),
    WEEK: (_("Last 7 days"), lambda zone: TimeRange.last_days(7, zone)),
    "30d": (_("Last 30 days"), lambda zone: TimeRange.last_days(30, zone)),
    "month": (_("This month"), TimeRange.this_month),
}
GROUPS = {
    D.MODEL: _("Model"),
    D.ADAPTER: _("Adapter"),
    D.KEY: _("API key"),
    D.MEMBER: _("Member"),
    D.TEAM: _("Team"),
    D.TENANT: _("Tenant"),
}


class DayField(forms.DateField):
    """A browser's own date picker, for years of this century."""

    default_validators = [MinValueValidator(date(2000, 1, 1)), MaxValueValidator(date(2099, 1, 1))]

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
        super().__init__(required=False, widget=widget, input_formats=["%Y-%m-%d"], **kwargs)


class DaysFilter(ConsoleForm):
    """A range by its name, or from a first day to a last one in the time zone `zone`."""

    zone: str
    first = DayField(label=_("From"))
    last = DayField(label=_("To"))

    def clean_last(self) -> date | None:
        first, last = self.cleaned_data.get("first"), self.cleaned_data.get("last")
        if self.cleaned_data.get("range") != CUSTOM:
            return last
        last = last or today(self.zone)
        if first and first > last:
            raise ValidationError(_("This day is before the first one."))
        if first and (last - first).days >= MOST_DAYS:
            raise ValidationError(_("Choose at most 366 days."))
        return last


def range_field(labels: Iterable[tuple[str, Promise]]) -> forms.ChoiceField:
    choices = [*labels, (CUSTOM, _("From … to …"))]
    return forms.ChoiceField(label=_("Time"), required=False, choices=choices)


class UsageFilter(DaysFilter):
    field_order = ("range", "first", "last")
    range = range_field((name, label) for name, (label, _span) in RANGES.items())
    by = forms.ChoiceField(label=_("Group by"), required=False)
    sort = forms.ChoiceField(
        required=False, choices=[(name, name) for name in SORTS], widget=forms.HiddenInput
    )
    tenant = forms.UUIDField(required=False, widget=forms.HiddenInput)
    team = forms.UUIDField(required=False, widget=forms.HiddenInput)
    member = forms.UUIDField(required=False, widget=forms.HiddenInput)
    key = forms.UUIDField(required=False, widget=forms.HiddenInput)
    model = forms.CharField(required=False, max_length=120, widget=forms.HiddenInput)
    adapter = forms.CharField(required=False, max_length=201, widget=forms.HiddenInput)

    def __init__(self, data: Any, tenant: Tenant | None) -> None:
        self.of = tenant
        self.zone = tenant.time_zone if tenant else "UTC"
        # Adapters are a tenant's: two tenants' may have one name.
        self.groups = [d for d in GROUPS if d != (D.TENANT if tenant else D.ADAPTER)]
        preset = {"range": WEEK, "by": D.MODEL if tenant else D.TENANT, "sort": "requests"}
        super().__init__({**preset, **{name: value for name, value in data.items() if value}})
        by = self.fields["by"]
        assert isinstance(by, forms.ChoiceField)
        by.choices = [(str(d), GROUPS[d]) for d in self.groups]

    @property
    def grouping(self) -> Dimension:
        return D(self.cleaned_data["by"])

    @property
    def where(self) -> dict[Dimension, Id]:
        ids = {d: self.cleaned_data.get(str(d)) for d in self.groups}
        return {dimension: id_ for dimension, id_ in ids.items() if id_}

    @property
    def report(self) -> UsageReport:
        return UsageReport(self.of, self._span, self.where)

    @property
    def _span(self) -> TimeRange:
        fields = self.cleaned_data
        if fields["range"] == CUSTOM:
            return TimeRange.days(fields["first"] or fields["last"], fields["last"], self.zone)
        _label, span = RANGES[fields["range"]]
        return span(self.zone)
