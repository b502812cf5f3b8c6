"""One RPC: its metadata as they arrive, and those of its answer or refusal."""

import asyncio
import logging
from contextlib import suppress
from math import inf
from typing import NoReturn

import grpc
from django.conf import settings
from google.protobuf.message import Message

from inference.api import idempotency
from inference.api.call import Call
from inference.api.grpc import errors, peers
from inference.api.grpc.peers import Wire
from inference.api.refusals import REFUSALS
from inference.errors import Headers, LimitReached
from inference.intake.answer_stream import AnswerStream
from inference.intake.context import Context
from inference.intake.limits.concurrency import ConcurrencyLimit
from inference.intake.limits.unadmitted import FREE
from inference.intake.submission import Submission
from inference.tracing import attributes, spans
from tenants.caller import Caller

log = logging.getLogger(__name__)
CALLS_PER_TENANT = 2_500
Metadata = tuple[tuple[str, str | bytes], ...]


class Rpc:
    def __init__(self, context: Context, wire: Wire, route: str) -> None:
        self._wire = wire
        self.call = Call(context, route, peers.address(wire), "grpc")
        self.call.span = spans.front(route, lambda name: peers.header(wire, name))
        self._code = grpc.StatusCode.CANCELLED  # until another code is set

    @property
    def key(self) -> str:
        scheme, _, key = peers.header(self._wire, "authorization").partition(" ")
        if scheme.lower() == "bearer":
            return key.strip()
        return peers.header(self._wire, "x-api-key") or peers.header(self._wire, "api-key")

    @property
    def time_left_s(self) -> float:
        """Returns the seconds until the client's deadline."""
        remaining: float | None = self._wire.time_remaining()
        return inf if remaining is None else remaining

    def header(self, name: str) -> str | None:
        """Returns the metadata of an HTTP header's name; None if there are none."""
        values = peers.values(self._wire, name.lower())
        return ",".join(values) if values else None

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
        memory = self.call.held
        content: bytes = await peers.message(self._wire, memory, settings.MAX_BODY_BYTES)
        memory.release(len(content))
        if len(content) > FREE:
            await self.call.hold(len(content))
        return content

    async def submit(self, submission: Submission) -> AnswerStream:
        """Submit. A client that disconnects cancels this task, but never half a submission.

        Raises NotAllowed, NoSuchModel, NotAdmitted, OutOfService, Conflict, KeyReused.
        """
        submitting = asyncio.ensure_future(idempotency.submit(self.call, submission))
        try:
            return await asyncio.shield(submitting)
        except asyncio.CancelledError:
            self.call.context.background.run(_give_up(submitting))
            raise
        finally:
            self.call.release_body()

    async def write(self, message: Message) -> None:
        """Write a message. Raises RequestTimeout."""
        await peers.write(self._wire, message.SerializeToString())

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
