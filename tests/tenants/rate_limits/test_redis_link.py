"""One connection for everybody: each caller gets the answer to its own command."""

import asyncio
import hashlib
from uuid import uuid4

import hiredis
import pytest

from infrastructure.redis.link import Call, RedisLink, Script
from tests.tenants.conftest import NewLink


async def test_answers_come_to_those_who_asked(link: RedisLink) -> None:
    async def ask(n: int) -> None:
        for turn in range(20):
            word = f"{n}-{turn}".encode()
            assert await link.call("ECHO", word) == word

    await asyncio.gather(*map(ask, range(50)))


async def test_commands_of_one_tick_leave_in_one_write(link: RedisLink) -> None:
    await link.call("PING")
    own = await link.call("CLIENT", "ID")
    before = await _packets(link, own)
    await asyncio.gather(*[link.call("ECHO", str(n)) for n in range(100)])
    assert await _packets(link, own) - before < 20


async def _packets(link: RedisLink, client_id: int) -> int:
    """Reads that Redis has made from this client, where it says so."""
    found = await link.call("CLIENT", "LIST", "ID", client_id)
    fields = dict(pair.split("=", 1) for pair in found.decode().split() if "=" in pair)
    return int(fields.get("read-events", 0))


async def test_an_error_answer_is_raised_to_its_asker_only(link: RedisLink) -> None:
    asked = [link.call("ECHO", "a"), link.call("NONSENSE"), link.call("ECHO", "b")]
    first, wrong, last = await asyncio.gather(*asked, return_exceptions=True)
    assert (first, last) == (b"a", b"b")
    assert isinstance(wrong, hiredis.ReplyError)
    assert await link.call("ECHO", "still fine") == b"still fine"


async def test_several_commands_at_once_list_their_errors(link: RedisLink) -> None:
    one, wrong, two = await link.many([("ECHO", 1), ("NONSENSE",), ("ECHO", 2)])
    assert (one, two) == (b"1", b"2")
    assert isinstance(wrong, hiredis.ReplyError)


async def test_a_caller_that_left_does_not_shift_the_answers(link: RedisLink) -> None:
    await link.call("PING")
    asked = [asyncio.ensure_future(link.call("ECHO", n)) for n in range(10)]
    await asyncio.sleep(0)
    asked[4].cancel()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert found[:4] + found[5:] == [b"%d" % n for n in range(10) if n != 4]
    assert isinstance(found[4], asyncio.CancelledError)


async def test_any_bytes_and_numbers_pass(link: RedisLink) -> None:
    key = f"test:{uuid4()}"
    everything = bytes(range(256)) * 300
    assert await link.call("SET", key, everything, "PX", 10_000) == b"OK"
    assert await link.call("GET", key) == everything
    assert await link.call("GET", f"{key}-missing") is None
    assert await link.call("DEL", key) == 1


async def test_a_script_travels_once_and_again_after_a_flush(link: RedisLink) -> None:
    text = f"return {{KEYS[1], ARGV[1]}} -- {uuid4()}"  # one that Redis has never seen
    script = Script(hashlib.sha1(text.encode()).hexdigest(), text)
    assert await link.run(script, ["k"], "a") == [b"k", b"a"]
    assert await link.call("SCRIPT", "EXISTS", script.sha) == [1]
    await link.call("SCRIPT", "FLUSH")
    many = [link.run(script, ["k"], str(n)) for n in range(20)]
    assert await asyncio.gather(*many) == [[b"k", b"%d" % n] for n in range(20)]


async def test_scripts_in_one_write_are_each_known_again_after_a_flush(link: RedisLink) -> None:
    texts = [f"return {{KEYS[1], ARGV[1]}} -- {uuid4()}" for _ in range(3)]
    calls = [Call(Script.of(text), ["k"], (str(n),)) for n, text in enumerate(texts)]
    expected = [[b"k", b"%d" % n] for n in range(3)]
    assert await link.run_all(calls) == expected
    await link.call("SCRIPT", "FLUSH")
    assert await link.run_all(calls) == expected
    fails = Call(Script.of("return redis.call('INCR', KEYS[1], 1)"), ["k"], ())
    with pytest.raises(hiredis.ReplyError, match="Wrong number"):
        await link.run_all([fails, calls[0]])
    await link.call("SCRIPT", "FLUSH")
    with pytest.raises(hiredis.ReplyError, match="Wrong number"):
        await link.run_all([fails, calls[0]])
    sha = calls[0].script.sha
    assert await link.call("SCRIPT", "EXISTS", sha) == [1], "one that fails stops no other"


async def test_a_script_that_fails_raises_its_own_error(link: RedisLink) -> None:
    text = "return redis.call('INCR', KEYS[1])"
    script, key = Script("0" * 40, text), f"test:{uuid4()}"
    await link.call("SET", key, "no number", "PX", 10_000)
    with pytest.raises(hiredis.ReplyError, match="not an integer"):
        await link.run(script, [key])


async def test_a_blocking_link_waits_as_long_as_it_takes(
    link: RedisLink, new_link: NewLink
) -> None:
    key, waiter = f"test:{uuid4()}", new_link(timeout_s=None)
    note = asyncio.ensure_future(waiter.call("BLPOP", key, 0))
    await asyncio.sleep(0.3)
    await link.call("LPUSH", key, "hello")
    assert await asyncio.wait_for(note, 30) == [key.encode(), b"hello"]
