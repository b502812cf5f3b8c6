"""Mails links: of invitations, and for a new password.

Until it is sent, a link's URL is encrypted in the outbox. A person who forgot their password names
an address on a page for everybody. The page only stores it; whether it has an account is looked at
later, so neither its words nor its time tell.
"""

from hashlib import sha256

from django.conf import settings
from django.core.cache import cache
from django.utils import timezone
from django.utils.translation import get_language

from tenants.accounts import password_reset
from tenants.models import Link, Notice, NoticeState, User
from tenants.models.link import Purpose
from tenants.notices.wording import language_of

DAY_S = 86_400
TO_AN_ADDRESS, OF_A_TENANT = 5, 1_000  # mails with links of a tenant within a day
FORGOTTEN, RESET, INVITATION = "password.forgotten", "password.reset", "invitation.sent"


def mail_link(url: str) -> bool:
    """Mail a link that was just made to its address. Returns False without a mail server.

    Who has no account yet gets it in the language of the person who invites. It also returns False
    where a tenant has sent too many, so that nobody is flooded through us.
    """
    link = Link.objects.by_token(url.rstrip("/").rpartition("/")[2])
    if not settings.MAIL or link is None or _sent_too_many(link):
        return False
    is_invitation = link.purpose == Purpose.INVITATION
    user = User.objects.filter(email=link.email.lower()).first()
    notice = Notice(
        tenant=link.tenant,
        link=link,
        event=INVITATION if is_invitation else RESET,
        occasion=f"link:{link.pk}",
        facts={"expires_at": link.expires_at.isoformat()},
        language=language_of(user) if user else get_language() or settings.LANGUAGE_CODE,
    )
    notice.keep_secret(url)
    notice.save(force_insert=True)
    return True


def _sent_too_many(link: Link) -> bool:
    """Counts the mails of a tenant on this day of UTC, to this address and in all.

    Without Redis nothing is counted.
    """
    to_address = f"{link.tenant_id}|{link.email.lower()}"
    return bool(link.tenant_id) and any(
        [_is_over(to_address, TO_AN_ADDRESS), _is_over(str(link.tenant_id), OF_A_TENANT)]
    )


def _is_over(sender: str, most: int) -> bool:
    day = int(timezone.now().timestamp()) // DAY_S
    key = f"links-mailed:{day}:{sha256(sender.encode()).hexdigest()}"
    count = int(cache.get(key, 0)) + 1
    cache.set(key, count, DAY_S)
    return count > most


def ask_for_reset(address: str, language: str) -> None:
    """Note that somebody forgot the password of an address, which may have no account."""
    notice = Notice(event=FORGOTTEN, occasion="forgotten", language=language)
    notice.keep_secret(address)
    notice.save(force_insert=True)


def resolve(notice: Notice) -> None:
    """Make a link for an address, or forget it if no account has a password there."""
    address = notice.clear_secret()
    user = User.objects.filter(email=address.lower(), is_active=True).first()
    if user is None or not user.has_usable_password():
        notice.delete()
        return
    url = password_reset.issue_by_mail(user)
    link = Link.objects.by_token(url.rstrip("/").rpartition("/")[2])
    assert link
    notice.link, notice.event, notice.occasion = link, RESET, f"link:{link.pk}"
    notice.facts = {"expires_at": link.expires_at.isoformat()}
    notice.language = language_of(user) if notice.language == "" else notice.language
    notice.keep_secret(url)
    notice.save()


def is_over(notice: Notice) -> bool:
    """Returns True if the link of a notice can no longer be used."""
    link = notice.link
    return bool(link and (link.used_at or link.expires_at <= timezone.now()))


def waiting_resets() -> list[Notice]:
    rows = Notice.objects.filter(event=FORGOTTEN, state=NoticeState.WAITING)
    return list(rows.order_by("created_at")[:100])
