"""Forms of versions of models: import one, promote one."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from console.forms import ConsoleForm
from console.serving.forms import KeyField, OptionsField, is_url
from inference.model_registry.source import Source
from inference.models import Engine, ModelVersion, VersionKind
from inference.models.model_version import LONGEST_CARD, LONGEST_LICENCE, LONGEST_NAME
from inference.models.prompt_template import is_name

_SOURCES = (
    ("https", _("A file or archive by https")),
    ("git", _("A git repository by https")),
    ("files", _("A file or archive of this computer")),
    ("folder", _("A folder, file or archive of the server")),
)
_OTHERS = {True: "files", False: "folder"}  # what operators have not, what tenants have not
LARGEST_PIECE = 700_000  # bytes: a form has at most 1 MiB (config/pages/handler.py)
_MOST_PARENTS_SHOWN = 200


class ImportForm(ConsoleForm):
    """The import of a version. Tenants upload files; operators have folders of the server.

    A script uploads a file in pieces before and sends `upload` in its place.
    """

    name = forms.CharField(
        label=_("Name"),
        max_length=LONGEST_NAME,
        validators=[is_name],
        help_text=_("The version gets the next number of this name."),
    )
    kind = forms.ChoiceField(label=_("Kind"), choices=VersionKind.choices)
    url = forms.CharField(
        label=_("Address"),
        max_length=2000,
        required=False,
        help_text=_("Begins with https://. Tenants import from the hosts that the operator names."),
    )
    sha256 = forms.CharField(
        label="SHA-256",
        max_length=64,
        required=False,
        help_text=_("Of a file by https: 64 digits, 0-9 a-f."),
    )
    revision = forms.CharField(
        label=_("Revision"),
        max_length=200,
        required=False,
        help_text=_("Of a git repository: a branch, a tag or the id of a commit."),
    )
    path = forms.CharField(
        label=_("Folder"),
        max_length=500,
        required=False,
        help_text=_("In the repository, or in a folder of FOREBAY_MODELS."),
    )
    file = forms.FileField(
        label=_("File"),
        required=False,
        help_text=_("Weights, or an archive (tar, zip) with all files of the model."),
    )
    upload = forms.UUIDField(required=False, widget=forms.HiddenInput)
    licence = forms.CharField(
        label=_("Licence"),
        max_length=LONGEST_LICENCE,
        required=False,
        help_text=_("Empty: as the files say."),
    )
    card = forms.CharField(
        label=_("Card"),
        max_length=LONGEST_CARD,
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("What it is for. Empty: the README of the files."),
    )

    def __init__(
        self, data: Any, files: Any, visible: QuerySet[ModelVersion], *, folders: bool = False
    ) -> None:
        super().__init__(data, files)
        choices = [each for each in _SOURCES if each[0] != _OTHERS[folders]]
        self.fields["type"] = forms.ChoiceField(label=_("Source"), choices=choices)
        parents = [(row.pk, str(row)) for row in visible[:_MOST_PARENTS_SHOWN]]
        self.fields["parents"] = forms.MultipleChoiceField(
            label=_("Made from"), choices=parents, required=False
        )
        if folders:
            del self.fields["file"], self.fields["upload"]
        self.order_fields(["name", "kind", "type", "file"])

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file and file.size > LARGEST_PIECE:
            raise forms.ValidationError(_("Without JavaScript a file has at most 700 kB."))
        return file

    def clean(self) -> dict[str, Any]:
        fields = self.cleaned_data
        is_upload = fields.get("type") == "files" and "file" not in self.errors
        if is_upload and not (fields["file"] or fields["upload"]):
            self.add_error("file", _("Choose a file."))
        return fields

    def source(self, files: tuple[str, ...] = ()) -> Source:
        names = ("type", "url", "path", "sha256", "revision")
        fields = {name: self.cleaned_data[name] for name in names}
        return Source(**{name: value for name, value in fields.items() if value}, files=files)

    @property
    def values(self) -> dict[str, Any]:
        names = ("name", "licence", "card", "parents")
        values = {name: self.cleaned_data[name] for name in names}
        return {**values, "kind": VersionKind(self.cleaned_data["kind"])}


class PieceForm(ConsoleForm):
    piece = forms.IntegerField(min_value=0, max_value=2**31 - 1)
    file = forms.FileField()

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > LARGEST_PIECE:
            raise forms.ValidationError(_("A piece has 1 to %d bytes.") % LARGEST_PIECE)
        return file


class PromotionForm(ConsoleForm):
    url = forms.CharField(
        label=_("Address"),
        required=False,
        max_length=500,
        validators=[is_url],
        help_text=_("Of a server that has this version. Empty: Forebay starts it."),
    )
    api_key = KeyField()
    options = OptionsField(
        label=_("Options as JSON"),
        required=False,
        help_text=_("They are added to those of the old one; null takes one away."),
    )
    keeps_old = forms.BooleanField(
        label=_("Keep the old one for a rollback"), required=False, initial=True
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, auto_id="promotion_%s")
        engines = Engine.objects.filter(staged=False).select_related("pool__model")
        self.fields["engine"] = forms.ModelChoiceField(
            engines, label=_("Engine"), help_text=_("The one whose place it takes.")
        )
        self.order_fields(["engine"])

    @property
    def changes(self) -> dict[str, Any]:
        """Returns the fields of the new engine as `promote` takes them."""
        names = ("url", "api_key", "options")
        return {name: self.cleaned_data[name] for name in names if self.cleaned_data[name]}
