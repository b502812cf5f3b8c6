"""One HTTP request of a call: sent once, with bounds of time and size, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from inference.actions import addresses, schemas
from inference.engines.transport.networks import AddressRefused
from inference.models.assistants.action_call import CallState
from infrastructure import outgoing_tls

LARGEST_ANSWER = 64 * 1024  # bytes
_CONNECT_S = 5.0
_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
# The service has the request, and may have acted on it all the same.
_DOUBTFUL = (408,)


@dataclass(frozen=True, slots=True)
class Delivery:
    url: str
    body: bytes
    headers: Mapping[str, str]
    timeout_s: float
    answer_schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    state: CallState
    reason: str = ""
    status: int | None = None
    answer: dict[str, Any] = field(default_factory=dict)


async def send(delivery: Delivery) -> Outcome:
    """Send it, once. Redirects are not followed."""
    try:
        async with _session(delivery) as http, _post(http, delivery) as response:
            outcome = await _outcome(response, delivery.answer_schema)
            _abort_unread(response)
            return outcome
    except (*_NOT_SENT, outgoing_tls.WrongFiles) as problem:
        return Outcome(CallState.NOT_SENT, _why_not_sent(problem))
    except TimeoutError:
        return Outcome(CallState.UNKNOWN, "timeout")
    except (aiohttp.ClientError, OSError):
        return Outcome(CallState.UNKNOWN, "broken_off")


def _session(delivery: Delivery) -> aiohttp.ClientSession:
    factory = addresses.socket_factory(delivery.url)
    connect_s = min(_CONNECT_S, delivery.timeout_s / 2)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(socket_factory=factory),
        timeout=aiohttp.ClientTimeout(
            total=delivery.timeout_s, connect=connect_s, sock_connect=connect_s
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


def _post(http: aiohttp.ClientSession, delivery: Delivery) -> Any:
    url = urlsplit(delivery.url)
    tls = outgoing_tls.context(url.hostname or "") if url.scheme == "https" else True
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "Forebay",
        **delivery.headers,
    }
    return http.post(
        delivery.url, data=delivery.body, headers=headers, allow_redirects=False, ssl=tls
    )


def _abort_unread(response: aiohttp.ClientResponse) -> None:
    """Close a connection with an unread body now, not when its service agrees to close it."""
    if response.connection and response.connection.transport:
        response.connection.transport.abort()


async def _outcome(response: aiohttp.ClientResponse, schema: dict[str, Any]) -> Outcome:
    status = response.status
    if status >= 500 or status in _DOUBTFUL:
        return Outcome(CallState.UNKNOWN, "service_error", status)
    if status >= 400:
        return Outcome(CallState.FAILED, "refused", status)
    if (
        status >= 300
    ):  # many services redirect to a page about what they have done (RFC 9110 15.4.4)
        return Outcome(CallState.UNKNOWN, "redirect", status)
    raw = await _bounded(response)
    answer = _parsed(raw) if raw is not None else None
    if answer is None or schemas.problem(schema, answer):
        return Outcome(CallState.UNKNOWN, "wrong_answer", status)
    return Outcome(CallState.SUCCEEDED, "", status, answer)


async def _bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """Returns the body, None for one that is too long."""
    raw = bytearray()
    async for piece in response.content.iter_chunked(16 * 1024):
        raw += piece
        if len(raw) > LARGEST_ANSWER:
            return None
    return bytes(raw)


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        answer = orjson.loads(raw or b"{}")
    except orjson.JSONDecodeError:
        return None
    return answer if isinstance(answer, dict) else None


def _why_not_sent(problem: Exception) -> str:
    if isinstance(problem, aiohttp.ClientConnectorError):
        if isinstance(problem.os_error, AddressRefused):
            return "address_refused"
        return "tls" if isinstance(problem, aiohttp.ClientSSLError) else "unreachable"
    return "tls" if isinstance(problem, outgoing_tls.WrongFiles) else "unreachable"
