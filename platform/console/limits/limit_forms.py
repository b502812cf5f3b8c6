"""Forms with limits: of tenants and tiers, and the fields that those of keys have as well."""

from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.forms import ConsoleForm, KnowingForm, LimitField
from tenants.models import Tenant, TierPolicy
from tenants.models.tier import LIMITS, Tier

LABELS: dict[str, Promise] = {
    "requests_per_minute": _("Requests per minute"),
    "burst": _("Burst"),
    "tokens_per_minute": _("Tokens per minute"),
    "max_concurrency": _("Requests at once"),
    "megabytes_in_flight": _("Megabytes in flight"),
    "megabytes_per_day": _("Megabytes stored per day"),
}


class LimitFields(ConsoleForm):
    requests_per_minute = LimitField(label=LABELS["requests_per_minute"])
    burst = LimitField(label=LABELS["burst"])
    tokens_per_minute = LimitField(label=LABELS["tokens_per_minute"])
    max_concurrency = LimitField(label=LABELS["max_concurrency"])
    megabytes_in_flight = LimitField(label=LABELS["megabytes_in_flight"])
    megabytes_per_day = LimitField(label=LABELS["megabytes_per_day"])


class LimitsForm(LimitFields, KnowingForm):
    tier = forms.ChoiceField(label=_("Tier"), choices=Tier.choices)
    field_order = ("tier",)
    help_texts = {
        "burst": _("How many requests may arrive at once after a quiet period."),
        "tokens_per_minute": _("Prompt and answer together."),
        "megabytes_in_flight": _("Total size of the requests that have not been answered yet."),
        "megabytes_per_day": _("Total size of the requests and answers that are stored."),
    }

    def __init__(self, data: Any, tenant: Tenant) -> None:
        super().__init__(data, initial={"tier": tenant.tier, **own_limits(tenant)})
        for name in LIMITS:
            self.fields[name].widget.attrs["placeholder"] = getattr(tenant.policy, name)
            self.fields[name].help_text = self.help_texts.get(name, "")


def own_limits(tenant: Tenant) -> dict[str, int | None]:
    return {name: getattr(tenant, name) for name in LIMITS}


class TierForm(LimitFields, KnowingForm):
    weight = forms.IntegerField(
        label=_("Weight"),
        min_value=1,
        max_value=100,
        help_text=_("Share of the GPUs relative to other tenants."),
    )
    field_order = ("weight",)

    def __init__(self, data: Any, policy: TierPolicy) -> None:
        present = {name: getattr(policy, name) for name in ("weight", *LIMITS)}
        super().__init__(data, initial=present, auto_id=f"id_{policy.tier}_%s")
        for name in LIMITS:
            self.fields[name].required = True
