"""Form of a new version of an engine: fields left empty are as in the old one."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms import ConsoleForm
from console.serving.forms import OptionsField, SlotsField, is_name, is_url
from inference.models.replacement import (
    LOAD_WITHIN_S,
    LONGEST_LOAD_S,
    MOST_WARM_UPS,
    WARM_UPS,
)
from inference.pools import LONGEST_VERSION


class NewVersionForm(ConsoleForm):
    version = forms.CharField(
        label=_("Version"),
        required=False,
        max_length=LONGEST_VERSION,
        validators=[is_name],
        help_text=_("Answers name it. Empty: v2, v3 and so on."),
    )
    url = forms.CharField(
        label=_("Address"),
        required=False,
        max_length=500,
        validators=[is_url],
        help_text=_("Empty: the old one's, or of a server that Forebay starts."),
    )
    model_file = forms.CharField(
        label=_("Model file"),
        required=False,
        max_length=500,
        help_text=_("A GGUF file in a folder of FOREBAY_MODELS: Forebay starts its server."),
    )
    slots = SlotsField(required=False, help_text=_("Empty: as the old one has."))
    api_key = forms.CharField(
        label=_("API key of the service"),
        required=False,
        max_length=4096,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("Stored encrypted and never shown. Empty: as it is."),
    )
    options = OptionsField(
        label=_("Options as JSON"),
        required=False,
        help_text=_("They are added to those of the old one; null takes one away."),
    )
    warm_ups = forms.IntegerField(
        label=_("Answers that warm it up"), initial=WARM_UPS, min_value=0, max_value=MOST_WARM_UPS
    )
    load_within_s = forms.IntegerField(
        label=_("Ready within (seconds)"),
        initial=LOAD_WITHIN_S,
        min_value=1,
        max_value=LONGEST_LOAD_S,
    )
    keeps_old = forms.BooleanField(
        label=_("Keep the old one for a rollback"),
        required=False,
        help_text=_("It takes no requests. One of FOREBAY_ENGINES is always kept."),
    )
    may_take_less = forms.BooleanField(
        label=_("It may take less"),
        required=False,
        help_text=_("Also with a shorter context, or without a capability of the old one."),
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, auto_id="version_%s")

    @property
    def settings(self) -> dict[str, Any]:
        """Returns the fields as the API takes them."""
        names = ("version", "url", "slots", "api_key")
        fields = {name: self.cleaned_data[name] for name in names if self.cleaned_data[name]}
        options = dict(self.cleaned_data["options"])
        if file := self.cleaned_data["model_file"]:
            options["launch"] = {"model": file}
        return {**fields, "options": options}

    @property
    def switch_options(self) -> dict[str, Any]:
        names = ("warm_ups", "load_within_s", "keeps_old", "may_take_less")
        return {name: self.cleaned_data[name] for name in names}
