"""The other side of a call: its address, its metadata, and its messages, within time limits."""

import asyncio
from typing import Any
from urllib.parse import unquote

import grpc
from django.conf import settings

from inference.errors import BadRequest, RequestTimeout
from inference.intake.limits.unadmitted import BodyMemory
from tenants.rate_limits.client_address import seen

Wire = Any  # grpc.aio.ServicerContext of this message type or that


def values(wire: Wire, name: str) -> list[str]:
    return [value for key, value in wire.invocation_metadata() or () if key == name]


def header(wire: Wire, name: str) -> str:
    """Returns all values of that name in the metadata, joined like a header."""
    return ",".join(values(wire, name))


def address(wire: Wire) -> str:
    """Returns the client's address.

    The peer is `ipv4:203.0.113.7:5000` or `ipv6:[2001:db8::7]:5000`, or a socket file.
    """
    kind, _, rest = unquote(wire.peer()).partition(":")
    peer = rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""
    return seen(peer, header(wire, "x-forwarded-for"), settings.GRPC_PROXIES)


async def message(wire: Wire, memory: BodyMemory, largest: int) -> Any:
    """Returns the one message of a call. Raises RequestTimeout, BadRequest.

    gRPC itself would wait for it without end, and before the key is checked. It does not tell the
    length of a message that it receives: until it is there, it counts as the `largest`.
    """
    try:
        async with asyncio.timeout(settings.BODY_TIMEOUT_S):
            await memory.reserve(largest)
            content = await wire.read()
    except TimeoutError:
        raise RequestTimeout("the message of this call did not arrive in time") from None
    if content is grpc.aio.EOF:
        raise BadRequest("this call has no message", code="invalid_protobuf")
    return content


async def write(wire: Wire, content: bytes) -> None:
    """Write a message. Raises RequestTimeout if the client does not read."""
    try:
        async with asyncio.timeout(settings.SEND_TIMEOUT_S):
            await wire.write(content)
    except TimeoutError:
        raise RequestTimeout("this client does not read its answer") from None
