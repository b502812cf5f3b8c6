"""One RPC: its metadata as it comes, and what goes along with its answer or its refusal."""

import asyncio
import logging
from contextlib import suppress
from math import inf
from typing import Any, NoReturn
from urllib.parse import unquote

from django.conf import settings
from google.protobuf.message import Message

from inference.api.call import Call
from inference.api.grpc import errors
from inference.api.refusing import REFUSALS
from inference.errors import Headers
from inference.intake.answer_stream import AnswerStream
from inference.intake.context import Context
from inference.intake.submission import Submission
from tenants.caller import Caller
from tenants.rate_limits.client_address import seen

log = logging.getLogger(__name__)
Wire = Any  # grpc.aio.ServicerContext of this message type or that
Metadata = tuple[tuple[str, str | bytes], ...]


class Rpc:
    def __init__(self, context: Context, wire: Wire, route: str) -> None:
        self._wire = wire
        self._metadata: list[tuple[str, str]] = list(wire.invocation_metadata() or ())
        self.call = Call(context, route, self._client_ip())

    @property
    def key(self) -> str:
        scheme, _, key = self._told("authorization").partition(" ")
        if scheme.lower() == "bearer":
            return key.strip()
        return self._told("x-api-key") or self._told("api-key")

    def _told(self, name: str) -> str:
        """All its values, as one header would have them."""
        return ",".join(value for key, value in self._metadata if key == name)

    @property
    def time_left_s(self) -> float:
        """Until the client's deadline."""
        left: float | None = self._wire.time_remaining()
        return inf if left is None else left

    async def authenticate(self) -> Caller:
        """Raises what `refuse` explains."""
        return await self.call.authenticate(self.key)

    async def submit(self, submission: Submission) -> AnswerStream:
        """A client that goes away cancels this task, whatever it is at: never half a submission.

        Raises NotAllowed, NoSuchModel, NotAdmitted, OutOfService.
        """
        submitting = asyncio.ensure_future(self.call.submit(submission))
        try:
            return await asyncio.shield(submitting)
        except asyncio.CancelledError:
            self.call.context.background.run(_give_up(submitting))
            raise

    async def write(self, message: Message) -> None:
        await self._wire.write(message.SerializeToString())

    async def begin(self, answer: AnswerStream) -> None:
        """Tells beforehand what a stream's client needs to come back: the id of its request."""
        try:
            await self._wire.send_initial_metadata(_metadata(self._headers()))
        except BaseException:
            answer.give_up()
            raise

    def end(self) -> None:
        self._wire.set_trailing_metadata(_metadata(self._headers()))

    def _headers(self) -> Headers:
        return self.call.told()

    async def refuse(self, problem: Exception) -> NoReturn:
        """Ends it with a status and its details."""
        if not isinstance(problem, REFUSALS):
            log.exception("%s (%s)", self.call.route, self.call.request_id)
        error = await self.call.refused(problem)
        metadata = _metadata([*self._headers(), *error.headers()])
        await self._wire.abort(
            errors.code_of(error),
            errors.message_of(error),
            (*metadata, (errors.DETAILS, errors.details_of(error))),
        )
        raise AssertionError  # abort does not return

    def _client_ip(self) -> str:
        """The peer is `ipv4:203.0.113.7:5000` or `ipv6:[2001:db8::7]:5000`, or a socket file."""
        kind, _, rest = unquote(self._wire.peer()).partition(":")
        peer = rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""
        return seen(peer, self._told("x-forwarded-for"), settings.TRUSTED_PROXIES)


async def _give_up(submitting: asyncio.Task[AnswerStream]) -> None:
    with suppress(*REFUSALS):
        (await submitting).give_up()


def _metadata(headers: Headers) -> Metadata:
    """Headers are metadata's ASCII as it is; a name told twice is told once."""
    return tuple({name.decode(): value.decode("latin-1") for name, value in headers}.items())
