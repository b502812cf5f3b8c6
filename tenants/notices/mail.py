"""Sends notices to mailboxes over SMTP: text and HTML, in the person's language.

Each try of a notice has the same Message-ID, so a mailbox that got it twice shows that.
"""

import logging
import smtplib
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation

from tenants.models import Notice
from tenants.notices.events import ALWAYS_MAILED, EVENTS
from tenants.notices.wording import Message, language_of, message

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one try. `reason` is empty if it was delivered; a `final` one is the last.

    `wait_s` is how long the receiver asks not to be tried again.
    """

    reason: str = ""
    status: int | None = None
    final: bool = False
    wait_s: float = 0.0


def connection() -> BaseEmailBackend:
    return get_connection()


def address_of(notice: Notice) -> str:
    if notice.user:
        return notice.user.email
    return notice.link.email if notice.link else ""


def send(notice: Notice, server: BaseEmailBackend) -> Outcome:
    words = in_words(notice)
    address = address_of(notice)
    if not settings.MAIL:
        log.info("no mail server: %s to %s is not sent: %s", notice.event, notice.id, words.title)
        return Outcome("no_mail_server", final=True)
    try:
        server.send_messages([_mail(notice, words, address)])
    except smtplib.SMTPRecipientsRefused as problem:
        status = max((code for code, _text in problem.recipients.values()), default=0)
        return Outcome("recipient_refused", status, final=status >= 500)
    except smtplib.SMTPAuthenticationError as problem:
        return Outcome("sign_in_refused", problem.smtp_code)
    except smtplib.SMTPResponseException as problem:
        return Outcome("refused", problem.smtp_code)
    except (smtplib.SMTPException, OSError) as problem:
        log.warning("the mail server does not answer: %s", type(problem).__name__)
        return Outcome("unreachable")
    return Outcome(status=250)


def in_words(notice: Notice) -> Message:
    language = notice.language or language_of(notice.user)
    return message(notice, language, url=notice.clear_secret())


def _mail(notice: Notice, words: Message, address: str) -> EmailMultiAlternatives:
    host = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    with translation.override(words.language):
        context = {
            "message": words,
            "always": EVENTS[notice.event].group in ALWAYS_MAILED,
            "preferences": settings.PUBLIC_URL + reverse("console:notice_preferences"),
            "platform": settings.PUBLIC_URL,
        }
        text = render_to_string("notices/mail.txt", context)
        html = render_to_string("notices/mail.html", context)
    headers = {
        "Message-ID": f"<{notice.id}@{host}>",
        "Date": formatdate(notice.created_at.timestamp()),
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }
    mail = EmailMultiAlternatives(words.title, text, to=[address], headers=headers)
    mail.attach_alternative(html, "text/html")
    return mail
