"""One RPC: its address, metadata and messages as they arrive in time, and its answer or refusal."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from math import inf
from typing import Any, NoReturn
from urllib.parse import unquote

import grpc
from django.conf import settings
from google.protobuf.message import Message

from inference.api import idempotency
from inference.api.call import Call
from inference.api.grpc import errors
from inference.api.grpc.gathering import Gathering
from inference.api.refusals import REFUSALS
from inference.errors import BadRequest, Headers, LimitReached, RequestTimeout
from inference.intake.answer_stream import AnswerStream
from inference.intake.context import Context
from inference.intake.limits.concurrency import ConcurrencyLimit
from inference.intake.limits.unadmitted_bodies import FREE, BodyMemory
from inference.intake.submission import Submission
from inference.tracing import attributes, spans
from tenants.caller import Caller
from tenants.rate_limits.client_address import seen

Wire = Any  # grpc.aio.ServicerContext of this message type or that


def received_headers(wire: Wire) -> dict[str, str]:
    """Returns the call's metadata as headers: values of the same name are joined.

    Read it once for a call: gRPC copies all of it at each reading.
    """
    headers: dict[str, str] = {}
    for name, value in wire.invocation_metadata() or ():
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def address(wire: Wire) -> str:
    """Returns the client's address."""
    return address_by(received_headers(wire), wire)


def address_by(headers: Mapping[str, str], wire: Wire) -> str:
    """Returns the client's address, as the peer or, for a named proxy, the headers have it.

    The peer is `ipv4:203.0.113.7:5000` or `ipv6:[2001:db8::7]:5000`, or a socket file.
    """
    kind, _, rest = unquote(wire.peer()).partition(":")
    peer = rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""
    return seen(peer, headers.get("x-forwarded-for", ""), settings.GRPC_PROXIES)


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


log = logging.getLogger(__name__)
CALLS_PER_TENANT = 2_500
Metadata = tuple[tuple[str, str | bytes], ...]


class Rpc:
    """One call. `gathering`: that of all calls of this process."""

    def __init__(self, context: Context, wire: Wire, route: str, gathering: Gathering) -> None:
        self._wire, self._received = wire, received_headers(wire)
        self._gathering = gathering
        self.call = Call(context, route, address_by(self._received, wire), "grpc")
        self.call.span = spans.front(route, lambda name: self._received.get(name, ""))
        self._code = grpc.StatusCode.CANCELLED  # until another code is set

    @property
    def key(self) -> str:
        scheme, _, key = self._received.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return key.strip()
        return self._received.get("x-api-key") or self._received.get("api-key", "")

    @property
    def time_left_s(self) -> float:
        """Returns the seconds until the client's deadline."""
        remaining: float | None = self._wire.time_remaining()
        return inf if remaining is None else remaining

    def header(self, name: str) -> str | None:
        """Returns the metadata of an HTTP header's name; None if there are none."""
        return self._received.get(name.lower())

    async def authenticate(self) -> Caller:
        """Identify the caller. Raises the errors that `refuse` explains."""
        return await self.call.authenticate(self.key)

    def enter(self, caller: Caller, open_calls: ConcurrencyLimit) -> None:
        """Count as one of the tenant's open calls until its end. Raises LimitReached."""
        tenant_id = caller.tenant_id
        if open_calls.enter((tenant_id, CALLS_PER_TENANT)) is not None:
            error = LimitReached("too many calls are open; end some of them", retry_after=1)
            error.tier, error.retry_after_ms = "open_calls", 1000
            raise error
        self._wire.add_done_callback(lambda _: open_calls.leave(tenant_id))

    async def read(self) -> bytes:
        """Read its message. Raises RequestTimeout, BadRequest, LimitReached, NotAdmitted."""
        memory = self.call.body_memory
        content: bytes = await message(self._wire, memory, settings.MAX_BODY_BYTES)
        memory.release(len(content))
        if len(content) > FREE:
            await self.call.hold(len(content))
        return content

    async def submit(self, submission: Submission) -> AnswerStream:
        """Submit. A client that disconnects cancels this task, but never half a submission.

        Raises NotAllowed, NoSuchModel, NotAdmitted, OutOfService, Conflict, KeyReused.
        """
        async with self._gathering.submitting():
            submitting = asyncio.ensure_future(idempotency.submit(self.call, submission))
            try:
                return await asyncio.shield(submitting)
            except asyncio.CancelledError:
                self.call.context.background.run(_give_up(submitting))
                raise

    async def write(self, message: Message) -> None:
        """Write a message. Raises RequestTimeout."""
        await write(self._wire, message.SerializeToString())

    async def begin(self, answer: AnswerStream) -> None:
        """Send the headers of a stream: a client needs its request id to resume."""
        try:
            await self._wire.send_initial_metadata(_metadata(self._headers()))
        except BaseException:
            answer.give_up()
            raise

    def end(self) -> None:
        self.call.counted.status, self._code = 200, grpc.StatusCode.OK
        self._wire.set_trailing_metadata(_metadata(self._headers()))

    def over(self) -> None:
        """Release the call, however it has ended."""
        self.call.release_body()
        method = self.call.route.removeprefix("/")
        wire = {
            attributes.RPC_SYSTEM: "grpc",
            attributes.RPC_METHOD: method,
            attributes.RPC_STATUS: self._code.name,
        }
        self.call.end(method, wire)

    def _headers(self) -> Headers:
        return self.call.response_headers()

    async def refuse(self, problem: Exception) -> NoReturn:
        """End the call with a status and its details."""
        if not isinstance(problem, REFUSALS):
            log.exception("%s (%s)", self.call.route, self.call.request_id)
        error = await self.call.refused(problem)
        self.call.counted.status, self._code = error.status, errors.code_of(error)
        metadata = _metadata([*self._headers(), *error.headers()])
        await self._wire.abort(
            self._code,
            errors.message_of(error),
            (*metadata, (errors.DETAILS, errors.details_of(error))),
        )
        raise AssertionError  # abort does not return


async def _give_up(submitting: asyncio.Task[AnswerStream]) -> None:
    with suppress(*REFUSALS):
        (await submitting).give_up()


def _metadata(headers: Headers) -> Metadata:
    """Returns headers as metadata; of a repeated name the last."""
    return tuple({name.decode(): value.decode("latin-1") for name, value in headers}.items())
