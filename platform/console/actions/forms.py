"""Forms of an action: what it is, its secret's replacement, and a call to try it."""

import json
from typing import Any
from uuid import UUID, uuid4, uuid5

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from console.forms import ConsoleForm, NameField
from console.tables import LONGEST_SEARCH
from inference.actions.definitions import ANYTHING
from inference.models import ActionCall, CallState, WebhookAction
from inference.models.assistants.webhook_action import (
    LONGEST_TEXT,
    LONGEST_TIMEOUT_S,
    LONGEST_URL,
)
from inference.validation import bounded_json

_EXAMPLE = {
    "type": "object",
    "properties": {"order": {"type": "string", "maxLength": 20}},
    "required": ["order"],
    "additionalProperties": False,
}
_TEXTS = ("description", "on_success", "on_failure")


class JsonField(forms.CharField):
    """A JSON object, as text in a form."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.Textarea(attrs={"rows": 8, "spellcheck": "false", "class": "font-monospace"})
        super().__init__(**{"max_length": 40_000, "widget": widget, **kwargs})

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else value

    def clean(self, value: Any) -> Any:
        try:
            parsed = bounded_json.shallow(super().clean(value).encode())
        except ValueError:
            raise ValidationError(_("This is not JSON.")) from None
        if not isinstance(parsed, dict):
            raise ValidationError(_("This must be a JSON object."))
        if bounded_json.holds_nul(parsed):
            raise ValidationError(_("A text holds a NUL character."))
        return parsed


def _text(label: Any, **kwargs: Any) -> forms.CharField:
    return forms.CharField(label=label, max_length=LONGEST_TEXT, required=False, **kwargs)


class CallFilter(ConsoleForm):
    """The filter of calls. Links from an action set `action`."""

    state = forms.ChoiceField(
        label=_("State"), required=False, choices=[("", _("Every state")), *CallState.choices]
    )
    q = forms.CharField(label=_("Find in this table"), required=False, max_length=LONGEST_SEARCH)
    action = forms.CharField(required=False, max_length=80, widget=forms.HiddenInput)

    def of(self, calls: QuerySet[ActionCall]) -> QuerySet[ActionCall]:
        """Returns the calls that match; all of them for a wrong filter."""
        chosen = self.cleaned_data if self.is_valid() else {}
        fields = {"state": chosen.get("state"), "action_name": chosen.get("action")}
        return calls.filter(**{name: value for name, value in fields.items() if value})


class ActionForm(ConsoleForm):
    description_en = _text(_("Description in English"))
    description_zh = _text(_("Description in Chinese"))
    url = forms.CharField(
        label=_("URL"),
        max_length=LONGEST_URL,
        help_text=_("https:// and a public host, or one that the operator allows."),
    )
    arguments = JsonField(label=_("JSON Schema of the arguments"), initial=_EXAMPLE)
    answer = JsonField(label=_("JSON Schema of the answer"), initial=ANYTHING)
    moves_money = forms.BooleanField(
        label=_("It moves money"),
        required=False,
        help_text=_("Then the person must say yes to each call, with its arguments."),
    )
    timeout_s = forms.IntegerField(
        label=_("Seconds to wait for an answer"),
        min_value=1,
        max_value=LONGEST_TIMEOUT_S,
        initial=10,
    )
    on_success_en = _text(
        _("Text after success, in English"),
        help_text=_("{{name}} stands for a field of the answer, else of the arguments."),
    )
    on_success_zh = _text(_("Text after success, in Chinese"))
    on_failure_en = _text(_("Text after a refusal, in English"))
    on_failure_zh = _text(_("Text after a refusal, in Chinese"))

    def fields_of_model(self) -> dict[str, Any]:
        fields = dict(self.cleaned_data)
        for name in _TEXTS:
            texts = {lang: fields.pop(f"{name}_{lang}") for lang in ("en", "zh")}
            fields[name] = {lang: text for lang, text in texts.items() if text}
        return fields

    def refuse(self, problem: ValidationError) -> None:
        """Show errors of a text beside its English field."""
        if hasattr(problem, "error_dict"):
            for name in _TEXTS:
                if name in problem.error_dict:
                    self.add_error(f"{name}_en", problem.error_dict.pop(name))
        super().refuse(problem)


class NewActionForm(ActionForm):
    field_order = ("name",)
    name = NameField()


class EditionForm(ActionForm):
    enabled = forms.BooleanField(
        label=_("Assistants may call it"),
        required=False,
        help_text=_("Off, tests alone are sent."),
    )

    @classmethod
    def of(cls, action: WebhookAction, data: Any) -> "EditionForm":
        plain = ("url", "arguments", "answer", "moves_money", "timeout_s", "enabled")
        initial = {name: getattr(action, name) for name in plain}
        for name in _TEXTS:
            initial |= {f"{name}_{lang}": text for lang, text in getattr(action, name).items()}
        return cls(data, initial=initial)


class ApprovalForm(ConsoleForm):
    proposed_at = forms.DateTimeField()  # of the change that the person has read


class RotationForm(ConsoleForm):
    overlap_hours = forms.IntegerField(
        label=_("Hours in which the former secret also signs"),
        min_value=0,
        max_value=720,
        initial=24,
    )


class TrialForm(ConsoleForm):
    """`once` names one press of the button: a page that is sent again sends nothing again."""

    once = forms.UUIDField(widget=forms.HiddenInput, required=False, initial=uuid4)
    arguments = JsonField(label=_("Arguments"), initial={})
    confirmed = forms.BooleanField(label=_("I know that this call may move money"), required=False)

    def __init__(self, data: Any, action: WebhookAction, arguments: Any = None) -> None:
        super().__init__(data, prefix="trial", initial={"arguments": arguments or {}})
        if not action.moves_money:
            del self.fields["confirmed"]

    def call_id(self, action: WebhookAction, actor: str) -> UUID | None:
        """Returns the same for the same press of the button with the same fields."""
        fields = self.cleaned_data
        name = [actor, str(fields["once"]), fields["arguments"], fields.get("confirmed")]
        return uuid5(action.pk, json.dumps(name, sort_keys=True)) if fields["once"] else None
