"""Services that need no key: health and reflection.

Open calls to them are bounded, per address and in all, so that clients without a key cannot use up
the calls that the server accepts.

The health service is the standard one without the lock of grpcio's, which writes to watchers under
the lock that every check needs, so that one watcher that does not read blocks them all.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any

import grpc
from django.conf import settings
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from inference.api.grpc.rpc import address, message
from inference.errors import ApiError
from inference.intake.limits import unadmitted_bodies
from inference.intake.limits.concurrency import ConcurrencyLimit
from inference.intake.limits.unadmitted_bodies import BodyMemory
from tenants.rate_limits.client_address import counted

CALLS, CALLS_PER_ADDRESS = 1_000, 32
MESSAGE_S = 5  # for a message to arrive: they have a few bytes
Handler = Any  # grpc.RpcMethodHandler, whose stubs lack its attributes


class Keyless:
    """A stand-in for the server, to which services are added."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server
        self._open = ConcurrencyLimit(CALLS)

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Handler]) -> None:
        bounded = {name: self._bounded(handler) for name, handler in handlers.items()}
        handler = grpc.method_handlers_generic_handler(service, bounded)
        self._server.add_generic_rpc_handlers((handler,))

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Ignore the same methods, which are registered by name already."""

    def _bounded(self, handler: Any) -> Handler:
        """Register as a stream of requests: the call counts before its message has arrived."""
        kinds = handler.request_deserializer, handler.response_serializer
        if handler.unary_unary:
            return grpc.stream_unary_rpc_method_handler(self._whole(handler.unary_unary), *kinds)
        if handler.unary_stream:
            return grpc.stream_stream_rpc_method_handler(self._whole(handler.unary_stream), *kinds)
        return grpc.stream_stream_rpc_method_handler(self._stream(handler.stream_stream), *kinds)

    def _whole(self, method: Callable[..., Any]) -> Any:
        async def answer(_: Any, wire: Any) -> Any:
            await self._enter(wire)
            try:
                request = await self._message(wire)
            except (ApiError, DecodeError, TimeoutError) as error:
                await wire.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error) or "too slow")
            return await method(request, wire)

        return answer

    def _stream(self, method: Callable[..., Any]) -> Any:
        async def answer(_: Any, wire: Any) -> None:
            await self._enter(wire)
            async for response in method(self._messages(wire), wire):
                await wire.write(response)

        return answer

    async def _messages(self, wire: Any) -> AsyncIterator[Any]:
        """Yields messages until there are no more, or the next one is late."""
        with suppress(ApiError, TimeoutError):
            while True:
                yield await self._message(wire)

    async def _message(self, wire: Any) -> Any:
        """Raises ApiError, TimeoutError."""
        memory = BodyMemory(
            unadmitted_bodies.budget(), lambda: unadmitted_bodies.of_stranger(address(wire))
        )
        try:
            async with asyncio.timeout(MESSAGE_S):
                return await message(wire, memory, settings.MAX_BODY_BYTES)
        finally:
            memory.release()

    async def _enter(self, wire: Any) -> None:
        source = counted(address(wire)) or "socket file"
        if self._open.enter((source, CALLS_PER_ADDRESS)) is not None:
            problem = "too many calls without a key are open"
            await wire.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, problem)
        wire.add_done_callback(lambda _: self._open.leave(source))


# Health -------------------------------------------------------------------------------------------
State = Any  # pb.HealthCheckResponse.ServingStatus, which its stubs have as a value


class Health(health_pb2_grpc.HealthServicer):
    def __init__(self, names: Sequence[str]) -> None:
        self._states: dict[str, State] = dict.fromkeys(names, pb.HealthCheckResponse.NOT_SERVING)
        self._changed = asyncio.Event()
        self._over = False

    def set_state(self, *, well: bool) -> None:
        response = pb.HealthCheckResponse
        state = response.SERVING if well and not self._over else response.NOT_SERVING
        self._states = dict.fromkeys(self._states, state)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def end(self) -> None:
        """Report NOT_SERVING from now on, whatever `set_state` gets."""
        self._over = True
        self.set_state(well=False)

    async def Check(self, request: pb.HealthCheckRequest, context: Any) -> pb.HealthCheckResponse:
        if request.service not in self._states:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return pb.HealthCheckResponse(status=self._states[request.service])

    async def List(self, request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def Watch(self, request: pb.HealthCheckRequest, context: Any) -> None:
        last = None
        while True:
            changed = self._changed
            state = self._states.get(request.service, pb.HealthCheckResponse.SERVICE_UNKNOWN)
            if state != last:
                await context.write(pb.HealthCheckResponse(status=state))
            last = state
            await changed.wait()
