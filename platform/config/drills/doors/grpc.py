"""Chat over gRPC."""

from collections.abc import Sequence
from itertools import cycle
from uuid import UUID

import grpc

from config.drills.load import Refused
from inference.api.grpc.stubs.forebay.v1 import inference_pb2 as pb

_CHAT = "/forebay.v1.InferenceService/Chat"
_LONGEST_S = 60
# Waits between attempts to connect would be waits for the platform in the report.
_SOON = [("grpc.initial_reconnect_backoff_ms", 250), ("grpc.max_reconnect_backoff_ms", 500)]
_FINAL = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.FAILED_PRECONDITION)


class Grpc:
    name = "grpc"
    size = 1

    def __init__(self, addresses: Sequence[str], key: str, model: str) -> None:
        self._addresses, self._key, self._model = cycle(addresses), key, model
        self._channels = {each: grpc.aio.insecure_channel(each, _SOON) for each in addresses}
        self._address = next(self._addresses)

    async def ask(self, request: str) -> Sequence[str]:
        message = pb.ChatRequest(
            model=self._model,
            messages=[pb.ChatMessage(role="user", content="Say hello.")],
            max_tokens=12,
        )
        metadata = (("authorization", f"Bearer {self._key}"), ("idempotency-key", request))
        address = self._address
        call = self._channels[address].unary_unary(
            _CHAT,
            request_serializer=pb.ChatRequest.SerializeToString,
            response_deserializer=pb.ChatResponse.FromString,
        )
        try:
            answer = await call(message, metadata=metadata, timeout=_LONGEST_S)
        except grpc.aio.AioRpcError as error:
            self._turn_from(address)
            text, is_refused = f"{error.code().name} {error.details()}", error.code() in _FINAL
            trailing = _trailing(error)
            if is_refused or "grpc-status-details-bin" in trailing:
                again = not is_refused and trailing.get("x-should-retry") != "false"
                raise Refused(text, began=not is_refused, again=again) from None
            raise
        return [str(UUID(answer.request_id))]

    def _turn_from(self, address: str) -> None:
        """Use the next host, if no other client has turned to it already."""
        if address == self._address:
            self._address = next(self._addresses)

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()


def _trailing(error: grpc.aio.AioRpcError) -> dict[str, str | bytes]:
    """Returns the metadata at a call's end. The platform's own errors have details among them."""
    return dict(error.trailing_metadata() or ())
