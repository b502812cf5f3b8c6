"""One RPC: its metadata as it comes, and what goes along with its answer or its refusal."""

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
from inference.api.refusing import REFUSALS
from inference.errors import Headers, LimitReached
from inference.intake.answer_stream import AnswerStream
from inference.intake.at_once import AtOnce
from inference.intake.context import Context
from inference.intake.submission import Submission
from inference.intake.unadmitted import FREE
from inference.tracing import attributes, spans
from tenants.caller import Caller

log = logging.getLogger(__name__)
CALLS_PER_TENANT = 2_500
Metadata = tuple[tuple[str, str | bytes], ...]


class Rpc:
    def __init__(self, context: Context, wire: Wire, route: str) -> None:
        self._wire = wire
        self.call = Call(context, route, peers.address(wire), "grpc")
        self.call.span = spans.front(route, lambda name: peers.told(wire, name))
        self._code = grpc.StatusCode.CANCELLED  # until something else has been told

    @property
    def key(self) -> str:
        scheme, _, key = peers.told(self._wire, "authorization").partition(" ")
        if scheme.lower() == "bearer":
            return key.strip()
        return peers.told(self._wire, "x-api-key") or peers.told(self._wire, "api-key")

    @property
    def time_left_s(self) -> float:
        """Until the client's deadline."""
        left: float | None = self._wire.time_remaining()
        return inf if left is None else left

    def told(self, header: str) -> str | None:
        """What its metadata has under an HTTP header's name; None where it has no such name."""
        found = peers.values(self._wire, header.lower())
        return ",".join(found) if found else None

    async def authenticate(self) -> Caller:
        """Raises what `refuse` explains."""
        return await self.call.authenticate(self.key)

    def enter(self, caller: Caller, open_calls: AtOnce) -> None:
        """As one of the tenant's calls, until the client has read its end. Raises LimitReached."""
        whose = caller.tenant_id
        if open_calls.enter((whose, CALLS_PER_TENANT)) is not None:
            error = LimitReached("too many calls are open; end some of them", retry_after=1)
            error.tier, error.retry_after_ms = "open_calls", 1000
            raise error
        self._wire.add_done_callback(lambda _: open_calls.leave(whose))

    async def read(self) -> bytes:
        """Its message. Raises RequestTimeout, BadRequest, LimitReached, NotAdmitted."""
        held = self.call.held
        sent: bytes = await peers.message(self._wire, held, settings.MAX_BODY_BYTES)
        held.release(len(sent))
        if len(sent) > FREE:
            await self.call.hold(len(sent))
        return sent

    async def submit(self, submission: Submission) -> AnswerStream:
        """A client that goes away cancels this task, whatever it is at: never half a submission.

        Raises NotAllowed, NoSuchModel, NotAdmitted, OutOfService, Conflict, KeyReused.
        """
        submitting = asyncio.ensure_future(idempotency.submit(self.call, submission))
        try:
            return await asyncio.shield(submitting)
        except asyncio.CancelledError:
            self.call.context.background.run(_give_up(submitting))
            raise
        finally:
            self.call.let_go()

    async def write(self, message: Message) -> None:
        """Raises RequestTimeout."""
        await peers.write(self._wire, message.SerializeToString())

    async def begin(self, answer: AnswerStream) -> None:
        """Tells beforehand what a stream's client needs to come back: the id of its request."""
        try:
            await self._wire.send_initial_metadata(_metadata(self._headers()))
        except BaseException:
            answer.give_up()
            raise

    def end(self) -> None:
        self.call.counted.status, self._code = 200, grpc.StatusCode.OK
        self._wire.set_trailing_metadata(_metadata(self._headers()))

    def over(self) -> None:
        """However it has ended."""
        self.call.let_go()
        method = self.call.route.removeprefix("/")
        wire = {
            attributes.RPC_SYSTEM: "grpc",
            attributes.RPC_METHOD: method,
            attributes.RPC_STATUS: self._code.name,
        }
        self.call.end(method, wire)

    def _headers(self) -> Headers:
        return self.call.told()

    async def refuse(self, problem: Exception) -> NoReturn:
        """Ends it with a status and its details."""
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
    """Headers are metadata's ASCII as it is; a name told twice is told once."""
    return tuple({name.decode(): value.decode("latin-1") for name, value in headers}.items())
