"""The filter of the request log, which the pages, the files and the links to them share."""

from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from console.forms import ConsoleForm, MomentField
from inference.models import State
from inference.usage.report import Dimension, Name, names
from inference.usage.request_log import SHORTEST_ID, RequestFilters, id_range
from tenants.models import Tenant

D = Dimension
CHIPS = {  # filters that links set; the page shows each with a way to drop it
    "key": (D.KEY, _("API key")),
    "member": (D.MEMBER, _("Member")),
    "team": (D.TEAM, _("Team")),
}
MOST_CHOICES = 500  # keys or members offered; a link may name any


class RequestFilterForm(ConsoleForm):
    state = forms.ChoiceField(
        label=_("State"), required=False, choices=[("", _("Every state")), *State.choices]
    )
    model = forms.CharField(
        label=_("Model"),
        required=False,
        max_length=201,
        widget=forms.TextInput(attrs={"list": "models", "placeholder": _("Every model")}),
    )
    code = forms.CharField(
        label=_("Status or error code"),
        required=False,
        max_length=60,
        widget=forms.TextInput(attrs={"placeholder": "502, engine_failed …"}),
    )
    key = forms.ChoiceField(label=_("API key"), required=False)
    member = forms.ChoiceField(label=_("Member"), required=False)
    since = MomentField(label=_("From"))
    until = MomentField(label=_("To"))
    id = forms.CharField(
        label=_("Request id or its beginning"),
        required=False,
        max_length=60,
        widget=forms.TextInput(attrs={"placeholder": "xxxxxxxx-xxxx-…", "spellcheck": "false"}),
    )
    team = forms.UUIDField(required=False, widget=forms.HiddenInput)
    session = forms.UUIDField(required=False, widget=forms.HiddenInput)
    pool = forms.CharField(required=False, max_length=120, widget=forms.HiddenInput)

    def __init__(self, data: Any, tenant: Tenant | None, *, own: bool = False) -> None:
        """`own`: of a member's own requests, which have no other caller."""
        super().__init__(data)
        self.of = tenant
        if own:
            del self.fields["key"], self.fields["member"]
        elif tenant is None:
            for name in ("key", "member"):
                self.fields[name] = forms.UUIDField(required=False, widget=forms.HiddenInput)
        else:
            self._offer("key", _("Every key"), tenant.api_keys.order_by("name"))
            people = tenant.members.select_related("user").order_by("user__email")
            self._offer("member", _("Every member"), people)

    def _offer(self, name: str, every: Any, rows: Any) -> None:
        """Offer rows of the tenant, and one that is gone if a link names it."""
        choices = [(str(row.pk), str(getattr(row, "user", row))) for row in rows[:MOST_CHOICES]]
        named = str(self.data.get(name, ""))
        if named and named not in dict(choices) and _is_uuid(named):
            dimension, _label = CHIPS[name]
            choices.append((named, names(dimension, [UUID(named)], self.of)[UUID(named)].text))
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", every), *choices]

    def clean_id(self) -> str:
        text: str = self.cleaned_data["id"]
        if text and id_range(text) is None:
            message = _("Enter an id, or at least its first %(n)d digits.")
            raise ValidationError(message % {"n": SHORTEST_ID})
        return text

    @property
    def filters(self) -> RequestFilters:
        fields = {name: value for name, value in self.cleaned_data.items() if value}
        for name in fields.keys() & {"key", "member"}:
            fields[name] = UUID(str(fields[name]))
        return RequestFilters(**fields)

    @property
    def hidden(self) -> list[tuple[str, str, Name]]:
        """Returns the filters that no field shows: their name, label and value."""
        rows: list[tuple[str, str, Name]] = []
        for name, (dimension, label) in CHIPS.items():
            field, value = self.fields.get(name), self.cleaned_data.get(name)
            if value and isinstance(field, forms.UUIDField):
                rows.append((name, str(label), names(dimension, [value], self.of)[value]))
        if session := self.cleaned_data.get("session"):
            rows.append(("session", str(_("Session")), Name(str(session))))
        if pool := self.cleaned_data.get("pool"):
            rows.append(("pool", str(_("Pool")), Name(pool)))
        return rows


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
