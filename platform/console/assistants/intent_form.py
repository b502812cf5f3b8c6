"""One intent by fields: its name, titles, examples, rule and replies in each language."""

from typing import Any

import msgspec
from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms import KnowingForm
from inference.assistants.checks import LONGEST_TEXT, LONGEST_WORD, MOST_EXAMPLES
from inference.assistants.faults import Fault
from inference.assistants.spec import AssistantSpec, Intent, Rule

_RULES = (
    ("answer", _("Say the reply")),
    ("knowledge", _("Answer from the knowledge base")),
    ("action", _("Call an action")),
    ("hand_over", _("Hand over to a human")),
)
_LENGTHS = (("short", _("Short")), ("medium", _("Medium")), ("long", _("Long")))
_LANGUAGES = {"en": _("English"), "zh": _("Chinese")}


class IntentForm(KnowingForm):
    """Slots stay as they are: they are written in JSON."""

    name = forms.CharField(label=_("Name"), max_length=60)
    rule = forms.ChoiceField(label=_("Rule"), choices=_RULES)
    action = forms.ChoiceField(label=_("Action"), required=False)
    confirm = forms.BooleanField(
        label=_("Ask before the action"),
        required=False,
        initial=True,
        help_text=_("Actions that move money always ask."),
    )
    length = forms.ChoiceField(label=_("Length of answers"), choices=_LENGTHS, initial="medium")

    def __init__(self, data: Any, spec: AssistantSpec, intent: Intent | None) -> None:
        super().__init__(data, initial=_initial(intent, spec.languages) if intent else None)
        self.spec, self.intent = spec, intent
        action: Any = self.fields["action"]
        action.choices = [("", "–"), *((name, name) for name in spec.actions)]
        for language in spec.languages:
            self._add_fields(language, _LANGUAGES[language])

    def _add_fields(self, code: Any, language: Any) -> None:
        self.fields[f"title_{code}"] = forms.CharField(
            label=_("Title, %s") % language,
            max_length=LONGEST_WORD,
            required=False,
            help_text=_("Completes “Do you mean …?”"),
        )
        self.fields[f"examples_{code}"] = forms.CharField(
            label=_("Examples, %s") % language,
            widget=forms.Textarea(attrs={"rows": 8}),
            help_text=_("A sentence on each line."),
        )
        self.fields[f"reply_{code}"] = forms.CharField(
            label=_("Reply, %s") % language,
            max_length=LONGEST_TEXT,
            required=False,
            widget=forms.Textarea(attrs={"rows": 2}),
        )

    @property
    def changed_spec(self) -> AssistantSpec:
        """Returns the spec with this intent, in the place of the edited one or at the end."""
        names = [intent.name for intent in self.spec.intents]
        intents = list(self.spec.intents)
        if self.intent:
            intents[names.index(self.intent.name)] = self._written
        else:
            intents.append(self._written)
        return msgspec.structs.replace(self.spec, intents=intents)

    @property
    def _written(self) -> Intent:
        fields = self.cleaned_data
        rule = Rule(
            kind=fields["rule"],
            action=fields["action"],
            reply=self._texts("reply"),
            confirm=fields["confirm"],
        )
        return Intent(
            name=fields["name"],
            title=self._texts("title"),
            examples={code: self._examples(code) for code in self.spec.languages},
            slots=self.intent.slots if self.intent else [],
            rule=rule,
            length=fields["length"],
        )

    def _texts(self, name: str) -> Any:
        texts = {code: self.cleaned_data[f"{name}_{code}"] for code in self.spec.languages}
        # A browser sends line ends of its own.
        plain = {code: text.replace("\r\n", "\n") for code, text in texts.items()}
        return {code: text for code, text in plain.items() if text.strip()}

    def _examples(self, code: str) -> list[str]:
        lines = [line.strip() for line in self.cleaned_data[f"examples_{code}"].splitlines()]
        return [line for line in dict.fromkeys(lines) if line][: MOST_EXAMPLES + 1]

    def show(self, faults: tuple[Fault, ...]) -> None:
        """Show faults beside their fields; those of other parts above the form."""
        place = len(self.spec.intents)
        if self.intent:
            place = self.spec.intents.index(self.intent)
        for fault in faults:
            name = _field(fault.path.removeprefix(f"intents.{place}."))
            self.add_error(name if name in self.fields else None, _text(fault, name))


def _text(fault: Fault, name: str) -> str:
    return fault.message if name else str(fault)


def _field(path: str) -> str:
    """Returns the field of a path, such as `reply_en` for `rule.reply.en`."""
    parts = [part for part in path.removeprefix("rule.").split(".") if not part.isdigit()]
    return {"kind": "rule"}.get(parts[0], "_".join(parts))


def _initial(intent: Intent, languages: Any) -> dict[str, Any]:
    rule = intent.rule
    fields: dict[str, Any] = {"name": intent.name, "rule": rule.kind, "action": rule.action}
    fields |= {"confirm": rule.confirm, "length": intent.length}
    for code in languages:
        fields[f"title_{code}"] = intent.title.get(code, "")
        fields[f"examples_{code}"] = "\n".join(intent.examples.get(code, []))
        fields[f"reply_{code}"] = rule.reply.get(code, "")
    return fields
