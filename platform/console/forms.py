"""The look of the console's forms, and fields that several of them share."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import BoundField
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise, lazy
from django.utils.text import format_lazy
from django.utils.timezone import get_current_timezone_name, localtime
from django.utils.translation import gettext_lazy as _

from inference.models.prompt_template import LONGEST_NAME, is_name

_time_zone = lazy(get_current_timezone_name, str)
CHANGED_MEANWHILE = _("Somebody has changed it meanwhile. Open the page again.")
MOST = 2**31 - 1  # the largest limit: PostgreSQL's integer
LONGEST_EMAIL = 254
# Beyond them some time zone has no such moment, which pages of its readers could not show.
EARLIEST, LATEST = datetime(1000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
BOXES = (forms.CheckboxInput, forms.CheckboxSelectMultiple, forms.RadioSelect)


class StyledField(BoundField):
    """A field in the style of the design kit, red when it is invalid."""

    def build_widget_attrs(
        self, attrs: dict[str, Any], widget: forms.Widget | None = None
    ) -> dict[str, Any]:
        attrs = super().build_widget_attrs(attrs, widget)
        kind = "form-select" if isinstance(self.field.widget, forms.Select) else "form-control"
        if isinstance(self.field.widget, BOXES):
            kind = "form-check-input"
        names = (
            kind,
            self.field.widget.attrs.get("class", ""),
            "is-invalid" if self.errors else "",
        )
        attrs["class"] = " ".join(filter(None, names))
        return attrs


class ConsoleForm(forms.Form):
    """Rendered field by field with templates/console/_field.html."""

    bound_field_class = StyledField

    @property
    def is_set(self) -> bool:
        """Returns whether a field has a value, as a filter that hides rows."""
        return any(self.data.get(name) for name in self.fields)

    def refuse(self, problem: ValidationError) -> None:
        """Add a model's errors, beside their fields where the form has them."""
        if not hasattr(problem, "error_dict"):
            self.add_error(None, problem)
            return
        for name, errors in problem.error_dict.items():
            self.add_error(name if name in self.fields else None, errors)


class KnowingForm(ConsoleForm):
    """Refuses to write over what somebody else has changed since the page was opened.

    It sends all of its fields, so it would undo their change unseen. `known` is a fingerprint of
    the values that the page showed. A program that posts the form may leave it out.
    """

    known = forms.CharField(widget=forms.HiddenInput, required=False)

    def get_initial_for_field(self, field: forms.Field, field_name: str) -> Any:
        if field_name == "known":
            return self._fingerprint
        return super().get_initial_for_field(field, field_name)

    def clean(self) -> dict[str, Any]:
        fields: dict[str, Any] = self.cleaned_data
        if fields.pop("known", "") not in ("", self._fingerprint):
            self.add_error(None, CHANGED_MEANWHILE)
        return fields

    @property
    def _fingerprint(self) -> str:
        present = sorted((name, repr(value)) for name, value in self.initial.items())
        return sha256(repr(present).encode()).hexdigest()[:32]


class NameField(forms.CharField):
    """The name of something that a tenant makes."""

    def __init__(self, **kwargs: Any) -> None:
        own = {"max_length": LONGEST_NAME, "validators": [is_name]}
        words = {"label": _("Name"), "help_text": _("Lower-case letters, digits and . _ -")}
        super().__init__(**{**own, **words, **kwargs})


class NewNameForm(ConsoleForm):
    """A name that none of `others` has."""

    name = NameField()

    def __init__(self, data: Any, others: QuerySet[Any]) -> None:
        super().__init__(data)
        self._others = others

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if self._others.filter(name=name).exists():
            raise ValidationError(_("This name is taken."))
        return name


class LongForm(ConsoleForm):
    """Shows the fields of `more` only to those who open them."""

    more: Any  # names of fields

    @property
    def simple(self) -> list[BoundField]:
        return [field for field in self.visible_fields() if field.name not in self.more]

    @property
    def advanced(self) -> list[BoundField]:
        return [self[name] for name in self.more]

    @property
    def open_advanced(self) -> bool:
        return any(name in self.errors for name in self.more)


class ReturnForm(ConsoleForm):
    """Why a version goes back to its authors."""

    reason = forms.CharField(
        label=_("Reason"), max_length=1_000, widget=forms.Textarea(attrs={"rows": 2})
    )


class RelabelledForm:
    """Mixed into a form of django-allauth: the look of ours, with these labels and attributes."""

    bound_field_class = StyledField
    fields: dict[str, forms.Field]
    labels: dict[str, Any] = {}  # texts, by field
    attrs: dict[str, dict[str, Any]] = {}  # of widgets, by field

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.label, field.help_text = self.labels.get(name, field.label), ""
            field.widget.attrs.pop("placeholder", None)
            field.widget.attrs.update(self.attrs.get(name, {}))


class AddressField(forms.EmailField):
    """An email address, no longer than accounts and invitations hold."""

    def __init__(self, **kwargs: Any) -> None:
        own = {"label": _("Email address"), "max_length": LONGEST_EMAIL}
        super().__init__(**{**own, **kwargs})


class MomentField(forms.DateTimeField):
    """A browser's own date and time picker, in the time zone that the label names."""

    def __init__(self, *, label: str | Promise = "", **kwargs: Any) -> None:
        if label:
            kwargs["label"] = format_lazy("{} ({})", label, _time_zone())
        shape = "%Y-%m-%dT%H:%M"
        widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format=shape)
        super().__init__(**{"required": False, "widget": widget, **kwargs})

    def to_python(self, value: Any) -> datetime | None:
        """Raises ValidationError, also for a moment that not every time zone has."""
        moment: datetime | None = super().to_python(value)
        if moment and not EARLIEST <= moment <= LATEST:
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return moment

    def bound_data(self, data: Any, initial: Any) -> Any:
        """Returns a moment of a link, with its zone, as the browser's field shows it."""
        try:
            moment = parse_datetime(data) if isinstance(data, str) else None
        except ValueError:  # 30 February: the error beside the field says so
            moment = None
        if moment is None or moment.tzinfo is None or not EARLIEST <= moment <= LATEST:
            return super().bound_data(data, initial)
        return localtime(moment).strftime("%Y-%m-%dT%H:%M")


class LimitField(forms.IntegerField):
    """A limit: 0 is none, and an empty field takes the figure of the level above."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"min_value": 0, "max_value": MOST, "required": False, **kwargs})


class LinesField(forms.CharField):
    """Entries one a line (or between commas): a list without empty and double ones."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false"})
        super().__init__(**{"required": False, "max_length": 4000, "widget": widget, **kwargs})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        return list(dict.fromkeys(text.replace(",", "\n").split()))


class ReasonField(forms.CharField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"label": _("Reason"), "max_length": 200, **kwargs})
