"""Retention of conversations, of a row per request, and of summed usage."""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext_lazy as _

from audit.retention import data_classes
from audit.retention.data_classes import DataClass
from inference.personal_data import (
    action_calls,
    data_sets,
    decisions,
    dialogues,
    evaluations,
    files,
    jobs,
    knowledge,
    model_versions,
    stored_responses,
)

BATCH = 10_000
USAGE_FLOOR_DAYS = 62  # quotas of a month, and the nights that compare them with usage

_HELD = """
    not exists (select from tenants_member m where m.id = {table}.member_id
                and m.subject_id = any(%(spare)s))"""
_HELD_KEYS = """
    not exists (select from tenants_apikey k where k.id = {table}.api_key_id
                and k.subject_id = any(%(spare)s))"""
_CONVERSATIONS = f"""
    with old as materialized (
        select id from inference_conversation c
        where tenant_id = %(tenant)s and updated_at < %(before)s
          and {_HELD.format(table="c")} limit {BATCH}),
    files as (delete from inference_attachment using inference_message message, old
              where message_id = message.id and message.conversation_id = old.id),
    messages as (delete from inference_message using old where conversation_id = old.id),
    shares as (
        delete from inference_conversationshare using old where conversation_id = old.id)
    delete from inference_conversation using old where inference_conversation.id = old.id"""
_REQUESTS = f"""
    with old as materialized (
        select completion_id from inference_usage u
        where tenant_id = %(tenant)s and created_at < %(before)s
          and xid <= (select xid from inference_rollupmark where id = 1)
          and {_HELD.format(table="u")} and {_HELD_KEYS.format(table="u")} limit {BATCH}),
    used as (delete from inference_usage using old
             where inference_usage.completion_id = old.completion_id)
    delete from inference_completion using old where id = old.completion_id"""
_RESPONSES = f"""
    delete from inference_storedresponse where id in (
        select id from inference_storedresponse where tenant_id = %(tenant)s
          and created_at < %(before)s and subject_id <> all(%(spare)s) limit {BATCH})"""
_HOURS, _DAYS = (
    f"""
    delete from {table} where id in (
        select id from {table} s where tenant_id = %(tenant)s and starts < %(before)s
          and {_HELD.format(table="s")} and {_HELD_KEYS.format(table="s")} limit {BATCH})"""
    for table in ("inference_usagehour", "inference_usageday")
)


_STEPS = {
    **dict.fromkeys(("conversations", "responses", "requests", "usage"), BATCH),
    "files": files.ROWS,
    "decisions": decisions.BATCH,
    "dialogues": dialogues.ROWS,
    "action_calls": action_calls.ROWS,
}


def register() -> None:
    chats = {"conversations": ("inference_conversation", "updated_at")}
    requests = {"requests": ("inference_usage", "created_at")}
    sums = {"hours": ("inference_usagehour", "starts"), "days": ("inference_usageday", "starts")}
    erase_chats, erase_requests = partial(_erase, (_CONVERSATIONS,)), partial(_erase, (_REQUESTS,))
    erase_responses = partial(_erase, (_RESPONSES,))
    erase_sums, floor = partial(_erase, (_HOURS, _DAYS)), USAGE_FLOOR_DAYS
    for name, label, days, floor_days, kinds, erase in (
        ("conversations", _("Chats"), 400, 1, chats, erase_chats),
        (
            "decisions",
            _("Decisions and their reviews"),
            400,
            1,
            decisions.KINDS,
            decisions.erase_old,
        ),
        ("dialogues", _("Dialogues"), 400, 1, dialogues.KINDS, dialogues.erase_old),
        ("action_calls", _("Calls of actions"), 400, 1, action_calls.KINDS, action_calls.erase_old),
        ("files", _("Files and batches"), 60, 1, files.KINDS, files.erase_old),
        ("jobs", _("Jobs and their checkpoints"), 400, 1, jobs.KINDS, jobs.erase_old),
        (
            "models",
            _("Versions of models"),
            1100,
            1,
            model_versions.KINDS,
            model_versions.erase_old,
        ),
        ("data_sets", _("Data sets"), 1100, 1, data_sets.KINDS, data_sets.erase_old),
        (
            "knowledge",
            _("Documents of knowledge bases"),
            1100,
            1,
            knowledge.KINDS,
            knowledge.erase_old,
        ),
        ("evaluations", _("Evaluations"), 400, 1, evaluations.KINDS, evaluations.erase_old),
        ("responses", _("Stored responses"), 30, 1, stored_responses.KINDS, erase_responses),
        ("requests", _("Requests and their usage"), 400, floor, requests, erase_requests),
        ("usage", _("Sums of usage"), 1100, floor, sums, erase_sums),
    ):
        count = partial(data_classes.by_month, kinds)
        step = _STEPS.get(name, 0)
        data_classes.register(DataClass(name, label, days, floor_days, count, erase, step=step))


def _erase(
    statements: Iterable[str], tenant_id: UUID, before: datetime, spare: frozenset[UUID]
) -> int:
    """Run each statement once, for BATCH rows at most. Returns the number of rows."""
    parameters: dict[str, Any] = {"tenant": tenant_id, "before": before, "spare": list(spare)}
    rows = 0
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement, parameters)
            rows += cursor.rowcount
    return rows
