"""One version of a template: the messages of a chat, or one prompt, with its variables."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from inference.templating import control_tokens, variables
from inference.templating.variables import TYPES, Variable, WrongVariable

ROLES = ("system", "developer", "user", "assistant")
MOST_MESSAGES = 50
LONGEST = 64 * 1024  # characters of all texts


class TemplateMessage(msgspec.Struct, frozen=True):
    role: str
    content: str


class Content(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content: either `messages` or `prompt` is empty."""

    messages: list[TemplateMessage] = []
    prompt: str = ""
    variables: list[Variable] = []

    @property
    def is_chat(self) -> bool:
        return bool(self.messages)

    @property
    def texts(self) -> Iterator[str]:
        yield from (message.content for message in self.messages)
        if self.prompt:
            yield self.prompt

    def filled(
        self, arguments: Mapping[str, Any], most: int, tokens: Collection[str] = ()
    ) -> dict[str, Any]:
        """Returns the field of a request's body that the template makes. Raises WrongVariable.

        `most` bounds the characters of all values, each as often as it is inserted. `tokens` are
        the model's own control tokens, besides the common ones.
        """
        values = variables.texts(self.variables, arguments)
        self._check_size(values, most)
        if not self.is_chat:
            return {"prompt": _filled(self.prompt, values, tokens)}
        messages = [(each.role, _filled(each.content, values, tokens)) for each in self.messages]
        return {"messages": [{"role": role, "content": text} for role, text in messages]}

    def _check_size(self, values: Mapping[str, str], most: int) -> None:
        """Bound the text before values are inserted: one may be inserted in many places."""
        sizes: Counter[str] = Counter()
        for text in self.texts:
            for name in variables.placeholders(text):
                sizes[name] += len(values[name])
        if sizes.total() > most:
            ((name, size),) = sizes.most_common(1)
            what = f"the variable `{name}` is too long: put in everywhere, {size} characters"
            raise WrongVariable(name, what)


def _filled(text: str, values: Mapping[str, str], tokens: Collection[str]) -> str:
    """Fill a text. Raises WrongVariable if values contain, or make, a model's control token."""
    whole = variables.filled_text(text, values)
    fresh = control_tokens.in_text(whole, tokens) - control_tokens.in_text(text, tokens)
    if not fresh:
        return whole
    names = [n for n in variables.placeholders(text) if control_tokens.in_text(values[n], tokens)]
    if names:
        what = f"the variable `{names[0]}` must not hold a control token of a model"
        raise WrongVariable(names[0], what)
    (first, *_) = variables.placeholders(text)
    raise WrongVariable(first, "the variables, put in, make a control token of a model")


packed, unpacked = msgspec.json.encode, msgspec.json.Decoder(Content).decode


# Checks ------------------------------------------------------------------------------------------
def check(content: Content) -> None:
    """Raises ValidationError with the faults by field."""
    _check_texts(content)
    _check_variables(content)
    declared = {variable.name for variable in content.variables}
    field = "messages" if content.is_chat else "prompt"
    for text in content.texts:
        if piece := variables.unknown_placeholder(text, declared):
            raise ValidationError({field: _("%s names none of the variables.") % piece})
    used = {name for text in content.texts for name in variables.placeholders(text)}
    for name in sorted(declared - used):
        message = _("The variable %s does not occur in the text.") % name
        raise ValidationError({"variables": message})


def _check_texts(content: Content) -> None:
    if content.is_chat == bool(content.prompt):
        message = _("Send either messages, for a chat, or a prompt.")
        raise ValidationError({"messages": message})
    field = "messages" if content.is_chat else "prompt"
    if len(content.messages) > MOST_MESSAGES:
        raise ValidationError({field: _("At most %d messages.") % MOST_MESSAGES})
    if sum(map(len, content.texts)) > LONGEST:
        raise ValidationError({field: _("At most %d characters in all.") % LONGEST})
    if any(message.role not in ROLES for message in content.messages):
        raise ValidationError({field: _("A role is one of %s.") % ", ".join(ROLES)})
    if any(not text.strip() or "\0" in text for text in content.texts):
        raise ValidationError({field: _("A text is empty, or holds a NUL.")})


def _check_variables(content: Content) -> None:
    names = [variable.name for variable in content.variables]
    if len(names) > variables.MOST:
        raise ValidationError({"variables": _("At most %d variables.") % variables.MOST})
    if len(set(names)) < len(names):
        raise ValidationError({"variables": _("Each name only once.")})
    for variable in content.variables:
        if problem := _problem(variable):
            raise ValidationError({"variables": f"{variable.name[:40]}: {problem}"})


def _problem(variable: Variable) -> str:
    if not variables.is_name(variable.name):
        return _("A name has a letter, then letters, digits and _; 40 characters at most.")
    if variable.type not in TYPES:
        return _("A type is one of %s.") % ", ".join(TYPES)
    if not 0 <= variable.max_length <= variables.LONGEST:
        return _("max_length is at most %d.") % variables.LONGEST
    if variable.max_length and variable.type != "string":
        return _("Only a string has a max_length.")
    if variable.default is not None and (problem := variables.wrong(variable, variable.default)):
        return _("The default %s.") % problem
    return ""
