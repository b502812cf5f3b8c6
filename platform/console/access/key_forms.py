"""Forms of API keys. Nobody gives a key more permissions than they have."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from console.api.access.keys import scopes_to_give
from console.authorization import TenantRequest
from console.forms import (
    ConsoleForm,
    KnowingForm,
    LimitField,
    LinesField,
    LongForm,
    MomentField,
)
from console.limits.limit_forms import LABELS, LimitFields
from inference.engines import served_to
from tenants.model_access import reaches_beyond
from tenants.models import ApiKey, Scope, Team
from tenants.models.tier import LIMITS
from tenants.roles import Permission


def may_handle(request: TenantRequest, key: ApiKey) -> bool:
    """Returns whether this person could have made the key.

    Otherwise the text of a rotated key would give them more than they may.
    """
    return not reaches_too_far(request, key) and set(key.scopes) <= _scopes(request)


def reaches_too_far(request: TenantRequest, key: ApiKey) -> bool:
    """Returns whether the key has a team or a model that this person has no access to."""
    return not _manages_teams(request) and reaches_beyond(key, request.member)


def _manages_teams(request: TenantRequest) -> bool:
    return Permission.MANAGE_TEAMS in request.permissions


def _scopes(request: TenantRequest) -> frozenset[str]:
    return scopes_to_give(request.permissions, request.tenant.profile)


class KeyForm(LongForm, LimitFields):
    name = forms.CharField(
        label=_("Name"),
        max_length=80,
        help_text=_("What the key is for, such as a program or a person."),
    )
    scopes = forms.MultipleChoiceField(
        label=_("What it may do"),
        initial=[Scope.INFERENCE],
        widget=forms.CheckboxSelectMultiple,
    )
    allowed_models = forms.MultipleChoiceField(
        label=_("Models"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Select none to allow every model that is open to the key."),
    )
    allowed_networks = LinesField(
        label=_("Allowed addresses"),
        help_text=_("One per line, such as 192.0.2.0/24. Leave empty to allow any address."),
    )
    local_only = forms.BooleanField(
        label=_("Local only"),
        required=False,
        help_text=_("Nothing that this key asks leaves this installation."),
    )
    requests_per_minute = LimitField(
        label=LABELS["requests_per_minute"],
        help_text=_("Leave empty to apply only the tenant's limits."),
    )
    more = ("scopes", "allowed_models", "allowed_networks", "local_only", *LIMITS)

    def __init__(self, request: TenantRequest, data: Any, key: ApiKey | None = None) -> None:
        present = {name: getattr(key, name) for name in ("name", "team", *self.more)} if key else {}
        super().__init__(data, initial=present)
        if request.tenant.local_only:
            self.fields["local_only"].help_text = _(
                "The tenant is local only, and so are its keys."
            )
        self._offer("scopes", _scopes(request), [*Scope.choices])
        names = sorted({*served_to(request.tenant.pk), *(key.allowed_models if key else ())})
        self._offer("allowed_models", names, [(name, name) for name in names])
        teams: QuerySet[Team] = request.tenant.teams.order_by("name")
        if not _manages_teams(request):
            teams = teams.filter(memberships__member=request.member)
        self.fields["team"] = forms.ModelChoiceField(
            teams,
            label=_("Team"),
            required=False,
            empty_label=_("No team"),
            help_text=_("The key may use the restricted models of its team."),
        )
        self.order_fields(self.field_order)

    def _offer(self, name: str, allowed: Collection[str], choices: list[tuple[str, Any]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [choice for choice in choices if choice[0] in allowed]

    def settings(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in ("name", "team", *self.more)}


class NewKeyForm(KeyForm):
    days = forms.TypedChoiceField(
        label=_("Expires"),
        coerce=int,
        choices=[
            (90, _("after 90 days")),
            (30, _("after 30 days")),
            (365, _("after a year")),
            (0, _("never")),
        ],
    )
    field_order = ("name", "days", "team")


class ChangedKeyForm(KeyForm, KnowingForm):
    expires_at = MomentField(label=_("Expires"), help_text=_("Leave empty for no expiry."))
    field_order = ("name", "expires_at", "team")

    def __init__(self, request: TenantRequest, data: Any, key: ApiKey) -> None:
        super().__init__(request, data, key)
        if key.expires_at:  # what the browser's picker can hold
            self.initial["expires_at"] = key.expires_at.replace(second=0, microsecond=0)

    def settings(self) -> dict[str, Any]:
        """Returns the fields that were changed here."""
        fields = self.cleaned_data
        return {name: fields[name] for name in self.changed_data if name in fields}


class RotationForm(ConsoleForm):
    hours = forms.TypedChoiceField(
        label=_("The old key works for"),
        coerce=int,
        choices=[
            (24, _("another day")),
            (0, _("Revoke immediately")),
            (1, _("another hour")),
            (7 * 24, _("another week")),
            (30 * 24, _("another 30 days")),
        ],
    )

    @property
    def overlap(self) -> timedelta:
        return timedelta(hours=self.cleaned_data["hours"])


class ScheduleForm(RotationForm):
    """The moments at which a key rotates by itself."""

    rotate_at = MomentField(label=_("First on"), help_text=_("Leave empty to end the schedule."))
    days = forms.TypedChoiceField(
        label=_("Again"),
        coerce=int,
        required=False,
        empty_value=None,
        choices=[
            ("", _("never")),
            (30, _("every 30 days")),
            (90, _("every 90 days")),
            (180, _("every 180 days")),
            (365, _("every year")),
        ],
    )
    field_order = ("rotate_at", "days", "hours")

    @classmethod
    def of(cls, key: ApiKey, data: Any = None) -> "ScheduleForm":
        hours = key.rotation_overlap_s // 3600
        at = key.rotate_at and key.rotate_at.replace(second=0, microsecond=0)
        return cls(
            data,
            auto_id="schedule_%s",
            initial={"rotate_at": at, "days": key.rotate_days, "hours": hours},
        )

    def save(self, key: ApiKey, *, by: str) -> None:
        """Raises ValidationError."""
        fields = self.cleaned_data
        key.schedule(
            by=by, rotate_at=fields["rotate_at"], days=fields["days"] or None, overlap=self.overlap
        )
