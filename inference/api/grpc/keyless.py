"""Services that need no key: health and reflection.

Open calls to them are bounded, per address and in all: without a key nobody can use up the calls
that the server takes at once.
"""

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from inference.api.grpc.peers import address, message
from inference.errors import ApiError
from inference.intake.at_once import AtOnce
from tenants.rate_limits.client_address import counted

CALLS, CALLS_PER_ADDRESS = 1_000, 32
Handler = Any  # grpc.RpcMethodHandler, whose stubs leave out what it has


class Keyless:
    """Services are added to it instead of to the server."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server
        self._open = AtOnce(CALLS)

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Handler]) -> None:
        bounded = {name: self._bounded(handler) for name, handler in handlers.items()}
        handler = grpc.method_handlers_generic_handler(service, bounded)
        self._server.add_generic_rpc_handlers((handler,))

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """The same methods, which have come by name."""

    def _bounded(self, handler: Any) -> Handler:
        """Registered as a stream of requests: the call counts before its message has arrived."""
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
                request = await message(wire)
            except (ApiError, DecodeError) as error:
                await wire.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            return await method(request, wire)

        return answer

    def _stream(self, method: Callable[..., Any]) -> Any:
        async def answer(requests: Any, wire: Any) -> None:
            await self._enter(wire)
            async for response in method(requests, wire):
                await wire.write(response)

        return answer

    async def _enter(self, wire: Any) -> None:
        whose = counted(address(wire)) or "socket file"
        if self._open.enter((whose, CALLS_PER_ADDRESS)) is not None:
            problem = "too many calls without a key are open"
            await wire.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, problem)
        wire.add_done_callback(lambda _: self._open.leave(whose))
