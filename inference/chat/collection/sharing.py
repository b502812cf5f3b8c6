"""Frozen copies of conversations for others: people of the tenant, or everybody with a link.

The tenant's rule (Tenant.chat_sharing) decides at each view, so a stricter one holds at once. The
address has a token, of which only the hash is stored: it is shown once, when the copy is made.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.urls import reverse
from django.utils import timezone

from audit.actions import Action
from audit.keys.keyring import Unreadable, keyring
from inference.chat.collection.transcript import Transcript, decoded, frozen, transcript
from inference.chat.conversations import LOCKED, record, title_of
from inference.chat.membership import CHATTING, membership
from inference.chat.problems import ChatRefused
from inference.models import Audience, Conversation, ConversationShare
from tenants.models import Member, User
from tenants.models.tenant import Sharing, State
from tenants.scope import person_scope, system_scope, tenant_scope

DAYS = (1, 7, 30, 90)
MOST = 100  # of a member
_BY_RULE = {
    Sharing.NOBODY: (),
    Sharing.MEMBERS: (Audience.MEMBERS,),
    Sharing.LINKS: (Audience.MEMBERS, Audience.LINK),
}


def audiences(rule: str) -> tuple[Audience, ...]:
    """Returns for whom the members of a tenant with this rule may share."""
    return _BY_RULE[Sharing(rule)]


def of_member(member: Member) -> QuerySet[ConversationShare]:
    """Returns a member's copies that have not expired and are not locked, newest first."""
    owned = ConversationShare.objects.filter(tenant_id=member.tenant_id, member=member)
    present = owned.filter(~LOCKED, expires_at__gt=timezone.now())
    return present.select_related("conversation").order_by("-created_at")


def share(
    conversation: Conversation, audience: Audience, days: int
) -> tuple[ConversationShare, str]:
    """Returns the copy of the shown branch, and its address. Raises ChatRefused, Barred."""
    member = conversation.member
    if audience not in audiences(member.tenant.chat_sharing) or conversation.temporary:
        raise ChatRefused("sharing_off")
    if of_member(member).count() >= MOST:
        raise ChatRefused("too_many_shares")
    token, now = secrets.token_urlsafe(32), timezone.now()
    copy = ConversationShare(
        tenant_id=conversation.tenant_id,
        conversation=conversation,
        member=member,
        audience=audience,
        digest=_digest(token),
        expires_at=now + timedelta(days=days),
    )
    _freeze(copy, transcript(conversation, now))
    with transaction.atomic():
        copy.save(force_insert=True)
        expires_at = copy.expires_at.isoformat()
        detail = {"share": str(copy.pk), "audience": audience, "expires_at": expires_at}
        record(Action.CONVERSATION_SHARE, conversation, **detail)
    return copy, settings.PUBLIC_URL + reverse("chat:shared", args=[token])


def withdraw(copy: ConversationShare) -> None:
    """Delete the copy: its address leads nowhere from now on."""
    with transaction.atomic():
        detail = {"share": str(copy.pk), "views": copy.views}
        record(Action.CONVERSATION_UNSHARE, copy.conversation, **detail)
        copy.delete()


def listed(copy: ConversationShare) -> dict[str, Any]:
    return {
        "id": copy.pk,
        "title": title_of(copy.conversation),
        "audience": copy.audience,
        "audience_label": copy.get_audience_display(),
        "created_at": copy.created_at,
        "expires_at": copy.expires_at,
        "views": copy.views,
    }


def delete_expired() -> int:
    """Delete expired copies of all tenants. Returns how many."""
    count, _by_table = ConversationShare.objects.filter(expires_at__lte=timezone.now()).delete()
    return count


# Views -------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class SharedCopy:
    transcript: Transcript
    audience: str
    expires_at: datetime


def opened(token: str, user: User | None) -> SharedCopy | None:
    """Returns the copy if this person, or nobody in particular, may see it, and counts the view."""
    with system_scope():  # the token alone says whose tenant it is
        rows = ConversationShare.objects.filter(digest=_digest(token))
        copy = rows.select_related("tenant", "member__user").first()
    if copy is None or not _may_see(copy, user):
        return None
    with tenant_scope(copy.tenant_id):
        try:
            content = _content(copy)
        except Unreadable:  # the person was erased, or asked that nothing be processed
            return None
        _count_view(copy.pk)
    return SharedCopy(content, copy.audience, copy.expires_at)


def _may_see(copy: ConversationShare, user: User | None) -> bool:
    if copy.expires_at <= timezone.now() or copy.tenant.state != State.ACTIVE:
        return False
    if copy.member.role not in CHATTING or not copy.member.user.is_active:
        return False
    allowed = audiences(copy.tenant.chat_sharing)
    if copy.audience == Audience.LINK and Audience.LINK in allowed:
        return True
    if user is None or not allowed:
        return False
    with person_scope(user.pk):
        return membership(user, copy.tenant.name) is not None


def _count_view(copy_id: UUID) -> None:
    views = ConversationShare.objects.filter(pk=copy_id)
    views.update(views=F("views") + 1, viewed_at=timezone.now())


# Texts -------------------------------------------------------------------------------------------
def _freeze(copy: ConversationShare, document: Transcript) -> None:
    cipher = keyring.of_subject_now(copy.tenant_id, copy.member.subject_id)
    copy.data_key_id = cipher.key_id
    copy.ciphertext = cipher.encrypt(frozen(document), _aad(copy))


def _content(copy: ConversationShare) -> Transcript:
    cipher = keyring.by_id_now(copy.data_key_id)
    return decoded(cipher.decrypt(bytes(copy.ciphertext), _aad(copy)))


def _aad(copy: ConversationShare) -> bytes:
    return b"inference_conversationshare|%b|%b" % (copy.tenant_id.bytes, copy.pk.bytes)


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
