"""Records acts of people on their own accounts, in the trails of their tenants or the platform."""

import json
from typing import Any

from django.db import connection, transaction

from audit.actions import Action
from audit.models import Event
from audit.trail import unsealed_notes
from audit.trail.record import act
from audit.trail.request_origin import present_network
from tenants.models import Member, User
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
    """Records an act. `by`: an actor other than the person themselves.

    Each tenant of a member gets an event; acts of operators and unknown people are the platform's.
    There `user` of the detail says whose account it is, if the actor does not.
    """
    facts: dict[str, Any] = {"success": success, "client_net": client_net, "detail": detail or {}}
    with transaction.atomic():
        members: list[Member] = []
        if user and not user.is_operator:
            with person_scope(user.pk):
                members = list(Member.objects.of(user))
        for member in members:
            with tenant_scope(member.tenant_id):
                act(
                    action,
                    actor=by or member.actor,
                    tenant_id=member.tenant_id,
                    subject_id=member.subject_id,
                    **facts,
                )
        if user and not members and by in ("", user.actor):
            _record_own(action, user, facts)
            return
    if not members:
        if user:
            facts["detail"] = {**facts["detail"], "user": user.pk}
        with system_scope():  # the typed name is not recorded: it may be a password
            act(action, actor=by or "unknown", **facts)


def _record_own(action: Action, user: User, facts: dict[str, Any]) -> None:
    """Records in the platform's trail, which the person's scope cannot read (sql/own_acts.sql)."""
    columns = {**facts, "client_net": facts["client_net"] or present_network()}
    event = Event(action=Action(action), actor=user.actor, **columns)
    detail = json.dumps(event.detail)
    values: list[Any] = [event.action, event.actor, event.success, event.client_net, detail]
    with person_scope(user.pk), connection.cursor() as cursor:
        cursor.execute("select * from tenants_record_own_act(%s, %s, %s, %s, %s)", values)
        event.pk, event.at = cursor.fetchone()
        unsealed_notes.remember(event)
