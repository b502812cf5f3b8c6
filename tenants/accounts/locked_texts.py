"""Whoever makes a link that sets somebody's password could use it. So what its person wrote before
stays locked: conversations, the file with their own data, and, if their role has it, the right to
read other people's prompts. What they write from then on is theirs as always.

It opens when the owner proves a second factor that was there before the first such link was used,
or when an operator releases it who made none of the links. A link that a person made for themselves
locks nothing.
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
from tenants.models.api_key import ApiKey
from tenants.models.link import Link
from tenants.models.text_lock import TextLock
from tenants.models.user import User
from tenants.scope import person_scope


class NotReleased(Exception):
    """Nobody releases what a link of theirs has locked, or what is their own."""


def of(user: User) -> TextLock | None:
    return TextLock.objects.filter(user=user.pk).first()


def of_key(api_key_id: UUID) -> bool:
    """Whether the texts of somebody are locked who made, widened or rotated the key."""
    grantors = ApiKey.objects.filter(pk=api_key_id).values_list("grantors", flat=True).first() or []
    actors = [who.partition(":") for who in grantors]
    members = [UUID(number) for kind, _colon, number in actors if kind == "member"]
    return TextLock.objects.filter(user__memberships__in=members).exists()


def lock(user: User, link: Link) -> None:
    """Inside the transaction that uses the link."""
    if link.is_own(user):
        return
    now = timezone.now()
    found = of(user) or TextLock(user=user, since=now, made_by=[])
    found.before = now
    found.made_by = sorted({*found.made_by, link.created_by})
    found.save()
    person_acts.record(Action.TEXTS_LOCK, user, detail={"link_by": link.created_by})


def release(user: User, *, by: User | str) -> None:
    """By an operator or a command, once it is certain who holds the account: its sessions end, in
    case that was not so before. Idempotent. Raises NotReleased.
    """
    with transaction.atomic():
        with person_scope(user.pk):
            found = TextLock.objects.select_for_update().filter(user=user.pk).first()
        if isinstance(by, User) and found and made_by(found, by):
            raise NotReleased
        if found:
            _open(found, by=by.actor if isinstance(by, User) else by, how="released")
            end_sessions(user)


def made_by(found: TextLock, operator: User) -> bool:
    """Whether they made one of its links, in whatever part and with whatever key; or own it.

    In the scope of the links' tenant.
    """
    theirs = {operator.actor, f"user:{operator.pk}"}
    with person_scope(operator.pk):
        theirs |= {member.actor for member in operator.memberships.all()}
    theirs |= {key.actor for key in ApiKey.objects.filter(grantors__overlap=sorted(theirs))}
    return found.user_id == operator.pk or not theirs.isdisjoint(found.made_by)


def when_proven(user: User, authenticator: Authenticator, **about: Any) -> None:
    """One that was added since may be anybody's."""
    with transaction.atomic():
        found = TextLock.objects.select_for_update().filter(user=user.pk).first()
        if found and authenticator.created_at < found.since:
            _open(found, by="", how="second factor")


def _open(found: TextLock, *, by: str, how: str) -> None:
    person_acts.record(Action.TEXTS_RELEASE, found.user, by=by, detail={"how": how})
    with person_scope(found.user_id):
        found.delete()


def connect() -> None:
    authenticator_used.connect(when_proven, dispatch_uid="tenants.accounts.locked_texts")
