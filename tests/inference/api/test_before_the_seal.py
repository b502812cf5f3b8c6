"""Reads the database, Redis, the logs and exported spans between a request's receipt and its seal.

Nothing seals here: the events of the request, its texts and its notes are as they were written,
while it runs and once it has ended. Neither its texts may be seen, nor a hash of them that needs no
key: guesses could be checked against that. Ids, times, counts, names of models and pseudonyms are
visible by design, and so is the hash of a ciphertext, which the seal will cover.
"""

import asyncio
import hashlib
import logging
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import psycopg
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from psycopg import sql
from redis import Redis

from inference.tracing import spans
from inference.tracing.recorder import Recorder
from tests.inference.api.kept_answers import CHAT
from tests.inference.engine_server import EngineServer
from tests.inference.running import until

PROMPT, ANSWER = "kestrel in the prompt", "heron in the answer"
BODY = orjson.dumps(
    {"model": "small", "temperature": 0, "messages": [{"role": "user", "content": PROMPT}]}
)
HEADERS = {
    "content-type": "application/json",
    "idempotency-key": "one-of-a-kind",
    "x-forebay-cache": "use",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}


def traces_of(text: bytes) -> Iterator[bytes]:
    """Yields the forms of a text, and of its hashes, in which they may be found."""
    hashes = [hashlib.new(name, text).digest() for name in ("md5", "sha1", "sha256", "sha512")]
    hashes.append(hashlib.blake2b(text).digest())
    for raw in (text, *hashes):
        yield from (raw, raw.hex().encode(), b64encode(raw).rstrip(b"="), repr(raw)[2:-1].encode())


def database(dsn: str) -> bytes:
    """Returns every row of every table as text: bytes are in hex there."""
    with psycopg.connect(dsn) as connection:
        names = connection.execute(
            "select table_name from information_schema.tables"
            " where table_schema = 'public' and table_type = 'BASE TABLE'"
        ).fetchall()
        rows = [
            row
            for (name,) in names
            for (row,) in connection.execute(
                sql.SQL("select t::text from {} t").format(sql.Identifier(name))
            )
        ]
    return "\n".join(rows).encode()


def memory(valkey: Redis) -> bytes:
    """Returns every key of Redis with its value."""
    redis: Any = valkey  # its commands are typed for a loop, too
    read: dict[bytes, Any] = {
        b"string": redis.get,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"hash": redis.hgetall,
        b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1),
        b"stream": redis.xrange,
        b"none": lambda _key: None,  # it has expired meanwhile
    }
    keys = list(redis.scan_iter(count=10_000))
    return repr([(key, read[redis.type(key)](key)) for key in keys]).encode()


class Export:
    """A recorder in force, and what a collector gets of it."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._recorder = Recorder({"service.name": "test"}, "1", exporter=self._exporter)
        spans.record_with(self._recorder)

    def end(self) -> bytes:
        """Returns the spans as JSON."""
        spans.record_with(None)
        self._recorder.close()
        return "".join(span.to_json() for span in self._exporter.get_finished_spans()).encode()


@pytest.fixture
def export() -> Iterator[Export]:
    exporting = Export()
    yield exporting
    exporting.end()


@pytest.mark.parametrize("fails", [False, True], ids=["answered", "failed"])
async def test_before_the_seal_no_store_shows_a_text_or_a_hash_of_one(
    client: httpx.AsyncClient,
    engine: EngineServer,
    dsn: str,
    valkey: Redis,
    export: Export,
    caplog: pytest.LogCaptureFixture,
    fails: bool,
) -> None:
    caplog.set_level(logging.DEBUG)
    engine.words = [ANSWER]
    engine.breaks_off = fails
    engine.goes_on.clear()
    sending = asyncio.create_task(client.post(CHAT, content=BODY, headers=HEADERS))
    await until(lambda: _is_asked(engine))
    seen = {"rows while it runs": database(dsn), "Redis while it runs": memory(valkey)}
    engine.goes_on.set()
    answer = await sending
    assert answer.status_code == (502 if fails else 200)
    assert fails or ANSWER in answer.text
    seen |= {
        "rows before the seal": database(dsn),
        "Redis before the seal": memory(valkey),
        "logs": caplog.text.encode(),
        "spans": await asyncio.to_thread(export.end),
    }
    for name in ("rows while it runs", "rows before the seal"):
        assert b"completion:received" in seen[name]
        assert b"small" in seen[name]
    assert b'"name": "chat ' in seen["spans"], "the question to the engine is among them"
    for place, text in seen.items():
        for secret in (PROMPT.encode(), BODY, ANSWER.encode()):
            assert not [form for form in traces_of(secret) if form in text], place


async def _is_asked(engine: EngineServer) -> bool:
    return bool(engine.asked)
