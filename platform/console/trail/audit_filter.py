"""The filter of the audit trail, as people write it."""

from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from audit.search.events import Filters
from audit.trail.truncated_address import network
from console.forms import ConsoleForm, MomentField
from console.trail.actors import actors_named
from console.trail.audit_words import WORDS
from tenants.models import Tenant

ACTS = "acts"


class AuditFilter(ConsoleForm):
    who = forms.CharField(
        label=_("Who"),
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"placeholder": _("Email address, key name or pseudonym")}),
    )
    action = forms.ChoiceField(
        label=_("What"),
        required=False,
        choices=[
            ("", _("Everything")),
            (ACTS, _("Actions, without requests")),
            *[(str(action), word) for action, word in WORDS.items()],
        ],
    )
    since = MomentField(label=_("From"))
    until = MomentField(label=_("To"))
    model = forms.CharField(label=_("Model"), required=False, max_length=120)
    status = forms.IntegerField(label=_("Status"), required=False, min_value=0, max_value=999)
    net = forms.CharField(
        label=_("Network"),
        required=False,
        max_length=45,
        widget=forms.TextInput(attrs={"placeholder": "192.0.2.7"}),
    )
    request = forms.UUIDField(
        label=_("Request id"),
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "xxxxxxxx-xxxx-…"}),
    )
    route = forms.CharField(label=_("Route"), required=False, max_length=80)
    failed = forms.BooleanField(label=_("Failed only"), required=False)

    def clean_net(self) -> str:
        text = self.cleaned_data["net"].strip().partition("/")[0]
        net = network(text) if text else ""
        if net is None:
            raise ValidationError(_("This is not an IP address."))
        return net

    def filters(self, tenant: Tenant | None) -> Filters:
        fields = self.cleaned_data
        same = ("since", "until", "net", "model", "status", "route", "failed")
        acts = fields["action"] == ACTS
        return Filters(
            **{name: fields[name] for name in same},
            **_actor_filter(fields["who"], tenant),
            request_id=fields["request"],
            action="" if acts else fields["action"],
            acts=acts,
        )


def _actor_filter(text: str, tenant: Tenant | None) -> dict[str, Any]:
    """Returns the filter for a pseudonym, or for the actors of any other text."""
    if not text:
        return {}
    try:
        return {"subject_id": UUID(text)}
    except ValueError:
        return {"actors": tuple(actors_named(text, tenant))}
