"""What one may ask the audit trail, and how people write it."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from audit.search.events import Filters
from audit.trail.network import network
from console.forms import ConsoleForm, MomentField
from console.trail.actors import actors_named
from console.trail.audit_words import WORDS
from tenants.models import Tenant

ACTS, FAILED = "acts", "failed"


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
        found = network(text) if text else ""
        if found is None:
            raise ValidationError(_("This is not an IP address."))
        return found

    def filters(self, tenant: Tenant | None) -> Filters:
        given = self.cleaned_data
        action = given["action"]
        asked = Filters(
            since=given["since"],
            until=given["until"],
            request_id=given["request"],
            net=given["net"],
            action="" if action == ACTS else action,
            acts=action == ACTS,
            model=given["model"].strip(),
            route=given["route"].strip(),
            status=given["status"],
            failed=given["failed"],
        )
        return replace(asked, **_who(given["who"].strip(), tenant))


def _who(text: str, tenant: Tenant | None) -> dict[str, Any]:
    """A pseudonym stands by itself; everybody else is an actor."""
    if not text:
        return {}
    try:
        return {"subject_id": UUID(text)}
    except ValueError:
        return {"actors": tuple(actors_named(text, tenant))}
