"""A template as people write it: rows of messages and rows of variables.

A prompt for text completions is a single row whose role says so.
"""

from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.forms import BaseFormSet, formset_factory
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.forms import ConsoleForm
from inference.models.prompt_template import LONGEST_NAME, PromptTemplate, is_name
from inference.templating import variables
from inference.templating.content import LONGEST, MOST_MESSAGES, Content, Message
from inference.templating.variables import Value, Variable
from tenants.models import Tenant

PROMPT = "prompt"
_ROLES = (
    ("system", gettext_lazy("System")),
    ("user", gettext_lazy("User")),
    ("assistant", gettext_lazy("Assistant")),
    ("developer", gettext_lazy("Developer")),
    (PROMPT, gettext_lazy("Prompt (text completion)")),
)
_TYPES = (
    ("string", gettext_lazy("Text")),
    ("integer", gettext_lazy("Whole number")),
    ("number", gettext_lazy("Number")),
    ("boolean", gettext_lazy("Yes or no")),
)
_MORE_MESSAGES, _MORE_VARIABLES = 1, 2  # empty rows to write in


class NameForm(ConsoleForm):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=LONGEST_NAME,
        validators=[is_name],
        help_text=gettext_lazy("Lower-case letters, digits and . _ -"),
    )

    def __init__(self, data: Any, tenant: Tenant) -> None:
        super().__init__(data)
        self._tenant = tenant

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if self._tenant.prompt_templates.filter(name=name).exists():
            raise ValidationError(_("This name is taken."))
        return name


class EditionForm(ConsoleForm):
    """Who edits has seen this version: an edition in between is not passed over."""

    seen = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, data: Any, template: PromptTemplate) -> None:
        super().__init__(data, initial={"seen": template.latest})
        self._latest = template.latest

    def clean_seen(self) -> int:
        seen: int = self.cleaned_data["seen"]
        if seen != self._latest:
            text = _("Version %d has been published meanwhile: look at it, then edit anew.")
            raise ValidationError(text % self._latest)
        return seen


class _Row(ConsoleForm):
    """Left out where nothing is written in it."""

    written: ClassVar[tuple[str, ...]]  # fields

    def has_changed(self) -> bool:
        values = (self.data.get(self.add_prefix(name)) for name in self.written)
        return any((value or "").strip() for value in values)


class MessageForm(_Row):
    written = ("content",)
    role = forms.ChoiceField(label=gettext_lazy("Role"), choices=_ROLES, initial="user")
    content = forms.CharField(
        label=gettext_lazy("Text"),
        max_length=LONGEST,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 4}),
    )


class VariableForm(_Row):
    written = ("name", "default", "max_length")
    name = forms.CharField(label=gettext_lazy("Name"), max_length=40)
    type = forms.ChoiceField(label=gettext_lazy("Type"), choices=_TYPES, initial="string")
    default = forms.CharField(
        label=gettext_lazy("Default"), max_length=variables.LENGTH, required=False, strip=False
    )
    max_length = forms.IntegerField(
        label=gettext_lazy("At most characters"),
        min_value=1,
        max_value=variables.LONGEST,
        required=False,
    )

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if given.get("default") and given.get("type"):
            try:
                given["default"] = typed(given["default"], given["type"])
            except ValueError:
                self.add_error("default", _("This is of the wrong type."))
        return given

    @property
    def variable(self) -> Variable:
        given = self.cleaned_data
        default = None if given["default"] == "" else given["default"]
        return Variable(given["name"], given["type"], default, given["max_length"] or 0)


def typed(text: str, kind: str) -> Value:
    """As a request would have it. Raises ValueError."""
    if kind == "boolean":
        return ("false", "true").index(text.lower()) == 1
    if kind == "integer":
        return int(text)
    return float(text) if kind == "number" else text


_EMPTY = {"empty_permitted": True}
_Messages = formset_factory(MessageForm, extra=_MORE_MESSAGES, max_num=MOST_MESSAGES)
_Variables = formset_factory(VariableForm, extra=_MORE_VARIABLES, max_num=variables.MOST)


class ContentForms:
    """Both kinds of rows."""

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
        self.problems: list[str] = []  # of the whole

    def is_valid(self) -> bool:
        return all([self.messages.is_valid(), self.variables.is_valid()])

    def refuse(self, problem: ValidationError) -> None:
        self.problems += problem.messages

    @property
    def content(self) -> Content:
        """Raises ValidationError."""
        rows = [form.cleaned_data for form in self.messages if form.has_changed()]
        named = [form.variable for form in self.variables if form.has_changed()]
        roles = [row["role"] for row in rows]
        if PROMPT not in roles:
            said = [Message(row["role"], row["content"]) for row in rows]
            return Content(messages=said, variables=named)
        if len(roles) > 1:
            raise ValidationError(_("A prompt for text completions stands alone."))
        return Content(prompt=rows[0]["content"], variables=named)


def _rows(content: Content) -> list[dict[str, str]]:
    if content.prompt:
        return [{"role": PROMPT, "content": content.prompt}]
    return [{"role": one.role, "content": one.content} for one in content.messages]


def _variable_rows(content: Content) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "type": one.type,
            "default": shown(one.default),
            "max_length": one.max_length or None,
        }
        for one in content.variables
    ]


def shown(default: Value | None) -> str:
    """As `typed` takes it."""
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

    def given(self) -> dict[str, Value]:
        """What was filled in, as a request would have it; what is no number stays a text."""
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
