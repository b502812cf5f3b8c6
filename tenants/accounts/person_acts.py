"""What a person did with their own account, on record where those can find it who must."""

import json
from typing import Any, TypedDict

from django.db import connection, transaction

from audit.actions import Action
from audit.models import Event
from audit.trail import pending
from audit.trail.acting_from import present_network
from audit.trail.record import act
from tenants.models.member import Member
from tenants.models.user import User
from tenants.scope import person_scope, system_scope, tenant_scope


def record(
    action: Action,
    user: User | None,
    *,
    by: str = "",
    success: bool = True,
    client_net: str | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """`by`: an actor, where it is not the person themselves.

    A member's tenants each get their own event; operators and strangers the platform's.
    """
    told: _Told = {"success": success, "client_net": client_net, "detail": detail or {}}
    with transaction.atomic():
        members = _memberships(user) if user and not user.is_operator else []
        for member in members:
            with tenant_scope(member.tenant_id):
                act(
                    action,
                    actor=by or member.actor,
                    tenant_id=member.tenant_id,
                    subject_id=member.subject_id,
                    **told,
                )
        if user and not members and by in ("", user.actor):
            _own(action, user, told)
            return
    if not members:
        with system_scope():  # what was typed is not kept: it may be a password
            act(action, actor=by or "unknown", **told)


class _Told(TypedDict):
    success: bool
    client_net: str | None
    detail: dict[str, Any]


def _memberships(user: User) -> list[Member]:
    with person_scope(user.pk):
        return list(Member.objects.of(user))


def _own(action: Action, user: User, told: _Told) -> None:
    """On the platform's record, where a person's own scope shows nothing (sql/own_acts.sql)."""
    facts = {**told, "client_net": told["client_net"] or present_network()}
    event = Event(action=Action(action), actor=user.actor, **facts)
    values: list[Any] = [
        event.action,
        event.actor,
        event.success,
        event.client_net,
        json.dumps(event.detail),
    ]
    with person_scope(user.pk), connection.cursor() as cursor:
        cursor.execute("select * from tenants_record_own_act(%s, %s, %s, %s, %s)", values)
        event.pk, event.at = cursor.fetchone()
        pending.remember(event)
