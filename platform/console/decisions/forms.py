"""Forms of decision policies. A version is written as JSON, as in the management API."""

from typing import Any

import msgspec
from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.forms import ConsoleForm, NameField
from inference.decisions.spec import LONGEST, PolicySpec, as_json, of_json
from inference.models import DecisionPolicy, PolicyVersionState
from inference.models.decisions.policy import LARGEST_SHARE
from inference.validation import bounded_json


class SpecForm(ConsoleForm):
    """The whole version as JSON, but for a tree, which no person writes."""

    spec = forms.CharField(
        label=gettext_lazy("Version as JSON"),
        max_length=LONGEST,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 28, "spellcheck": "false", "class": "font-monospace"}),
    )

    def __init__(self, data: Any, before: PolicySpec) -> None:
        fields = as_json(before)
        self._tree = before.tree
        fields.pop("tree", None)
        fields.pop("model_version", None)  # the one that serves now is taken
        text = msgspec.json.format(msgspec.json.encode(fields), indent=2).decode()
        super().__init__(data, initial={"spec": text})

    def clean_spec(self) -> PolicySpec:
        text: str = self.cleaned_data["spec"]
        try:
            value = bounded_json.shallow(text.encode())
            spec = of_json(value)
        except (ValueError, msgspec.ValidationError) as problem:
            raise ValidationError(_("This is no version: %s") % problem) from None
        keeps_tree = self._tree is not None and spec.tree is None and "tree" not in value
        return msgspec.structs.replace(spec, tree=self._tree) if keeps_tree else spec

    def refuse(self, problem: ValidationError) -> None:
        """Show each fault beside the text, with the name of its field."""
        if not hasattr(problem, "error_dict"):
            return super().refuse(problem)
        for name, messages in problem.message_dict.items():
            field = name if name in self.fields else "spec"
            for text in messages:
                self.add_error(field, text if field == name else f"{name}: {text}")
        return None


class NewPolicyForm(SpecForm):
    field_order = ("name", "spec")
    name = NameField()


class PartForm(ConsoleForm):
    """A version that gets a part in decisions."""

    version = forms.TypedChoiceField(label=gettext_lazy("Version"), coerce=int)

    def __init__(self, data: Any, policy: DecisionPolicy) -> None:
        super().__init__(data)
        rows = policy.versions.filter(state=PolicyVersionState.APPROVED).order_by("-number")
        numbers = list(rows.values_list("number", flat=True)[:100])
        others = [number for number in numbers if number != policy.champion]
        self.fields["version"].choices = [(number, number) for number in others]  # type: ignore[attr-defined]


class OptionalPartForm(PartForm):
    def __init__(self, data: Any, policy: DecisionPolicy) -> None:
        super().__init__(data, policy)
        field: Any = self.fields["version"]
        field.required, field.empty_value = False, None
        field.choices = [("", _("None")), *field.choices]


class ChallengeForm(OptionalPartForm):
    percent = forms.IntegerField(
        label=gettext_lazy("Percent of the requests"),
        min_value=1,
        max_value=int(LARGEST_SHARE * 100),
        initial=10,
    )
