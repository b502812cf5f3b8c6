"""Forms of a prompt template: rows of messages and rows of variables.

A prompt for text completions is a single row whose role says so.
"""

from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.forms import BaseFormSet, formset_factory
from django.utils.translation import gettext_lazy as _
from msgspec.structs import asdict

from console.forms import ConsoleForm
from inference.models.prompt_template import PromptTemplate
from inference.templating import variables
from inference.templating.content import LONGEST, MOST_MESSAGES, Content, TemplateMessage
from inference.templating.variables import Value, Variable

PROMPT = "prompt"
_ROLES = (
    ("system", _("System")),
    ("user", _("User")),
    ("assistant", _("Assistant")),
    ("developer", _("Developer")),
    (PROMPT, _("Prompt (text completion)")),
)
_TYPES = (
    ("string", _("Text")),
    ("integer", _("Whole number")),
    ("number", _("Number")),
    ("boolean", _("Yes or no")),
)
_MORE_MESSAGES, _MORE_VARIABLES = 1, 2  # empty rows to write in


class EditionForm(ConsoleForm):
    """Holds the version that the editor has seen: one published meanwhile is not overwritten."""

    seen = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, data: Any, template: PromptTemplate) -> None:
        super().__init__(data, initial={"seen": template.latest})
        self._latest = template.latest

    def clean_seen(self) -> int:
        number: int = self.cleaned_data["seen"]
        if number != self._latest:
            text = _("Version %d has been published meanwhile: look at it, then edit anew.")
            raise ValidationError(text % self._latest)
        return number


class _Row(ConsoleForm):
    """A row that is ignored if it is empty."""

    text_fields: ClassVar[tuple[str, ...]]

    def has_changed(self) -> bool:
        values = (self.data.get(self.add_prefix(name)) for name in self.text_fields)
        return any((value or "").strip() for value in values)


class MessageForm(_Row):
    text_fields = ("content",)
    role = forms.ChoiceField(label=_("Role"), choices=_ROLES, initial="user")
    content = forms.CharField(
        label=_("Text"),
        max_length=LONGEST,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 4}),
    )

    def clean_content(self) -> str:
        """Returns the text with plain line ends: a browser sends its own, `\\r\\n`."""
        text: str = self.cleaned_data["content"]
        return text.replace("\r\n", "\n")


class VariableForm(_Row):
    text_fields = ("name", "default", "max_length")
    name = forms.CharField(label=_("Name"), max_length=40)
    type = forms.ChoiceField(label=_("Type"), choices=_TYPES, initial="string")
    default = forms.CharField(
        label=_("Default"), max_length=variables.LENGTH, required=False, strip=False
    )
    max_length = forms.IntegerField(
        label=_("At most characters"),
        min_value=1,
        max_value=variables.LONGEST,
        required=False,
    )

    def clean(self) -> dict[str, Any]:
        fields = self.cleaned_data
        if fields.get("default") and fields.get("type"):
            try:
                fields["default"] = typed(fields["default"], fields["type"])
            except ValueError:
                self.add_error("default", _("This is of the wrong type."))
        return fields

    @property
    def variable(self) -> Variable:
        fields = self.cleaned_data
        default = None if fields["default"] == "" else fields["default"]
        return Variable(fields["name"], fields["type"], default, fields["max_length"] or 0)


def typed(text: str, kind: str) -> Value:
    """Returns the text as a value of a request. Raises ValueError."""
    if kind == "boolean":
        return ("false", "true").index(text.lower()) == 1
    if kind == "integer":
        return int(text)
    return float(text) if kind == "number" else text


_EMPTY = {"empty_permitted": True}
_Messages = formset_factory(MessageForm, extra=_MORE_MESSAGES, max_num=MOST_MESSAGES)
_Variables = formset_factory(VariableForm, extra=_MORE_VARIABLES, max_num=variables.MOST)


class ContentForms:
    """The rows of messages and of variables."""

    def __init__(self, data: Any = None, content: Content | None = None) -> None:
        before = content or Content()
        self.messages: BaseFormSet[MessageForm] = _Messages(
            data, prefix="messages", initial=None if data else _rows(before), form_kwargs=_EMPTY
        )
        self.variables: BaseFormSet[VariableForm] = _Variables(
            data,
            prefix="variables",
            initial=None if data else _variable_rows(before),
            form_kwargs=_EMPTY,
        )
        self.problems: list[str] = []  # about no single row

    def is_valid(self) -> bool:
        return all([self.messages.is_valid(), self.variables.is_valid()])

    def refuse(self, problem: ValidationError) -> None:
        self.problems += problem.messages

    @property
    def content(self) -> Content:
        """Returns the content of all rows. Raises ValidationError."""
        rows = [form.cleaned_data for form in self.messages if form.has_changed()]
        template_variables = [form.variable for form in self.variables if form.has_changed()]
        roles = [row["role"] for row in rows]
        if PROMPT not in roles:
            chat = [TemplateMessage(row["role"], row["content"]) for row in rows]
            return Content(messages=chat, variables=template_variables)
        if len(roles) > 1:
            raise ValidationError(_("A prompt for text completions stands alone."))
        return Content(prompt=rows[0]["content"], variables=template_variables)


def _rows(content: Content) -> list[dict[str, str]]:
    if content.prompt:
        return [{"role": PROMPT, "content": content.prompt}]
    return [asdict(message) for message in content.messages]


def _variable_rows(content: Content) -> list[dict[str, Any]]:
    return [
        asdict(one) | {"default": shown(one.default), "max_length": one.max_length or None}
        for one in content.variables
    ]


def shown(default: Value | None) -> str:
    """Returns the text that `typed` turns into this value."""
    text = "" if default is None else str(default)
    return text.lower() if isinstance(default, bool) else text


class TrialForm(ConsoleForm):
    """A field for each variable of a version."""

    def __init__(self, data: Any, content: Content) -> None:
        super().__init__(data, prefix="trial")
        for one in content.variables:
            label = f"{one.name} ({dict(_TYPES)[one.type]})"
            self.fields[one.name] = forms.CharField(
                label=label, required=False, strip=False, initial=shown(one.default)
            )
        self._variables = content.variables

    def values(self) -> dict[str, Value]:
        """Returns the values as a request would have them; a text that is no number stays one."""
        return {
            one.name: self._typed(one)
            for one in self._variables
            if self.cleaned_data[one.name] != "" or one.type == "string"
        }

    def _typed(self, one: Variable) -> Value:
        text: str = self.cleaned_data[one.name]
        try:
            return typed(text, one.type)
        except ValueError:
            return text
