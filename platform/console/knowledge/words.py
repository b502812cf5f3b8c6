"""Words for the refusals and failures of knowledge bases, on pages and in the management API."""

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from inference.knowledge import uploading
from inference.knowledge.deleting import OnHold
from inference.knowledge.storage_limit import BaseFull, StorageFull, TooLarge
from inference.knowledge.vectors import NoVectors

ON_HOLD = _("A legal hold keeps this: it can be deleted or replaced after its release.")
TOO_LARGE = _("This document is larger than a document may be: split it.")
BASE_FULL = _("This knowledge base is full: delete documents, or create another base.")
STORAGE_FULL = _("The tenant's knowledge bases are full: delete documents, or ask an operator.")
UPLOAD_IS_OVER = _("This upload is complete, or was given up.")
EMPTY = _("This document is empty.")
DUPLICATE = _("The base has this content already, as “%s”.")
UNKNOWN_FORMAT = _("Say the format: the name of the document does not show it.")
NO_INFERENCE = _("This key may not ask models: uploads and questions need the scope “inference”.")

REFUSALS: dict[type[Exception], Any] = {
    OnHold: ON_HOLD,
    TooLarge: TOO_LARGE,
    BaseFull: BASE_FULL,
    StorageFull: STORAGE_FULL,
    uploading.NotUploading: UPLOAD_IS_OVER,
    uploading.EmptyUpload: EMPTY,
}
STATUSES: dict[type[Exception], tuple[int, str, str | Promise]] = {
    OnHold: (409, "on_hold", ON_HOLD),
    TooLarge: (413, "too_large", TOO_LARGE),
    BaseFull: (409, "base_full", BASE_FULL),
    StorageFull: (409, "storage_full", STORAGE_FULL),
    NoVectors: (409, "no_pgvector", ""),
    uploading.NotUploading: (409, "conflict", UPLOAD_IS_OVER),
    uploading.EmptyUpload: (400, "empty", EMPTY),
}
PROBLEMS: dict[str, str | Promise] = {
    "encoding": _("Its characters cannot be read: save it as UTF-8."),
    "not_text": _("It is no text."),
    "html": _("It is no HTML page."),
    "csv": _("It is no CSV table."),
    "faq_header": _("Its first line has no columns “question” and “answer”."),
    "no_text": _("It has no text."),
    "no_entries": _("It has no entry with a question and an answer."),
    "too_many_passages": _("It is too long: split it."),
    "other_dimensions": _("The model makes other vectors than before: create a new base."),
    "access_revoked": _("Whoever uploaded it may not ask models any more: upload it again."),
    "tenant_closed": _("The tenant was closed."),
    "on_hold": ON_HOLD,
    "unreadable": _("Its key is gone."),
    "broken_off": _("Reading it broke off five times: ask an operator to look at the log."),
    "insufficient_scope": NO_INFERENCE,
    "model_not_found": _("The model of the base is not served any more."),
}
