"""Retention of conversations, of a row per request, and of summed usage."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext_lazy as _

from audit.retention import data_classes, row_counts
from audit.retention.data_classes import DataClass
from inference.personal_data import files

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
    messages as (delete from inference_message using old where conversation_id = old.id)
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
_HOURS, _DAYS = (
    f"""
    delete from {table} where id in (
        select id from {table} s where tenant_id = %(tenant)s and starts < %(before)s
          and {_HELD.format(table="s")} and {_HELD_KEYS.format(table="s")} limit {BATCH})"""
    for table in ("inference_usagehour", "inference_usageday")
)


def register() -> None:
    for name, label, days, floor, count, erase in (
        ("conversations", _("Chats"), 400, 1, _count_conversations, _erase_conversations),
        ("files", _("Files and batches"), 60, 1, files.count_old, files.erase_old),
        ("requests", _("Requests and their usage"), 400, USAGE_FLOOR_DAYS, _count, _erase),
        ("usage", _("Sums of usage"), 1100, USAGE_FLOOR_DAYS, _count_sums, _erase_sums),
    ):
        data_classes.register(DataClass(name, label, days, floor, count, erase))


def _count_conversations(tenant_id: UUID, before: datetime) -> row_counts.Counts:
    kinds = {"conversations": ("inference_conversation", "updated_at")}
    return row_counts.by_month(kinds, tenant_id, before)


def _count(tenant_id: UUID, before: datetime) -> row_counts.Counts:
    return row_counts.by_month({"requests": ("inference_usage", "created_at")}, tenant_id, before)


def _count_sums(tenant_id: UUID, before: datetime) -> row_counts.Counts:
    kinds = {
        "hours": ("inference_usagehour", "starts"),
        "days": ("inference_usageday", "starts"),
    }
    return row_counts.by_month(kinds, tenant_id, before)


def _erase_conversations(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    return _in_batches(_CONVERSATIONS, tenant_id, before, spare)


def _erase(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    return _in_batches(_REQUESTS, tenant_id, before, spare)


def _erase_sums(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    return sum(_in_batches(each, tenant_id, before, spare) for each in (_HOURS, _DAYS))


def _in_batches(statement: str, tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    parameters: dict[str, Any] = {"tenant": tenant_id, "before": before, "spare": list(spare)}
    rows, batch = 0, BATCH
    with connection.cursor() as cursor:
        while batch == BATCH:
            cursor.execute(statement, parameters)
            batch = cursor.rowcount
            rows += batch
    return rows
