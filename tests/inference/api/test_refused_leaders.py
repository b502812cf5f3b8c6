"""Whoever was to ask an engine for all, and was refused, keeps nobody waiting."""

import asyncio
from typing import Any

import httpx
import pytest

from audit.trail.group_commit import StoreUnavailable
from inference.intake.context import Context
from tests.inference.api.kept_answers import ask, is_hit

pytestmark = pytest.mark.usefixtures("numbered")


async def test_one_that_is_not_received_leaves_no_flight(
    client: httpx.AsyncClient, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_row: Any) -> Any:
        raise StoreUnavailable("PostgreSQL does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(context.commits.received, "write", away)
        assert (await ask(client)).status_code == 503
    async with asyncio.timeout(10):  # else it would wait for 25 s
        assert is_hit(await ask(client)) is False
    assert is_hit(await ask(client))
