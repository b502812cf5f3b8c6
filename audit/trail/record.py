"""Writes the trail: `act` for acts of people, and SQL for requests.

`act` runs in the caller's transaction, so an act and its event are committed together or not at
all. RECEIVED and COMPLETED are parts of larger statements (group_commit.py): each is a list of CTEs
over a relation with at least the columns listed beside it. RECEIVED reads `opened`, the new
requests, COMPLETED reads `j`, those that end. Therefore no row can exist already, and none is
looked up, which in a partitioned table would cost a tenth of the statement.
"""

from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.models import Event
from audit.trail import unsealed_notes
from audit.trail.request_origin import present_key, present_network

LONGEST_REASON = 500
RECEIVED_COLUMNS = """
    id uuid, at timestamptz, tenant_id uuid, actor text, subject_id uuid, api_key_id uuid,
    client_net inet, route text, model text, data_key_id uuid, request text,
    payload_sha256 text"""
RECEIVED = f"""
    received as (
        insert into audit_event (at, action, tenant_id, request_id, actor, subject_id, api_key_id,
                                 client_net, route, model, upstream, success, error_code,
                                 payload_sha256, detail)
        select at, '{Action.COMPLETION_RECEIVED}', tenant_id, id, actor, subject_id, api_key_id,
               client_net, route, model, '', true, '', decode(payload_sha256, 'hex'), '{{}}'
        from opened),
    request_text as (
        insert into audit_payload (at, tenant_id, request_id, field, data_key_id, ciphertext)
        select at, tenant_id, id, 'request', data_key_id, decode(request, 'base64')
        from opened)"""

COMPLETED_COLUMNS = """
    id uuid, at timestamptz, tenant_id uuid, actor text, subject_id uuid, api_key_id uuid,
    client_net inet, route text, model text, upstream text, status int, error_code text,
    response_length int, processing_ms int, tokens_in int, tokens_out int, data_key_id uuid,
    response text, payload_sha256 text, preemptions int, engine text, adapter text,
    adapter_version text"""
COMPLETED = f"""
    completed as (
        insert into audit_event (at, action, tenant_id, request_id, actor, subject_id, api_key_id,
                                 client_net, route, model, upstream, success, status, error_code,
                                 response_length, processing_ms, tokens_in, tokens_out,
                                 payload_sha256, detail)
        select at, '{Action.COMPLETION_COMPLETED}', tenant_id, id, actor, subject_id, api_key_id,
               client_net, route, model, upstream, error_code = '', status, error_code,
               response_length, processing_ms, tokens_in, tokens_out,
               decode(payload_sha256, 'hex'), jsonb_strip_nulls(jsonb_build_object(
                   'preemptions', nullif(preemptions, 0), 'engine', nullif(engine, ''),
                   'adapter', adapter, 'adapter_version', adapter_version))
        from j),
    response_text as (
        insert into audit_payload (at, tenant_id, request_id, field, data_key_id, ciphertext)
        select at, tenant_id, id, 'response', data_key_id, decode(response, 'base64')
        from j where response is not null)"""


def act(
    action: Action,
    *,
    actor: str,
    tenant_id: UUID | None = None,
    subject_id: UUID | None = None,
    success: bool = True,
    client_net: str | None = None,
    detail: dict[str, Any] | None = None,
) -> Event:
    """Records an act of a person or a program, in the open transaction.

    By default `client_net` is the network of the current request, and `detail` includes an
    operator's API key (request_origin.py).
    """
    event: Event = Event.objects.create(
        at=timezone.now(),
        action=Action(action),
        actor=actor,
        tenant_id=tenant_id,
        subject_id=subject_id,
        api_key_id=api_key_of(actor),
        success=success,
        client_net=client_net or present_network(),
        detail={**(detail or {}), **present_key()},
    )
    unsealed_notes.remember(event)
    return event


def act_on(row: Any, action: Action, by: str, /, **detail: Any) -> Event:
    """Records an act on the tenant and the person that a row names."""
    tenant_id, subject_id = row.tenant_id, row.subject_id
    return act(action, actor=by, tenant_id=tenant_id, subject_id=subject_id, detail=detail)


def checked_reason(text: str) -> str:
    """Returns the reason that an act needs. Raises ValidationError."""
    text = text.strip()
    if not text or len(text) > LONGEST_REASON:
        raise ValidationError({"reason": _("Say why, in at most 500 characters.")})
    return text


def api_key_of(actor: str) -> UUID | None:
    """Returns the key's id of an actor "key:<uuid>", else None."""
    kind, _, name = actor.partition(":")
    try:
        return UUID(name) if kind == "key" else None
    except ValueError:
        return None
