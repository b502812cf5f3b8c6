"""What pages and the management API say of data sets."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from inference.data_sets.deleting import OnHold
from inference.data_sets.selecting import NotAllowed
from inference.data_sets.storage_limit import StorageFull, TooLarge
from inference.data_sets.uploading import NotUploading

ON_HOLD = _("A legal hold keeps this data until it ends.")
NOT_ALLOWED = _("This tenant does not let its recorded conversations be used.")
TOO_LARGE = _("The data set has reached its largest size.")
STORAGE_FULL = _("The data sets of this tenant are full. Delete some.")
UPLOAD_IS_OVER = _("Nothing can be added: the upload is complete.")
REFUSALS: dict[type[Exception], Promise] = {
    OnHold: ON_HOLD,
    NotAllowed: NOT_ALLOWED,
    TooLarge: TOO_LARGE,
    StorageFull: STORAGE_FULL,
    NotUploading: UPLOAD_IS_OVER,
}
_PROBLEMS: dict[str, Promise] = {
    "abandoned": _("The upload was never completed."),
    "archive_broken": _("The archive is broken."),
    "archive_encrypted": _("The archive needs a password, or another program."),
    "archive_too_large": _("The archive unpacks to too much."),
    "broken_off": _("Reading it was broken off each time."),
    "no_rows": _("There is no row that can be used."),
    "not_allowed": NOT_ALLOWED,
    "source_gone": _("The file was deleted before it was read."),
    "source_unreadable": _("The file cannot be read any more."),
    "storage_full": STORAGE_FULL,
    "too_large": TOO_LARGE,
    "too_many_problems": _("Nearly no row can be used."),
}
_LEFT_OUT: dict[str, Promise] = {
    "bad_role": _("A message has no role, or an unknown one"),
    "content_not_text": _("A message has something else than text"),
    "empty": _("Empty page"),
    "erased_person": _("Rows of people who are erased or restricted"),
    "no_assistant": _("A chat without an answer of the assistant"),
    "no_messages": _("A chat without messages"),
    "no_text": _("No text"),
    "not_a_file": _("Link or device in the archive"),
    "not_a_page": _("Other files of the archive"),
    "not_an_object": _("No JSON object"),
    "not_json": _("No JSON"),
    "not_utf8": _("Not encoded as UTF-8"),
    "source_not_text": _("The source is no text"),
    "too_long": _("Longer than 4 MiB"),
    "too_many_values": _("Too many values"),
    "unknown_field": _("An unknown field"),
    "unknown_person": _("A person who is no member"),
    "unsafe_name": _("A name that leads out of the archive"),
}


def problem(code: str) -> str:
    """Returns why a version failed, "" if it did not."""
    return str(_PROBLEMS.get(code, code))


def left_out(code: str) -> str:
    """Returns why a row was left out."""
    return str(_LEFT_OUT.get(code, code))
