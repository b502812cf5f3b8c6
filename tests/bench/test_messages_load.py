"""The load generator over Anthropic's Messages API."""

import asyncio

import orjson
import pytest

from bench.load.generator import LoadReport, Options
from bench.load.messages import MessagesLoad

pytestmark = pytest.mark.unit
USAGE = '"usage":{"input_tokens":9,"output_tokens":%d}'
START = 'data: {"type":"message_start","message":{' + USAGE % 0 + "}}\n\n"
DELTA = 'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":" t0 t1 t2"}}\n\n'
STOP = 'data: {"type":"message_stop"}\n\n'


def end(tokens: int) -> str:
    return 'data: {"type":"message_delta",' + USAGE % tokens + "}\n\n"


async def loaded(answer: str, *, stream: bool, tokens: int = 4) -> tuple[LoadReport, list[bytes]]:
    """Returns the report of three requests that are all answered so, and the requests."""
    requests = list[bytes]()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                requests.append(head + await reader.readexactly(length))
                body = answer.encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    options = Options(
        url, "k", "m", stream, concurrency=1, requests=3, warmup=0.0, tokens=tokens, grace=1.0
    )
    try:
        return await MessagesLoad(options).run(), requests
    finally:
        server.close()


async def test_streams_are_counted_by_their_usage() -> None:
    report, (first, *_) = await loaded(START + DELTA + end(4) + STOP, stream=True)
    assert (report.all, report.bad) == (3, 0), report.wrong
    head, _, body = first.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/messages HTTP/1.1")
    assert orjson.loads(body)["stream"] is True
    assert "stream_options" not in orjson.loads(body)


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (START + DELTA + end(3) + STOP, "3 tokens, usage 3, not 4"),
        (START + DELTA + end(4), "no last event"),
        (START + 'data: {"type":"error","error": {}}\n\n', "error frame"),
    ],
)
async def test_a_bad_stream_is_counted_as_bad(answer: str, wrong: str) -> None:
    report, _ = await loaded(answer, stream=True)
    assert (report.all, report.bad) == (3, 3)
    assert wrong in str(report.wrong)


@pytest.mark.parametrize(("tokens", "bad"), [(4, 0), (5, 3)])
async def test_whole_messages(tokens: int, bad: int) -> None:
    answer = '{"type":"message","content":[{"type":"text","text":"x"}],' + USAGE % tokens + "}"
    report, _ = await loaded(answer, stream=False)
    assert (report.all, report.bad) == (3, bad)
