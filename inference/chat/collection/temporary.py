"""Temporary chats: not listed, not searched, and deleted with all messages when they end.

They end when the person leaves them, and an hour after their last message at the latest. The record
of requests (docs/audit.md) is another thing: it has question and answer of each request, encrypted
under the person's key, for as long as the tenant keeps it, whatever page asked.
"""

from datetime import timedelta

from django.utils import timezone

from audit.retention import legal_hold
from audit.retention.legal_hold import OnHold
from inference.chat import conversations
from inference.models import Conversation
from tenants.models import Member, Team
from tenants.models.tenant import TemporaryChats

LIVES = timedelta(hours=1)  # after the last message
AT_ONCE = 500


def rule(member: Member) -> TemporaryChats:
    """Returns the tenant's rule; a team of the member may demand temporary chats on its own."""
    teams = Team.objects.filter(memberships__member=member, temporary_chats=True)
    if teams.exists():
        return TemporaryChats.ALWAYS
    return TemporaryChats(member.tenant.temporary_chats)


def is_temporary(member: Member, *, wanted: bool) -> bool:
    """Returns whether a chat that the member starts now is temporary."""
    by_rule = rule(member)
    return by_rule == TemporaryChats.ALWAYS or (wanted and by_rule == TemporaryChats.ALLOWED)


def delete_left_behind() -> int:
    """Delete those whose person has not ended them, in all tenants. Legal holds keep some.

    Those are left out, or they would fill each round, and the others would stay.
    """
    over = Conversation.objects.filter(temporary=True, updated_at__lt=timezone.now() - LIVES)
    over = over.exclude(legal_hold.holding_row(subject="member__subject_id"))
    deleted = 0
    for conversation in over.select_related("member").order_by("updated_at")[:AT_ONCE]:
        try:
            deleted += conversations.delete(conversation)
        except OnHold:
            continue
    return deleted
