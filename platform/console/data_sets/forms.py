"""Forms of the pages of data sets."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from audit.trail.record import LONGEST_REASON
from console.forms import ConsoleForm, MomentField
from inference.data_sets.conversations import CHATS, REQUESTS, Selection
from inference.models import DataSetFormat

LARGEST_PIECE = 700_000  # bytes: a form has at most 1 MiB (config/pages/handler.py)
_RECORDED = _("Recorded in the audit trail together with your name.")


class PieceForm(ConsoleForm):
    """A piece of a file. `is_last` is False where a script sends more of them."""

    file = forms.FileField(label=_("File"))
    is_last = forms.BooleanField(required=False, initial=True, widget=forms.HiddenInput)

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > LARGEST_PIECE:
            raise forms.ValidationError(_("Without JavaScript a file has at most 700 kB."))
        return file


class UploadForm(PieceForm):
    form = forms.ChoiceField(label=_("Content"), choices=DataSetFormat.choices)
    field_order = ("form", "file")


class ReasonForm(ConsoleForm):
    reason = forms.CharField(label=_("Reason"), max_length=LONGEST_REASON, help_text=_RECORDED)


class SelectionForm(ReasonForm):
    origins = forms.MultipleChoiceField(
        label=_("Conversations"),
        choices=[(CHATS, _("Chats of people")), (REQUESTS, _("Requests of keys"))],
        initial=[CHATS],
        widget=forms.CheckboxSelectMultiple,
    )
    since = MomentField(label=_("From"), required=True)
    until = MomentField(label=_("To"), required=True)
    model = forms.CharField(
        label=_("Model"), max_length=120, required=False, help_text=_("Empty: every model.")
    )
    field_order = ("origins", "since", "until", "model", "reason")

    @property
    def selection(self) -> Selection:
        fields = self.cleaned_data
        return Selection(
            tuple(fields["origins"]), fields["since"], fields["until"], fields["model"]
        )


class ConversationUseForm(ConsoleForm):
    allowed = forms.BooleanField(
        label=_("Data sets may be made of recorded conversations"), required=False
    )
    reason = forms.CharField(
        label=_("Ground"),
        max_length=LONGEST_REASON,
        help_text=_("The legal ground for it, such as a works agreement. It is recorded."),
    )
