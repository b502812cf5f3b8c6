"""Filters of the figures of customer service, and of the dialogues behind a figure."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from console.inbox.words import REASONS
from console.usage.usage_filter import CUSTOM, DaysFilter, range_field
from inference.dialogues.measures.cohort import CallOutcome, Cohort, Narrowing, Outcome
from inference.dialogues.measures.report import By, ServiceReport
from inference.dialogues.measures.span import Span
from inference.models import Channel
from inference.models.assistants.dialogue import LONGEST_INTENT
from inference.models.prompt_template import LONGEST_NAME
from inference.usage.time_range import today
from tenants.models import Tenant

DAY, WEEK = "day", "week"
RANGES: dict[str, tuple[Promise, int]] = {
    "7d": (_("Last 7 days"), 7),
    "30d": (_("Last 30 days"), 30),
    "90d": (_("Last 90 days"), 90),
}
LANGUAGES = [("en", _("English")), ("zh", _("Chinese"))]


def _choice(label: Any, every: Promise, choices: Any) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, required=False, choices=[("", every), *choices])


def _number(label: Any, most: int) -> forms.IntegerField:
    """Returns a field that comes from the link of a figure."""
    hidden = forms.HiddenInput
    return forms.IntegerField(
        label=label, required=False, min_value=1, max_value=most, widget=hidden
    )


class CohortFilter(DaysFilter):
    """Narrows dialogues by when they began and by what they have in common."""

    field_order = ("range", "first", "last")
    range = range_field((name, label) for name, (label, _days) in RANGES.items())
    assistant = forms.ChoiceField(label=_("Assistant"), required=False)
    version = _number(_("Version"), 10**6)
    channel = _choice(_("Channel"), _("Every channel"), Channel.choices)
    language = _choice(_("Language"), _("Every language"), LANGUAGES)
    intent = forms.CharField(
        label=_("Intent"), required=False, max_length=LONGEST_INTENT, widget=forms.HiddenInput
    )

    def __init__(self, data: Mapping[str, Any], tenant: Tenant) -> None:
        self._tenant, self.zone = tenant, tenant.time_zone
        super().__init__({"range": "30d", **{name: value for name, value in data.items() if value}})
        field = self.fields["assistant"]
        assert isinstance(field, forms.ChoiceField)
        names = tenant.assistants.order_by("name").values_list("pk", "name")
        field.choices = [("", _("Every assistant")), *((str(pk), name) for pk, name in names)]

    @property
    def cohort(self) -> Cohort:
        fields = self.cleaned_data
        return Cohort(
            tenant_id=self._tenant.pk,
            span=self._span,
            assistant=fields["assistant"] or None,
            version=fields["version"],
            channel=fields["channel"],
            language=fields["language"],
            intent=fields["intent"],
        )

    @property
    def _span(self) -> Span:
        fields, zone = self.cleaned_data, self._tenant.time_zone
        weekly = fields.get("step") == WEEK
        if fields["range"] == CUSTOM:
            return Span(fields["first"] or fields["last"], fields["last"], zone, weekly)
        _label, days = RANGES[fields["range"]]
        last = today(zone)
        return Span(last - timedelta(days=days - 1), last, zone, weekly)


class ServiceFilter(CohortFilter):
    step = forms.ChoiceField(
        label=_("Points"), required=False, choices=[(DAY, _("Days")), (WEEK, _("Weeks"))]
    )
    by = forms.ChoiceField(label=_("Group by"), required=False, choices=By.choices)

    @property
    def report(self) -> ServiceReport:
        return ServiceReport(self.cohort)

    @property
    def grouping(self) -> By:
        return By(self.cleaned_data["by"] or By.INTENT)


class DialogueFilter(CohortFilter):
    """The dialogues of a figure. Hidden fields come from its link."""

    outcome = _choice(_("Outcome"), _("Every outcome"), Outcome.choices)
    reason = _choice(_("Reason of a hand-over"), _("Every reason"), REASONS.items())
    call = _choice(
        pgettext_lazy("of assistants", "Actions"), _("With and without"), CallOutcome.choices
    )
    action = forms.CharField(
        label=_("Action"), required=False, max_length=LONGEST_NAME, widget=forms.HiddenInput
    )
    satisfaction = _number(_("Satisfaction"), 5)
    turns = _number(_("Turns, at least"), 10**6)
    answer_ms = _number(_("Milliseconds to an answer, at least"), 10**9)
    resolve_s = _number(_("Seconds to resolve, at least"), 10**8)

    @property
    def narrowing(self) -> Narrowing:
        names = ("outcome", "reason", "call", "action")
        numbers = ("satisfaction", "turns", "answer_ms", "resolve_s")
        fields = self.cleaned_data
        return Narrowing(**{name: fields[name] for name in (*names, *numbers)})
