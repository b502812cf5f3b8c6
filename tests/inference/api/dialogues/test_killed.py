"""kill -9 between each two steps of a turn: one answer, of one request, and nothing is lost."""

import asyncio
import json
import os
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection

from config.environment import PROJECT
from inference.intake.context import Context
from inference.models import Completion, DialogueTurn, TurnStep
from tests.inference.api.conftest import in_database
from tests.inference.api.dialogues.conftest import Helpdesk
from tests.inference.api.dialogues.test_resuming import begun_turn, lapsed, resumed
from tests.inference.api.dialogues.test_streams import worded
from tests.inference.engine_server import EngineServer

__all__ = ["worded"]
pytestmark = pytest.mark.django_db(transaction=True)
PROGRAM = """
import django
django.setup()
from tests.inference.api.dialogues.dying import work
work()
"""
WITHIN_S = 120
RECORDING = "inference.dialogues.recording"


def dies(turn: DialogueTurn, at: str) -> None:
    wish = {
        "at": at,
        "tenant": str(turn.tenant_id),
        "turn": str(turn.pk),
        "lease": str(turn.lease),
        "engines": settings.ENGINES,
    }
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
@pytest.mark.soak("before")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "at",
    [
        f"before {RECORDING}.note",
        f"after {RECORDING}.note",  # before its commit, as all of these
        "after inference.dialogues.wording_request.submit",
        f"before {RECORDING}.say_more",
        f"after {RECORDING}.say_more",
        f"before {RECORDING}.answer",
        f"after {RECORDING}.answer",
    ],
)
async def test_a_killed_turn(
    worded: Helpdesk, context: Context, engine: EngineServer, at: str
) -> None:
    engine.words = ["It costs ", "5 euros. ", "Ask for ", "more."]
    turn = await begun_turn(worded, "What does it cost?")
    await asyncio.to_thread(dies, turn, at)
    await lapsed()
    over = await resumed(context)
    assert over.step == TurnStep.ANSWERED
    assert over.answer
    content = await in_database(lambda: over.answer.content)()  # type: ignore[union-attr]
    assert content.text == "It costs 5 euros. Ask for more."
    assert await in_database(Completion.objects.filter(route="dialogue").count)() == 1
    shown = await worded.messages(f"dlg_{turn.dialogue_id.hex}")
    assert [each["role"] for each in shown] == ["assistant", "person", "assistant"]
