"""What web and worker take to hold many open streams, or many idle sockets of the chat."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from textwrap import dedent

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from bench.compare.comparison import tell
from bench.load.generator import Options
from bench.servers.forebay import Forebay
from bench.servers.targets import MockEngine, Target, send

ADDRESSES = 4  # that the clients come from: one address may have 1,000 connections
TOKENS, INTERVAL_MS = 64, 400.0  # of a stream that stays open for half a minute
OPENED_OVER_S = 8.0
IDLE_S = 3.0  # that the sockets stay when all are open
AT_ONCE, TRIES = 4, 4  # handshakes: each looks into the database several times
LOOK_S = 0.25
TENANT = "chat-bench"


@dataclass(slots=True)
class Held:
    """Resident megabytes by role: before, and the most while `number` were open.

    `at_once` of them in the same moment; `bad` did not come to a good end.
    """

    number: int
    at_once: int
    bad: int
    before_mb: dict[str, float]
    highest_mb: dict[str, float]

    def more_mb(self, role: str) -> float:
        return self.highest_mb[role] - self.before_mb[role]

    def kb_each(self, role: str) -> float:
        return self.more_mb(role) * 1000 / self.number


def _rss(target: Target) -> dict[str, float]:
    return {role: use.rss_mb for role, use in target.use().items()}


def _highest(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return {role: max(one.get(role, 0.0), other.get(role, 0.0)) for role in one | other}


# Streams -----------------------------------------------------------------------------------------
def streams(mock: MockEngine, target: Target, number: int) -> Held:
    """They open within some seconds, and each lasts half a minute."""
    before = highest = _rss(target)
    tell(f"memory: {number} streams at once")
    mock.control(tokens=TOKENS, interval_ms=INTERVAL_MS)
    at_once = 0
    with ThreadPoolExecutor(1) as thread:
        load = thread.submit(send, _options(target, number))
        while not load.done():
            time.sleep(LOOK_S)
            highest = _highest(highest, _rss(target))
            at_once = max(at_once, mock.control()["running"])
    report = load.result()
    if report.bad:
        tell(f"memory: bad streams: {report.wrong}")
    return Held(number, at_once, report.bad, before, highest)


def _options(target: Target, number: int) -> Options:
    return Options(
        url=target.url,
        key=target.key,
        model=target.model,
        stream=True,
        concurrency=number,
        requests=number,
        warmup=0.0,
        spread=OPENED_OVER_S,
        max_tokens=TOKENS,
        tokens=TOKENS,
        addresses=ADDRESSES,
    )


# Sockets of the chat -----------------------------------------------------------------------------
_SIGN_IN = dedent("""
    import json
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore
    from inference.chat.consumer import SOCKETS_PER_PERSON
    from tenants.models import Tenant, User
    from tenants.roles import Role

    tenant = Tenant.open({tenant!r}, by="bench")
    keys = []
    for number in range(-(-{sockets} // SOCKETS_PER_PERSON)):
        user = User.objects.create_user(f"{{number}}@bench.example", None)
        tenant.add_member(user, Role.MEMBER, by="bench")
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "allauth.account.auth_backends.AuthenticationBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.save()
        keys += [session.session_key] * SOCKETS_PER_PERSON
    print(json.dumps(keys))
""")


def sockets(forebay: Forebay, number: int) -> Held:
    """Of as many people as may have them. Raises ConnectionClosed when one does not stay."""
    tell(f"memory: {number} idle sockets")
    made = forebay.manage("shell", "-v0", "-c", _SIGN_IN.format(tenant=TENANT, sockets=number))
    sessions: list[str] = json.loads(made.splitlines()[-1])
    return asyncio.run(_held(forebay, sessions[:number]))


async def _held(forebay: Forebay, sessions: list[str]) -> Held:
    target = forebay.target("")
    before = _rss(target)
    async with AsyncExitStack() as opened:
        taking_turns = asyncio.Semaphore(AT_ONCE)
        opening = [
            _open(forebay, session, f"127.0.0.{1 + number % ADDRESSES}", opened, taking_turns)
            for number, session in enumerate(sessions)
        ]
        connections = await asyncio.gather(*opening)
        highest = _highest(before, _rss(target))
        await asyncio.sleep(IDLE_S)
        highest = _highest(highest, _rss(target))
        await asyncio.gather(*map(_is_there, connections))
    return Held(len(sessions), len(connections), 0, before, highest)


async def _open(
    forebay: Forebay,
    session: str,
    address: str,
    opened: AsyncExitStack,
    taking_turns: asyncio.Semaphore,
) -> ClientConnection:
    """Where the database is too busy for a handshake, the next one may be luckier."""
    opening = connect(
        f"ws://127.0.0.1:{forebay.port}/ws/chat/?tenant={TENANT}&language=en",
        origin=Origin(f"http://127.0.0.1:{forebay.port}"),
        additional_headers={"Cookie": f"forebay_session={session}"},
        local_addr=(address, 0),
        open_timeout=60,
        ping_interval=None,
    )
    async with taking_turns:
        for _ in range(TRIES):
            with suppress(InvalidStatus):
                return await opened.enter_async_context(opening)
        return await opened.enter_async_context(opening)


async def _is_there(connection: ClientConnection) -> None:
    """Raises ConnectionClosed, TimeoutError."""
    await asyncio.wait_for(await connection.ping(), 60)
