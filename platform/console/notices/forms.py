"""Forms of targets of notices, and of what a person wants by mail."""

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from console.forms import ConsoleForm, KnowingForm
from tenants.models import NoticeTarget, TargetKind
from tenants.models.notices.notice_target import LONGEST_NAME, LONGEST_OVERLAP, LONGEST_SECRET
from tenants.notices.events import ALWAYS_MAILED, Group


def _languages(*first: tuple[str, Any]) -> list[tuple[str, Any]]:
    return [*first, *settings.LANGUAGES]


class TargetForm(ConsoleForm):
    """The fields of a target that can change: with another URL or kind it is another target."""

    name = forms.CharField(label=_("Name"), max_length=LONGEST_NAME)
    groups = forms.MultipleChoiceField(
        label=_("Notices"), choices=Group.choices, widget=forms.CheckboxSelectMultiple
    )
    language = forms.ChoiceField(label=_("Language"), choices=_languages)


class NewTargetForm(TargetForm):
    kind = forms.ChoiceField(label=_("Kind"), choices=TargetKind.choices)
    url = forms.CharField(label="URL", max_length=500)
    secret = forms.CharField(
        label=_("Secret of the robot"),
        required=False,
        max_length=LONGEST_SECRET,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=_("Of Feishu and DingTalk, if the robot checks signatures."),
    )
    field_order = ("kind", "name", "url", "secret", "groups", "language")


class EditionForm(TargetForm, KnowingForm):
    enabled = forms.BooleanField(label=_("On"), required=False)

    @classmethod
    def of(cls, target: NoticeTarget, data: Any = None) -> "EditionForm":
        names = ("name", "groups", "language", "enabled")
        return cls(data, initial={name: getattr(target, name) for name in names})


class RotationForm(ConsoleForm):
    overlap_hours = forms.IntegerField(
        label=_("Hours for which the former secret signs too"),
        initial=24,
        min_value=0,
        max_value=LONGEST_OVERLAP.days * 24,
    )

    @property
    def overlap(self) -> timedelta:
        return timedelta(hours=self.cleaned_data["overlap_hours"])


class PreferenceForm(ConsoleForm):
    language = forms.ChoiceField(
        label=_("Language of mails"),
        required=False,
        choices=lambda: _languages(("", _("That of my last sign-in"))),
    )
    mailed = forms.MultipleChoiceField(
        label=_("Mails"),
        required=False,
        choices=[pair for pair in Group.choices if pair[0] not in ALWAYS_MAILED],
        widget=forms.CheckboxSelectMultiple,
    )
