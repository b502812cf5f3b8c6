"""The options of an engine as fields of a form. Rare ones stay JSON, in `options`."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms import ConsoleForm
from console.serving.capability_words import CAPABILITIES
from inference.engines.prompt_bound import GROWTH
from inference.registry.checking import LONGEST_MODEL, OPTIONS, RANGES

LONGEST_VERSION = 60


def _number(name: str, label: Any, help_text: Any = "") -> forms.IntegerField:
    least, most = RANGES[name]
    return forms.IntegerField(
        label=label, min_value=least, max_value=most, required=False, help_text=help_text
    )


def _switch(label: Any, help_text: Any = "") -> forms.BooleanField:
    return forms.BooleanField(label=label, required=False, help_text=help_text)


class OptionFields(ConsoleForm):
    """Fields of options. Empty: the default. `options` holds the others as JSON."""

    model = forms.CharField(
        label=_("Model at the engine"),
        max_length=LONGEST_MODEL,
        required=False,
        help_text=_("As the engine calls it. Empty: as tenants call it."),
    )
    context_length = _number(
        "context_length",
        _("Context length (tokens)"),
        _("Prompt and answer together. What the engine reports counts where it is smaller."),
    )
    capabilities = forms.MultipleChoiceField(
        label=_("It can"),
        required=False,
        choices=list(CAPABILITIES.items()),
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Beyond what the engine reports. None: as it reports."),
    )
    version = forms.CharField(
        label=_("Version"),
        max_length=LONGEST_VERSION,
        required=False,
        help_text=_("An answer is never continued by another version."),
    )
    silence_s = _number("silence_s", _("Give up after silence (seconds)"))
    stall_s = _number("stall_s", _("Give up without progress (seconds)"))
    first_token_s = _number("first_token_s", _("Longest wait for the first token (seconds)"))
    between_tokens_s = _number("between_tokens_s", _("Longest pause between tokens (seconds)"))
    template_tokens = _number(
        "template_tokens", _("Tokens of the chat template"), _("Empty: as the engine counts them.")
    )
    normal_form = forms.ChoiceField(
        label=_("Normal form of its tokenizer"),
        required=False,
        choices=[("", _("as usual (NFC)")), *((form, form) for form in GROWTH if form != "NFC")],
    )
    priority_scheduling = _switch(
        _("Priority scheduling"), _("vLLM was started with --scheduling-policy priority.")
    )
    private_cache = _switch(
        _("Private prompt cache"), _("Tenants share nothing in the cache of this server.")
    )
    sleeps = _switch(_("Sleep mode"), _("A vLLM that can lend its GPU to jobs."))
    elastic = _switch(
        _("Elastic"), _("It takes requests only while its worker is there to serve it.")
    )
    loads_adapters = _switch(_("Loads adapters"), _("A vLLM that loads LoRA adapters as it runs."))
    adapters_folder = forms.CharField(
        label=_("Folder of adapters, as it sees it"), max_length=500, required=False
    )

    @property
    def option_values(self) -> dict[str, Any]:
        """Returns all options: those of fields that are not empty, and the JSON."""
        fields = self.cleaned_data
        own = {name: fields[name] for name in OPTION_NAMES if fields.get(name)}
        if names := own.pop("capabilities", None):
            own["capabilities"] = dict.fromkeys(names, True)
        return {**fields["options"], **own}


OPTION_NAMES = tuple(OptionFields.base_fields)
OTHERS = sorted(OPTIONS - set(OPTION_NAMES))


def shown(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the initial values of the fields for options: what has no field stays JSON."""
    own: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, value in options.items():
        target = own if name in OPTION_NAMES and _fits(name, value) else rest
        target[name] = value
    return {**own, "options": rest}


def _fits(name: str, value: Any) -> bool:
    """Returns whether the field can show a value: JSON can say more."""
    if name == "capabilities":
        return bool(value) and all(value.values())
    if isinstance(value, float):
        return value.is_integer()
    return value not in (False, "", 0) and value != "NFC"
