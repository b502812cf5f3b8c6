"""The load generator over OpenAI's Responses API."""

import asyncio

import orjson
import pytest

from bench.load.generator import LoadReport, Options
from bench.load.responses import ResponsesLoad
from bench.load.stored_responses import StoredResponsesLoad

pytestmark = pytest.mark.unit
START = 'data: {"type":"response.created","response":{"error":null,"usage":null}}\n\n'
DELTA = 'data: {"type":"response.output_text.delta","delta":" t0 t1 t2"}\n\n'
DONE = "data: [DONE]\n\n"


def end(tokens: int) -> str:
    usage = orjson.dumps({"input_tokens": 9, "output_tokens": tokens}).decode()
    response = '{"error":null,"usage":' + usage + "}"
    return 'data: {"type":"response.completed","response":' + response + "}\n\n"


async def loaded(
    answer: str, *, stream: bool, kind: type[ResponsesLoad] = ResponsesLoad
) -> tuple[LoadReport, bytes]:
    """Returns the report of three requests that are all answered so, and the last request."""
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
        url, "k", "m", stream, concurrency=1, requests=3, warmup=0.0, tokens=4, grace=1.0
    )
    try:
        return await kind(options).run(), requests[-1]
    finally:
        server.close()


@pytest.mark.parametrize(("kind", "stores"), [(ResponsesLoad, False), (StoredResponsesLoad, True)])
async def test_streams_are_counted_by_their_usage(kind: type[ResponsesLoad], stores: bool) -> None:
    report, request = await loaded(START + DELTA + end(4) + DONE, stream=True, kind=kind)
    assert (report.all, report.bad) == (3, 0), report.wrong
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/responses HTTP/1.1")
    sent = orjson.loads(body)
    assert (sent["stream"], sent["store"], "messages" in sent) == (True, stores, False)
    assert sent["max_output_tokens"] > 0


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (START + DELTA + end(3) + DONE, "3 tokens, usage 3, not 4"),
        (START + DELTA + end(4), "no last event"),
        (START + 'data: {"response":{"error":{"code":"x"}}}\n\n' + DONE, "error frame"),
    ],
)
async def test_a_bad_stream_is_counted_as_bad(answer: str, wrong: str) -> None:
    report, _ = await loaded(answer, stream=True)
    assert (report.all, report.bad) == (3, 3)
    assert wrong in str(report.wrong)


@pytest.mark.parametrize(("tokens", "bad"), [(4, 0), (5, 3)])
async def test_whole_responses(tokens: int, bad: int) -> None:
    usage = {"output_tokens": tokens}
    answer = orjson.dumps({"object": "response", "error": None, "usage": usage}).decode()
    report, _ = await loaded(answer, stream=False)
    assert (report.all, report.bad) == (3, bad)
