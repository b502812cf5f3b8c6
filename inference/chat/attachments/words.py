"""Refusals of attachments: what is wrong with a file, and what to do."""

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from inference.chat.problems import ChatRefused
from inference.chat.protocol import Problem
from inference.text_extraction.unreadable import UnreadableDocument

_TEXTS: dict[str, Promise] = {
    # Of its content
    "encrypted": _(
        "“%(name)s” is protected by a password. Save a copy without one, and attach it."
    ),
    "broken": _(
        "“%(name)s” cannot be read: the file is damaged. Save it anew, and attach it again."
    ),
    "other_content": _(
        "“%(name)s” is not what its name says. Give the file the ending of its real type."
    ),
    "no_text": _(
        "“%(name)s” has no text. If it is a scan, run text recognition (OCR) over it first, or "
        "attach pictures of its pages to a model that takes images."
    ),
    "too_much_text": _(
        "“%(name)s” has more than 1,000,000 characters of text. Attach a part of it."
    ),
    "too_many_pages": _("“%(name)s” has more than 1,000 pages. Attach a part of it."),
    "too_many_pixels": _("“%(name)s” has more than 50 megapixels. Make the image smaller."),
    "too_demanding": _(
        "Reading “%(name)s” takes too much time or memory. Attach a part of it, or its text alone."
    ),
    "unpacks_too_large": _(
        "“%(name)s” unpacks to far more than its size. Save it anew, or attach its text alone."
    ),
    "not_text": _("“%(name)s” is not text. Attach it as PDF or DOCX, or its text alone."),
    "encoding": _("The characters of “%(name)s” are in an unknown encoding. Save it as UTF-8."),
    # Of its name and size
    "office_type": _(
        "Files of the type of “%(name)s” are not read. Save it as PDF or DOCX, a table as CSV."
    ),
    "wrong_type": _(
        "Files of the type of “%(name)s” cannot be attached. Text, Markdown, code, CSV, PDF, DOCX, "
        "PNG, JPEG and WebP can."
    ),
    "empty": _("“%(name)s” is empty."),
    "too_large": _(
        "“%(name)s” has %(size)s MB; a file may have %(most)s MB at most. Attach a part of it."
    ),
    # Of others
    "reading_busy": _("Other files are being read right now. Try again in a moment."),
    "person_full": _(
        "You have files that are not sent yet, up to the limit of %(files)d files or %(most)s MB. "
        "Send or remove some first."
    ),
    "tenant_full": _(
        "Your tenant has too many files that are not sent yet. Try again later: they are deleted "
        "after 24 hours."
    ),
    # Of a message with it
    "attachment_gone": _(
        "A file of this message is gone: files that are not sent within 24 hours are deleted. "
        "Attach it again."
    ),
    "too_many_attachments": _("A message may have %(most)d files at most."),
    "no_images": _(
        "%(model)s does not take images. Choose a model that does, or remove the image."
    ),
    "does_not_fit": _(
        "This is about %(over)s tokens more than %(model)s can read at once. Remove a file, attach "
        "a part of it, or choose a model with a larger context."
    ),
}


def refused(code: str, **values: Any) -> ChatRefused:
    return ChatRefused(code, Problem(code, str(_TEXTS[code]) % values))


def unreadable(problem: UnreadableDocument, name: str) -> ChatRefused:
    return refused(problem.code, name=name)
