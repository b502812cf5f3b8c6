"""Locks a person's older texts after a link by somebody else has set their password.

The maker of such a link could have used it. Therefore the person's earlier conversations, the file
with their own data and, if their role has it, the right to read other people's prompts stay locked.
Later texts are not affected.

The lock opens when the person proves a second factor that is older than the first use of such a
link, or when an operator releases it who made none of the links. A link that a person made for
themselves locks nothing.
"""

from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_used
from django.db import transaction
from django.utils import timezone

from audit.actions import Action
from tenants.accounts import person_acts
from tenants.accounts.sessions import end_sessions
from tenants.models import ApiKey, Link, TextLock, User
from tenants.scope import person_scope


class NotReleased(Exception):
    """An operator may not release a lock by their own link, or their own lock."""


def of(user: User) -> TextLock | None:
    return TextLock.objects.filter(user=user.pk).first()


def of_key(api_key_id: UUID) -> bool:
    """Returns True if the texts of somebody are locked who made, widened or rotated the key."""
    grantors = ApiKey.objects.filter(pk=api_key_id).values_list("grantors", flat=True).first() or []
    actors = [who.partition(":") for who in grantors]
    members = [UUID(number) for kind, _colon, number in actors if kind == "member"]
    return TextLock.objects.filter(user__memberships__in=members).exists()


def lock(user: User, link: Link) -> None:
    """Locks the texts, in the transaction that uses the link."""
    if link.is_own(user):
        return
    now = timezone.now()
    text_lock = of(user) or TextLock(user=user, since=now, made_by=[])
    text_lock.before = now
    text_lock.made_by = sorted({*text_lock.made_by, link.created_by})
    text_lock.save()
    person_acts.record(Action.TEXTS_LOCK, user, detail={"link_by": link.created_by})


def release(user: User, *, by: User | str) -> None:
    """Releases a lock, by an operator or a command that is certain of the person's identity.

    Ends the account's sessions, which might not be that person's. Idempotent. Raises NotReleased.
    """
    with transaction.atomic():
        with person_scope(user.pk):
            text_lock = TextLock.objects.select_for_update().filter(user=user.pk).first()
        if isinstance(by, User) and text_lock and made_by(text_lock, by):
            raise NotReleased
        if text_lock:
            _open(text_lock, by=by.actor if isinstance(by, User) else by, how="released")
            end_sessions(user)


def made_by(text_lock: TextLock, operator: User) -> bool:
    """Returns True if the operator made one of the links, in any role or by a key, or has it.

    Runs in the scope of the links' tenant.
    """
    actors = {operator.actor, f"user:{operator.pk}"}
    with person_scope(operator.pk):
        actors |= {member.actor for member in operator.memberships.all()}
    actors |= {key.actor for key in ApiKey.objects.filter(grantors__overlap=sorted(actors))}
    return text_lock.user_id == operator.pk or not actors.isdisjoint(text_lock.made_by)


def open_if_proven(user: User, authenticator: Authenticator, **about: Any) -> None:
    """Opens the lock for a factor that is older than the lock; a newer one may be anybody's."""
    with transaction.atomic():
        text_lock = TextLock.objects.select_for_update().filter(user=user.pk).first()
        if text_lock and authenticator.created_at < text_lock.since:
            _open(text_lock, by="", how="second factor")


def _open(text_lock: TextLock, *, by: str, how: str) -> None:
    person_acts.record(Action.TEXTS_RELEASE, text_lock.user, by=by, detail={"how": how})
    with person_scope(text_lock.user_id):
        text_lock.delete()


def connect() -> None:
    authenticator_used.connect(open_if_proven, dispatch_uid="tenants.accounts.text_lock")
