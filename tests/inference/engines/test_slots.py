"""llama.cpp's slots: a tenant's request uses what lies in a slot only if it is the tenant's own."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from inference.engines.base import Engine, EngineAway
from inference.engines.kinds.llama_cpp import LlamaCppEngine as LlamaCpp
from inference.engines.kinds.open_ended import salt
from inference.engines.kinds.prompt_slots import Count, Slots, common_prefix
from inference.engines.kinds.sglang import SglangEngine
from inference.engines.kinds.vllm import VllmEngine
from inference.engines.transport.session import EngineSession
from tests.inference.engines.served import Served, an_engine
from tests.inference.orders import an_order

pytestmark = pytest.mark.unit
ACME, GLOBEX = uuid4(), uuid4()


def has(count: int) -> Count:
    async def asked() -> int:
        await asyncio.sleep(0)
        return count

    return asked


async def use(
    slots: Slots,
    tenant: UUID,
    body: bytes,
    count: int,
    *,
    served: bool = True,
) -> tuple[int, bool]:
    async with slots.lease(tenant, body, has(count)) as lease:
        lease.served = served
        return lease.number, lease.own_cache


async def test_the_same_tenant_goes_on_in_its_slot_and_nobody_else_does() -> None:
    slots = Slots()
    first, own = await use(slots, ACME, b"a long prompt about herons", 3)
    assert not own
    assert await use(slots, ACME, b"a long prompt about herons, and more", 3) == (first, True)
    other, own = await use(slots, GLOBEX, b"a long prompt about herons", 3)
    assert not own
    assert other != first  # the longest unused one
    assert await use(slots, ACME, b"a long prompt about herons", 3) == (first, True)


async def test_slots_in_use_lie_side_by_side_and_a_gap_is_filled_first() -> None:
    slots = Slots()
    async with AsyncExitStack() as running:

        async def begin() -> tuple[int, AsyncExitStack]:
            one = await running.enter_async_context(AsyncExitStack())
            lease = await one.enter_async_context(slots.lease(uuid4(), b"x", has(8)))
            return lease.number, one

        for used in range(8):  # the longest unused slot is the last
            await use(slots, ACME, b"short %d" % used, 8)
        taken = dict([await begin() for _ in range(4)])
        low = min(taken)
        assert sorted(taken) == list(range(low, low + 4))
        await taken[low + 1].aclose()
        assert (await begin())[0] == low + 1


async def test_only_a_long_prompt_is_worth_a_gap() -> None:
    slots, short, long = Slots(), b"s" * 200, b"l" * 20_000
    by_short, by_long = [(await use(slots, ACME, prompt, 8))[0] for prompt in (short, long)]
    await use(slots, GLOBEX, b"between", 8)
    async with slots.lease(GLOBEX, b"x", has(8)) as running:
        number, own = await use(slots, ACME, short, 8)
        assert abs(number - running.number) == 1
        assert not own
        assert await use(slots, ACME, long, 8) == (by_long, True)
    assert await use(slots, ACME, short, 8) == (by_short, True)


async def test_a_long_beginning_that_was_used_again_is_kept_warm() -> None:
    """As that of a template: while many come but once. Not for ever."""
    slots, template = Slots(), b"t" * 5_000
    await use(slots, ACME, template + b"Al", 4)
    number, own = await use(slots, ACME, template + b"Bo", 4)
    assert own
    for n in range(20):
        await use(slots, GLOBEX, b"%d" % n * 3_000, 4)
    assert await use(slots, ACME, template + b"Cy", 4) == (number, True)
    for n in range(100):
        await use(slots, GLOBEX, b"%d" % n * 3_000, 4)
    assert not (await use(slots, ACME, template + b"Di", 4))[1]


async def test_at_most_half_of_the_slots_are_kept_warm() -> None:
    """Who comes with many of them leaves room in which others can come again."""
    slots = Slots()
    theirs = [bytes([n]) * 5_000 for n in range(4)]
    for _ in range(2):
        for beginning in theirs:
            await use(slots, ACME, beginning, 4)
    mine = [b"m" * 5_000, b"n" * 5_000]
    for beginning in mine:
        assert not (await use(slots, GLOBEX, beginning, 4))[1]
    assert [(await use(slots, GLOBEX, beginning, 4))[1] for beginning in mine] == [True, True]


async def test_a_slot_that_may_not_have_been_overwritten_is_nobodys() -> None:
    slots = Slots()
    await use(slots, ACME, b"secret", 1)
    assert await use(slots, GLOBEX, b"secret", 1, served=False) == (0, False)
    assert await use(slots, GLOBEX, b"secret", 1) == (0, False)
    assert await use(slots, GLOBEX, b"secret", 1) == (0, True)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans(), st.booleans())))
def test_no_order_of_requests_lets_a_tenant_meet_anothers_prompt(
    story: list[tuple[int, int, bool, bool]],
) -> None:
    """Some run at the same time; some fail before the engine has touched the slot."""
    tenants = [UUID(int=n) for n in range(4)]

    async def play() -> None:
        slots, lies_in = Slots(), dict[int, UUID]()
        async with AsyncExitStack() as running:
            open_now = 0
            for who, what, fails, stays in story:
                tenant, stack = tenants[who], AsyncExitStack()
                lease = await stack.enter_async_context(
                    slots.lease(tenant, b"prompt %d" % what, has(3))
                )
                if lease.own_cache:
                    assert lies_in[lease.number] == tenant
                if not fails:
                    lies_in[lease.number], lease.served = tenant, True
                if stays and open_now < 2:
                    open_now += 1
                    running.push_async_exit(stack)
                else:
                    await stack.aclose()

    asyncio.run(play())


async def test_a_request_waits_for_a_slot_and_gets_it_also_after_another_gave_up() -> None:
    slots = Slots()
    async with slots.lease(ACME, b"x", has(1)):
        impatient, patient = (asyncio.ensure_future(use(slots, ACME, b"x", 1)) for _ in range(2))
        await asyncio.sleep(0)
        assert not patient.done()
    impatient.cancel()
    assert (await asyncio.wait_for(patient, 30))[0] == 0
    assert (await asyncio.wait_for(use(slots, ACME, b"x", 1), 30))[0] == 0


async def test_who_waited_while_the_engine_was_away_trusts_nothing_older() -> None:
    slots = Slots()
    await use(slots, ACME, b"secret", 1)
    async with slots.lease(ACME, b"secret", has(1)) as running:
        running.served = True
        waiting = asyncio.ensure_future(use(slots, ACME, b"secret", 1))
        await asyncio.sleep(0)
        slots.forget()
        other = asyncio.ensure_future(use(slots, GLOBEX, b"secret", 1))
        await asyncio.sleep(0.01)
        assert not other.done()  # its slot is in use, whatever the engine has been through
    assert await waiting == (0, False)
    assert await other == (0, False)


async def test_a_lease_that_outlives_the_engine_leaves_its_slot_to_nobody() -> None:
    slots = Slots()
    async with slots.lease(ACME, b"secret", has(2)) as old:
        old.served = True
        slots.forget()
        assert await use(slots, ACME, b"secret", 2) == (1, False)
        slots.forget()
        waiting = asyncio.ensure_future(use(slots, ACME, b"secret", 1))  # it is back with fewer
        await asyncio.sleep(0.01)
        assert not waiting.done()
    assert await waiting == (0, False)
    assert await use(slots, ACME, b"secret", 1) == (0, True)


class Shared:
    """An engine that somebody else may be using."""

    def __init__(self) -> None:
        self.mark: object | None = None
        self.may_send = asyncio.Event()

    async def ready(self) -> None:
        await self.may_send.wait()


async def test_nothing_is_trusted_while_somebody_else_uses_the_engine_or_from_then() -> None:
    shared = Shared()
    slots = Slots(shared)
    newcomer = asyncio.ensure_future(use(slots, ACME, b"secret", 1))
    await asyncio.sleep(0.01)
    assert not newcomer.done()
    shared.may_send.set()
    assert await newcomer == (0, False)
    assert await use(slots, ACME, b"secret", 1) == (0, False)
    shared.mark = object()
    assert await use(slots, ACME, b"secret", 1) == (0, False)  # what was learnt before counts not
    assert await use(slots, ACME, b"secret", 1) == (0, True)
    shared.mark = object()  # somebody was there meanwhile
    assert await use(slots, ACME, b"secret", 1) == (0, False)


async def test_who_gives_up_before_it_may_send_leaves_the_slot_free() -> None:
    shared = Shared()
    slots = Slots(shared)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(use(slots, ACME, b"x", 1), 0.01)
    shared.may_send.set()
    assert (await use(slots, ACME, b"x", 1))[0] == 0


@given(st.binary(max_size=40), st.binary(max_size=20), st.binary(max_size=20))
def test_common_prefix(start: bytes, one: bytes, other: bytes) -> None:
    found = common_prefix(start + one, start + other)
    assert found >= len(start)
    both = zip(start + one, start + other, strict=False)
    assert found == next((i for i, (a, b) in enumerate(both) if a != b), found)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


async def test_what_llama_cpp_is_told(served: Served, session: EngineSession) -> None:
    served.says(b'{"total_slots":2}')
    engine = an_engine(served.url, LlamaCpp, slots=16)
    for tenant in (ACME, ACME, GLOBEX, GLOBEX):
        await engine.answer(session, an_order(tenant_id=tenant, body=b'{"a":1}'))
    path, *bodies = [served.asked[0][0], *(orjson.loads(body) for _, body, _ in served.asked[1:])]
    assert path == "/props"
    assert [body.get("cache_prompt", True) for body in bodies] == [False, True, False, True]
    assert [body["id_slot"] for body in bodies] == [0, 0, 1, 1]


async def test_a_refused_request_leaves_the_slot_to_nobody(
    served: Served,
    session: EngineSession,
) -> None:
    served.says(b'{"total_slots":1}')
    engine = an_engine(served.url, LlamaCpp)
    await engine.answer(session, an_order(tenant_id=ACME))
    served.says(b'{"error":{"message":"no"}}', 400)
    with pytest.raises(Exception, match="no"):
        await engine.answer(session, an_order(tenant_id=GLOBEX))
    served.says(b"{}")
    await engine.answer(session, an_order(tenant_id=GLOBEX))
    assert orjson.loads(served.asked[-1][1])["cache_prompt"] is False


async def test_orders_that_waited_while_the_engine_was_away(
    served: Served,
    session: EngineSession,
) -> None:
    """One was promised its tenant's slot, and another tenant may have used that since."""
    engine = an_engine(served.url, LlamaCpp)
    assert isinstance(engine, LlamaCpp)
    ends = {n: asyncio.Event() for n in range(6)}

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/props":
            return web.json_response({"total_slots": 2})
        n = orjson.loads(await request.read())["n"]
        await ends[n].wait()
        return web.json_response({}, status=503 if n == 1 else 200)

    def ask(n: int, tenant: UUID) -> asyncio.Future[bytes]:
        order = an_order(tenant_id=tenant, body=b'{"n":%d}' % n)
        return asyncio.ensure_future(engine.answer(session, order))

    served.handler = handler

    def at_work() -> list[int]:
        return [orjson.loads(body)["n"] for _, body, _ in served.asked if body]

    first, away = ask(0, ACME), ask(1, GLOBEX)
    await until(lambda: len(at_work()) == 2)
    later = {n: ask(n, ACME) for n in (2, 3)}
    await until(lambda: len(engine._slots._waiting) == 2)
    ends[1].set()
    with pytest.raises(EngineAway):
        await away
    await until(lambda: len(at_work()) == 3 and len(engine._slots._waiting) == 1)
    runs = at_work()[-1]  # one of the two; the other one waits
    later[4] = ask(4, GLOBEX)
    await until(lambda: len(engine._slots._waiting) == 2)
    ends[0].set()
    await first
    for n in {2, 3, 4} - {runs}:
        ends[n].set()
    await asyncio.gather(*(later[n] for n in {2, 3, 4} - {runs}))
    ends[runs].set()
    await later[runs]
    bodies = [orjson.loads(body) for _, body, _ in served.asked if body]
    assert len(bodies) == 5
    assert not any(body.get("cache_prompt", True) for body in bodies)


@pytest.mark.parametrize("kind", [VllmEngine, SglangEngine])
async def test_who_shares_a_prefix_cache_is_told_a_secret_of_the_tenant(
    served: Served, session: EngineSession, kind: type[Engine]
) -> None:
    engine = an_engine(served.url, kind)
    for tenant in (ACME, ACME, GLOBEX):
        await engine.answer(session, an_order(tenant_id=tenant, body=b'{"a":1}'))
    salts = [orjson.loads(body)["cache_salt"] for _, body, _ in served.asked]
    assert salts[0] == salts[1] == salt(ACME)
    assert salts[2] == salt(GLOBEX) != salts[0]
    assert len(bytes.fromhex(salts[0])) == 32
    assert "cache_salt" not in engine.fields(chat=True)  # a client's own does not get through


async def test_a_prompt_computed_with_an_adapter_is_of_no_use_without_it() -> None:
    slots, adapter = Slots(), uuid4()
    async with slots.lease((ACME, adapter), b"a long prompt about herons", has(1)) as lease:
        lease.served = True
    assert await use(slots, ACME, b"a long prompt about herons", 1) == (0, False)
    async with slots.lease((ACME, adapter), b"a long prompt about herons", has(1)) as lease:
        assert not lease.own_cache
