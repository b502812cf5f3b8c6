"""Forms of the pages of knowledge bases."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms import ConsoleForm, NameField
from inference.api.knowledge.questions import LONGEST
from inference.knowledge import creating, uploading
from inference.models import DocumentFormat
from inference.models.assistants.document import LONGEST_URL
from tenants.models import Tenant

LARGEST_PIECE = 700_000  # bytes: a form has at most 1 MiB (config/pages/handler.py)


class BaseForm(ConsoleForm):
    name = NameField()
    model = forms.ChoiceField(
        label=_("Model"), help_text=_("It embeds documents and questions, and cannot be changed.")
    )

    def __init__(self, data: Any, tenant: Tenant) -> None:
        super().__init__(data)
        names = creating.models_for(tenant)
        self.fields["model"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]


class DocumentForm(ConsoleForm):
    """A document: a small file, or the upload to which a script has sent the pieces of a file."""

    file = forms.FileField(label=_("File"), required=False)
    form = forms.ChoiceField(
        label=_("Content"),
        choices=[("", _("By the name of the file")), *DocumentFormat.choices],
        required=False,
    )
    url = forms.URLField(
        label=_("Address"),
        max_length=LONGEST_URL,
        required=False,
        assume_scheme="https",
        help_text=_("Of the page, if it has one: answers link to it."),
    )
    upload = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file and file.size > LARGEST_PIECE:
            raise forms.ValidationError(_("Without JavaScript a file has at most 700 kB."))
        return file

    def clean(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().clean() or {}
        if not (fields.get("file") or fields.get("upload") or self.errors):
            self.add_error("file", _("Choose a file."))
        return fields

    def form_for(self, name: str) -> DocumentFormat | None:
        """Returns the chosen format, else that of the name; None if neither says it."""
        chosen = self.cleaned_data["form"]
        return DocumentFormat(chosen) if chosen else uploading.format_of(name)


class PieceForm(ConsoleForm):
    file = forms.FileField()
    piece = forms.IntegerField(min_value=0, max_value=2**31 - 1)


class QuestionForm(ConsoleForm):
    question = forms.CharField(
        label=_("Question"),
        max_length=LONGEST,
        help_text=_("It is a request of yours: limits, quotas and prices are those of the model."),
    )
