"""The sources from which people import versions, as the API and the console name them."""

from dataclasses import dataclass
from typing import Any, Literal

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from inference.log_translation import in_words
from inference.model_registry.headers.header import BadFile
from inference.model_registry.sources import git, uploads
from inference.model_registry.sources.folders import folder_of
from inference.model_registry.sources.hosts import url_refusal

KINDS = ("folder", "https", "git", "files")


@dataclass(frozen=True, slots=True)
class Source:
    """The place of the files. `sha256` is of one file, `revision` of a git repository.

    `files` are ids of uploaded files, which the caller has found to be the tenant's.
    """

    type: Literal["folder", "https", "git", "files"]
    url: str = ""
    path: str = ""  # in a folder of FOREBAY_MODELS, or of a repository
    sha256: str = ""
    revision: str = "HEAD"
    files: tuple[str, ...] = ()

    def check(self, *, by_tenant: bool) -> None:
        """Raises ValidationError."""
        if self.type == "folder":
            self._check_folder(by_tenant=by_tenant)
        elif self.type == "files":
            self._check_files(by_tenant=by_tenant)
        elif refusal := url_refusal(self.url, by_tenant=by_tenant):
            raise ValidationError({"url": in_words(refusal)})
        elif self.type == "https" and not _is_digest(self.sha256):
            raise ValidationError(
                {"sha256": _("Give the SHA-256 of the file: 64 digits, 0-9 a-f.")}
            )
        elif self.type == "git" and not git.REVISION.fullmatch(self.revision):
            raise ValidationError({"revision": _("Give a branch, a tag or the id of a commit.")})

    def _check_folder(self, *, by_tenant: bool) -> None:
        if by_tenant:
            raise ValidationError(_("Only operators import from folders of this machine."))
        try:
            folder_of(self.path)
        except BadFile as problem:
            raise ValidationError({"path": in_words(str(problem))}) from None

    def _check_files(self, *, by_tenant: bool) -> None:
        if not by_tenant:
            raise ValidationError(_("Operators import from folders of this machine instead."))
        if not 1 <= len(self.files) <= uploads.MOST_FILES:
            text = _("Name 1 to %d uploaded files.") % uploads.MOST_FILES
            raise ValidationError({"files": text})
        if self.sha256 and (len(self.files) > 1 or not _is_digest(self.sha256)):
            text = _("Give the SHA-256 of the file: 64 digits, 0-9 a-f.")
            raise ValidationError({"sha256": text})

    @property
    def row(self) -> dict[str, Any]:
        """Returns the fields that count for its type."""
        fields = {
            "files": ("files", "sha256"),
            "folder": ("path",),
            "https": ("url", "sha256"),
            "git": ("url", "revision", "path"),
        }
        return {"type": self.type, **{name: getattr(self, name) for name in fields[self.type]}}


def _is_digest(text: str) -> bool:
    return len(text) == 64 and set(text.lower()) <= set("0123456789abcdef")
