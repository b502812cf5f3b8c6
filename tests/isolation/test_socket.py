"""The chat's socket with ids of another tenant: nothing is found, nothing is changed."""

import json
from typing import Any
from uuid import uuid4

import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.module_loading import import_string
from psycopg.conninfo import make_conninfo

from console.isolation.asgi_client import AsgiClient
from console.isolation.callers import callers
from console.isolation.proof import nothing_open, rows_of
from console.isolation.throwaway_tenants import Stage
from inference.models import Author, Message
from tenants.roles import Role
from tenants.scope import system_scope


@pytest.mark.django_db(transaction=True)
async def test_another_tenants_ids_mean_nothing(settings: Any) -> None:
    settings.DATABASE_URL = make_conninfo(
        settings.DATABASE_URL, dbname=connection.settings_dict["NAME"]
    )
    with nothing_open():
        stage = await database_sync_to_async(Stage.set)()
        answer = await database_sync_to_async(_an_answer)(stage)
        before = await database_sync_to_async(rows_of)(stage)
        heard = await _asked(stage, answer)
        assert await database_sync_to_async(rows_of)(stage) == before
        await database_sync_to_async(stage.clear)()
    failed = [message for message in heard if message["type"] == "error"]
    assert [message["code"] for message in failed] == ["not_found"] * 3
    assert stage.other.secret not in json.dumps(heard)


async def _asked(stage: Stage, answer: Message) -> list[dict[str, Any]]:
    """What the member of the own tenant hears."""
    asked = [
        {"type": "follow", "message": str(answer.id)},
        {"type": "stop", "message": str(answer.id)},
        {
            "type": "send",
            "text": "hello",
            "model": "mock",
            "message": str(uuid4()),
            "conversation": str(answer.conversation_id),
        },
    ]
    member = next(c for c in callers(stage) if c.name == Role.MEMBER)
    client = AsgiClient(import_string(settings.ASGI_APPLICATION), settings.ALLOWED_HOSTS[0])
    async with client.running():
        address = f"/ws/chat/?tenant={stage.own.tenant.name}"
        said = await client.connect(address, member.headers, *map(json.dumps, asked))
    assert said[0]["type"] == "websocket.accept"
    return [json.loads(message["text"]) for message in said[1:] if "text" in message]


def _an_answer(stage: Stage) -> Message:
    with system_scope():
        return Message.objects.create(
            tenant=stage.other.tenant,
            conversation_id=stage.other.objects.conversation(stage.other.chatting),
            author=Author.ASSISTANT,
            completion_id=uuid4(),
            data_key_id=uuid4(),
            created_at=timezone.now(),
        )
