"""The playground's form, and the chat request that it is."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from console.forms import ConsoleForm
from inference.validation import bounded_json

MOST_MODELS = 4
LONGEST = 60_000  # characters of a text
_STOPS = 4
_NUMBERS = ("temperature", "top_p", "max_tokens", "seed", "presence_penalty", "frequency_penalty")


class JsonField(forms.CharField):
    """JSON of one type, typed by hand; None if it is empty."""

    def __init__(self, kind: type, **kwargs: Any) -> None:
        attrs = {"rows": 4, "spellcheck": "false", "class": "font-monospace"}
        self.kind = kind
        super().__init__(
            required=False, max_length=LONGEST, widget=forms.Textarea(attrs=attrs), **kwargs
        )

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        try:
            content = bounded_json.shallow(text.encode())
        except ValueError as problem:
            raise ValidationError(_("This is not JSON: %(why)s.") % {"why": problem}) from None
        if not isinstance(content, self.kind):
            is_list = self.kind is list
            raise ValidationError(
                _("Enter a list in JSON: [ … ].") if is_list else _("Enter an object: { … }.")
            )
        return content


def _area(rows: int) -> forms.Textarea:
    return forms.Textarea(attrs={"rows": rows})


def _number(low: float, high: float) -> Callable[..., forms.FloatField]:
    def field(label: Any) -> forms.FloatField:
        widget = forms.NumberInput(attrs={"step": "0.05"})
        return forms.FloatField(
            label=label, required=False, min_value=low, max_value=high, widget=widget
        )

    return field


class PlaygroundForm(ConsoleForm):
    system = forms.CharField(
        label=_("System prompt"), required=False, max_length=LONGEST, widget=_area(2)
    )
    prompt = forms.CharField(
        label=pgettext_lazy("of a request", "Prompt"), max_length=LONGEST, widget=_area(5)
    )
    temperature = _number(0, 2)(_("Temperature"))
    top_p = _number(0, 1)(_("Top p"))
    max_tokens = forms.IntegerField(
        label=_("Most tokens of the answer"), required=False, min_value=1, max_value=2**31 - 1
    )
    seed = forms.IntegerField(
        label=_("Seed"), required=False, min_value=-(2**31), max_value=2**31 - 1
    )
    presence_penalty = _number(-2, 2)("presence_penalty")
    frequency_penalty = _number(-2, 2)("frequency_penalty")
    stop = forms.CharField(
        label=_("Stop texts"),
        required=False,
        max_length=400,
        widget=_area(2),
        help_text=_("One a line, at most four."),
    )
    tools = JsonField(list, label=_("Tools"), help_text=_("A list in JSON, as the API takes it."))
    schema = JsonField(dict, label=_("JSON schema of the answer"))
    stream = forms.BooleanField(label=_("The code streams"), required=False)

    def clean_stop(self) -> list[str]:
        lines: list[str] = [line for line in self.cleaned_data["stop"].splitlines() if line]
        if len(lines) > _STOPS:
            raise ValidationError(_("At most four."))
        return lines

    def body(self, model: str) -> dict[str, Any]:
        """Returns the request as a client would send it."""
        fields = self.cleaned_data
        body: dict[str, Any] = {"model": model, "messages": self._messages}
        body |= {name: fields[name] for name in _NUMBERS if fields[name] is not None}
        body |= {name: fields[name] for name in ("stop", "tools") if fields[name]}
        if fields["schema"] is not None:
            named = {"name": "answer", "schema": fields["schema"]}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        if fields["stream"]:
            body["stream"] = True
        return body

    @property
    def _messages(self) -> list[dict[str, str]]:
        fields = self.cleaned_data
        system = [{"role": "system", "content": fields["system"]}] if fields["system"] else []
        return [*system, {"role": "user", "content": fields["prompt"]}]

    @property
    def sampling(self) -> list[forms.BoundField]:
        return [self[name] for name in (*_NUMBERS, "stop", "stream")]

    @property
    def structure(self) -> list[forms.BoundField]:
        return [self["tools"], self["schema"]]

    @property
    def problems(self) -> str:
        """Returns what is wrong, in one line."""
        labels = {name: str(field.label) for name, field in self.fields.items()}
        return " ".join(
            f"{labels.get(name, '')}: {' '.join(map(str, errors))}".lstrip(": ")
            for name, errors in self.errors.items()
        )
