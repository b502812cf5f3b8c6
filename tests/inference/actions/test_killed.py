"""kill -9 between each two steps of a call that moves money: it is delivered once at most."""

import asyncio
import json
import os
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from config.environment import PROJECT
from inference.actions import calling
from inference.models import ActionCall, CallState
from infrastructure.postgres.request_threads import in_request_thread
from tenants.models import Tenant
from tests.inference.actions.conftest import Dialogue, new_action
from tests.inference.actions.webhook_server import Service

pytestmark = pytest.mark.django_db(transaction=True)
PROGRAM = """
import django
django.setup()
from tests.inference.actions.dying import work
work()
"""
GOOD = {"order": "A-1"}
WITHIN_S = 120
CALLING = "inference.actions.calling"


def in_database(do: Any) -> Any:
    return in_request_thread(do)


def dies(dialogue: Dialogue, turn: Any, at: str) -> None:
    ids = {name: str(getattr(dialogue, name)) for name in ("tenant_id", "id", "subject_id")}
    wish = {"at": at, "dialogue": ids, "turn": str(turn), "action": "refund", "arguments": GOOD}
    name = connection.settings_dict["NAME"]
    own = {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "FOREBAY_DATABASE_SCOPE": "system",
        "DATABASE_URL": urlsplit(os.environ["DATABASE_URL"])._replace(path=name).geturl(),
        "DYING": json.dumps(wish),
    }
    command = [sys.executable, "-c", PROGRAM]
    process = subprocess.Popen(command, env={**os.environ, **own}, cwd=PROJECT)
    assert process.wait(WITHIN_S) == -9, "it never came to this place"


@pytest.mark.slow(seconds=60)
@pytest.mark.parametrize(
    ("at", "deliveries", "state"),
    [
        (f"before {CALLING}.confirm_now", 1, CallState.SUCCEEDED),
        (f"after {CALLING}.confirm", 1, CallState.SUCCEEDED),
        (f"after {CALLING}._opened", 1, CallState.SUCCEEDED),  # before its commit
        (f"before {CALLING}.send", 0, CallState.UNKNOWN),  # after it
        (f"after {CALLING}.send", 1, CallState.UNKNOWN),
        (f"before {CALLING}.note_now", 1, CallState.UNKNOWN),
        (f"after {CALLING}.note", 1, CallState.SUCCEEDED),
    ],
)
async def test_a_killed_call(
    acme: Tenant, service: Service, at: str, deliveries: int, state: CallState
) -> None:
    dialogue, turn = Dialogue(acme.pk), uuid4()
    make = in_database(new_action)
    await make(acme, service.url, name="refund", moves_money=True)
    await calling.propose(dialogue, uuid4(), "refund", GOOD)
    await asyncio.to_thread(dies, dialogue, turn, at)
    sent = ActionCall.objects.filter(state=CallState.SENT)
    await in_database(sent.update)(deadline=timezone.now())  # its time is over
    confirmed = await calling.confirm(dialogue, turn, "refund", GOOD)
    result = await calling.call(dialogue, turn, "refund", GOOD)
    assert confirmed
    assert result.state == state
    assert len(service.delivered) == deliveries
    assert await in_database(ActionCall.objects.count)() == 1
    assert result.needs_person is (state == CallState.UNKNOWN)
    await asyncio.sleep(0.2)
