"""llama.cpp's slots: a tenant's request uses what lies in a slot only if it is the tenant's own."""

import asyncio
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import aiohttp
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engines.llama_cpp import LlamaCppEngine as LlamaCpp
from inference.engines.salted import salt
from inference.engines.slots import Slots, common_prefix
from inference.engines.vllm import VllmEngine
from tests.inference.orders import an_order
from tests.inference.test_engines import Served, an_engine, served, session  # noqa: F401

pytestmark = pytest.mark.unit
ACME, GLOBEX = uuid4(), uuid4()


async def use(slots: Slots, tenant: UUID, body: bytes, *, served: bool = True) -> tuple[int, bool]:  # noqa: F811
    async with slots.lease(tenant, body) as lease:
        lease.served = served
        return lease.number, lease.own_cache


async def test_the_same_tenant_goes_on_in_its_slot_and_nobody_else_does() -> None:
    slots = Slots(3)
    first, own = await use(slots, ACME, b"a long prompt about herons")
    assert not own
    assert await use(slots, ACME, b"a long prompt about herons, and more") == (first, True)
    other, own = await use(slots, GLOBEX, b"a long prompt about herons")
    assert not own
    assert other != first  # the longest unused one
    assert await use(slots, ACME, b"a long prompt about herons") == (first, True)


async def test_a_slot_that_may_not_have_been_overwritten_is_nobodys() -> None:
    slots = Slots(1)
    await use(slots, ACME, b"secret")
    assert await use(slots, GLOBEX, b"secret", served=False) == (0, False)
    assert await use(slots, GLOBEX, b"secret") == (0, False)
    assert await use(slots, GLOBEX, b"secret") == (0, True)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans(), st.booleans())))
def test_no_order_of_requests_lets_a_tenant_meet_anothers_prompt(
    story: list[tuple[int, int, bool, bool]],
) -> None:
    """Some run at the same time; some fail before the engine has touched the slot."""
    tenants = [UUID(int=n) for n in range(4)]

    async def play() -> None:
        slots, lies_in = Slots(3), dict[int, UUID]()
        async with AsyncExitStack() as running:
            open_now = 0
            for who, what, fails, stays in story:
                tenant, stack = tenants[who], AsyncExitStack()
                lease = await stack.enter_async_context(slots.lease(tenant, b"prompt %d" % what))
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
    slots = Slots(1)
    async with slots.lease(ACME, b"x"):
        impatient, patient = (asyncio.ensure_future(use(slots, ACME, b"x")) for _ in range(2))
        await asyncio.sleep(0)
        assert not patient.done()
    impatient.cancel()
    assert (await asyncio.wait_for(patient, 1))[0] == 0
    assert (await asyncio.wait_for(use(slots, ACME, b"x"), 1))[0] == 0


@given(st.binary(max_size=40), st.binary(max_size=20), st.binary(max_size=20))
def test_common_prefix(start: bytes, one: bytes, other: bytes) -> None:
    found = common_prefix(start + one, start + other)
    assert found >= len(start)
    both = zip(start + one, start + other, strict=False)
    assert found == next((i for i, (a, b) in enumerate(both) if a != b), found)


async def test_what_llama_cpp_is_told(served: Served, session: aiohttp.ClientSession) -> None:  # noqa: F811
    served.says(b'{"total_slots":2}')
    engine = an_engine(served.url, LlamaCpp, slots=16)
    for tenant in (ACME, ACME, GLOBEX, GLOBEX):
        await engine.answer(session, an_order(tenant_id=tenant, body=b'{"a":1}'))
    path, *bodies = [served.asked[0][0], *(orjson.loads(body) for _, body, _ in served.asked[1:])]
    assert path == "/props"
    assert [body.get("cache_prompt", True) for body in bodies] == [False, True, False, True]
    assert [body["id_slot"] for body in bodies] == [0, 0, 1, 1]


async def test_a_refused_request_leaves_the_slot_to_nobody(
    served: Served,  # noqa: F811
    session: aiohttp.ClientSession,  # noqa: F811
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


async def test_vllm_is_told_a_secret_of_the_tenant(
    served: Served,  # noqa: F811
    session: aiohttp.ClientSession,  # noqa: F811
) -> None:
    engine = an_engine(served.url, VllmEngine)
    for tenant in (ACME, ACME, GLOBEX):
        await engine.answer(session, an_order(tenant_id=tenant, body=b'{"a":1}'))
    salts = [orjson.loads(body)["cache_salt"] for _, body, _ in served.asked]
    assert salts[0] == salts[1] == salt(ACME)
    assert salts[2] == salt(GLOBEX) != salts[0]
    assert len(bytes.fromhex(salts[0])) == 32
    assert "cache_salt" not in engine.fields(chat=True)  # a client's own does not get through
