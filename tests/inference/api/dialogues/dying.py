"""A process that runs a turn and kills itself before or after a step of it.

The environment's DYING says which: `before` or `after` a function, by its path.
"""

import asyncio
import json
import os
from typing import Any
from uuid import UUID

from django.conf import settings

from inference import engines
from inference.dialogues import running, stepping
from inference.intake.context import Context
from tests.inference.actions.dying import _lay
from tests.inference.api.dialogues.test_streams import PASSAGE


def work() -> None:
    """Return only where the place is never reached."""
    wish = json.loads(os.environ["DYING"])
    settings.ENGINES, settings.ADDRESS_PER_MINUTE = wish["engines"], 0
    engines.forget()
    setattr(stepping, "search", _search)  # noqa: B010 - as monkeypatch does
    stepping.EMBED_S = 300.0  # on a busy machine
    setattr(stepping, "_model_of", lambda _base: "small")  # noqa: B010
    _lay(*wish["at"].split())
    asyncio.run(_run(*(UUID(wish[name]) for name in ("tenant", "turn", "lease"))))


async def _search(*_arguments: Any) -> Any:
    return [PASSAGE]


async def _run(tenant_id: UUID, turn_id: UUID, lease: UUID) -> None:
    context = await Context.open()
    await running.run(context, tenant_id, turn_id, lease)
    await context.close()
