"""Forms of assistants: a name, the content as JSON, one intent by fields, a sentence, a share."""

import json
from typing import Any

import msgspec
from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from console.forms import ConsoleForm
from inference.assistants.checks import LONGEST_EXAMPLE
from inference.assistants.faults import WrongSpec, read, with_lines
from inference.assistants.sample import SAMPLE
from inference.assistants.spec import AssistantSpec
from inference.models import Assistant
from inference.models.assistants.assistant import LARGEST_SHARE

LONGEST_SPEC = 2_000_000  # characters of JSON


class SpecForm(ConsoleForm):
    """The content as JSON. `seen` is the version that the editor started from, 0 for none."""

    seen = forms.IntegerField(widget=forms.HiddenInput, required=False)
    spec = forms.CharField(
        label=_("Content"),
        max_length=LONGEST_SPEC,
        widget=forms.Textarea(attrs={"rows": 30, "spellcheck": "false"}),
    )

    def __init__(self, data: Any, assistant: Assistant | None = None) -> None:
        self._latest = assistant.latest if assistant else 0
        text = as_json(assistant.versions.get(number=self._latest).spec) if assistant else ""
        initial = {"seen": self._latest, "spec": text or json.dumps(SAMPLE, **_STYLE)}
        super().__init__(data, initial=initial)

    def clean_seen(self) -> int:
        if (self.cleaned_data["seen"] or 0) != self._latest:
            text = _("Version %d has been written meanwhile: look at it, then edit anew.")
            raise ValidationError(text % self._latest)
        return self._latest

    def clean_spec(self) -> AssistantSpec:
        try:
            return read(self.cleaned_data["spec"])
        except WrongSpec as wrong:
            raise ValidationError([str(fault) for fault in wrong.faults]) from None

    def show(self, wrong: WrongSpec) -> None:
        """Show faults with their lines in the text that was sent."""
        faults = with_lines(list(wrong.faults), self.data["spec"])
        self.add_error("spec", ValidationError([str(fault) for fault in faults]))


_STYLE: dict[str, Any] = {"indent": 2, "ensure_ascii": False}


def as_json(spec: AssistantSpec) -> str:
    return json.dumps(msgspec.to_builtins(spec), **_STYLE)


class SentenceForm(ConsoleForm):
    text = forms.CharField(label=_("Sentence"), max_length=LONGEST_EXAMPLE)


class ShareForm(ConsoleForm):
    share = forms.IntegerField(
        label=_("Share of the people, in percent"),
        min_value=1,
        max_value=int(100 * LARGEST_SHARE),
        initial=10,
    )
