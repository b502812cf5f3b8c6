"""A body is read up to the limit and no further, whatever its length was said to be."""

import asyncio
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from inference.api.http.request import Request
from inference.errors import BadRequest, TooLarge
from inference.intake.answer_stream import ReaderGone

pytestmark = pytest.mark.unit
GONE = {"type": "http.disconnect"}


@pytest.fixture(autouse=True)
def limit(settings: Settings) -> None:
    settings.MAX_BODY_BYTES = 100


class Sent:
    """A client that sends these chunks, and counts how many of them were asked for."""

    def __init__(self, *chunks: bytes | dict[str, Any], declared: bytes | None = None) -> None:
        last = len(chunks) - 1
        self.messages: list[dict[str, Any]] = [
            found
            if isinstance(found, dict)
            else {"type": "http.request", "body": found, "more_body": n < last}
            for n, found in enumerate(chunks)
        ]
        self.answers: list[dict[str, Any]] = []
        self.headers = [] if declared is None else [(b"content-length", declared)]

    async def receive(self) -> dict[str, Any]:
        return self.messages.pop(0) if self.messages else GONE

    async def send(self, message: dict[str, Any]) -> None:
        self.answers.append(message)

    @property
    def request(self) -> Request:
        scope = {"method": "POST", "path": "/v1/x", "query_string": b"", "headers": self.headers}
        return Request(scope, self.receive, self.send)


async def test_a_body_comes_in_pieces() -> None:
    assert await Sent(b"a" * 40, b"b" * 40, b"", b"c" * 20).request.body() == (
        b"a" * 40 + b"b" * 40 + b"c" * 20
    )
    assert await Sent(b"").request.body() == b""
    assert await Sent(b"x" * 100, declared=b"100").request.body() == b"x" * 100


async def test_one_that_says_it_is_too_long_is_not_read() -> None:
    client = Sent(b"x" * 101, declared=b"101")
    with pytest.raises(TooLarge) as refused:
        await client.request.body()
    assert refused.value.status == 413
    assert "100 bytes" in refused.value.message
    assert client.messages


async def test_one_that_goes_on_too_long_is_not_read_to_its_end() -> None:
    client = Sent(*[b"x" * 30] * 10)
    with pytest.raises(TooLarge):
        await client.request.body()
    assert len(client.messages) == 6


async def test_one_large_piece_without_a_length_is_refused() -> None:
    for declared in (None, b"5"):
        with pytest.raises(TooLarge):
            await Sent(b"x" * 101, declared=declared).request.body()


@pytest.mark.parametrize("declared", [b"many", b"", b"1.5", b"0x10"])
async def test_a_length_that_is_no_number(declared: bytes) -> None:
    with pytest.raises(BadRequest):
        await Sent(b"x", declared=declared).request.body()


async def test_a_client_that_goes_while_it_sends() -> None:
    with pytest.raises(ReaderGone):
        await Sent(b"x" * 30, b"y", GONE).request.body()
    with pytest.raises(ReaderGone):
        await Sent(GONE).request.body()


async def test_it_is_noticed_when_the_client_goes() -> None:
    client = Sent(b"x")
    request = client.request
    await request.body()
    await asyncio.wait_for(request.wait_until_closed(), 1)


async def test_answers_carry_their_length_and_extra_headers() -> None:
    client = Sent(b"")
    request = client.request
    request.extra.append((b"x-request-id", b"1"))
    await request.answer(b"{}", 201)
    start, body = client.answers
    assert start["status"] == 201
    assert (b"content-length", b"2") in start["headers"]
    assert (b"x-request-id", b"1") in start["headers"]
    assert body["body"] == b"{}"


async def test_refusals_say_what_is_wrong_in_openais_shape() -> None:
    client = Sent(b"")
    await client.request.refuse(TooLarge("too much", param="messages", retry_after=3))
    start, body = client.answers
    assert start["status"] == 413
    assert (b"retry-after", b"3") in start["headers"]
    assert body["body"] == (
        b'{"error":{"message":"too much","type":"invalid_request_error",'
        b'"param":"messages","code":"request_too_large"}}'
    )
