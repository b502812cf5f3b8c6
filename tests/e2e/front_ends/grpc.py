"""forebay.v1.InferenceService."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from inference.api.grpc.stubs.forebay.v1 import inference_pb2 as pb
from tests.e2e.front_ends.base import HI, Answer, Event

SERVICE = "/forebay.v1.InferenceService/"
STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INTERNAL: 502,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_DETAILS = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.RetryInfo,
    error_details_pb2.QuotaFailure,
)


def metadata_of(call: Any) -> dict[str, Any]:
    return dict([*(call.initial_metadata() or ()), *(call.trailing_metadata() or ())])


def details_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """By the name of their message."""
    status = status_pb2.Status.FromString(metadata.get("grpc-status-details-bin", b""))
    found = {}
    for detail in status.details:
        for kind in _DETAILS:
            if detail.Is(kind.DESCRIPTOR):
                found[kind.DESCRIPTOR.name] = kind.FromString(detail.value)
    return found


def error_of(call: Any) -> Answer:
    metadata = metadata_of(call)
    details = details_of(metadata)
    info = details.get("ErrorInfo", error_details_pb2.ErrorInfo())
    delay = details.get("RetryInfo", error_details_pb2.RetryInfo()).retry_delay
    return Answer(
        STATUSES.get(call.code(), 500),
        request_id=metadata.get("x-request-id", ""),
        code=info.reason.lower(),
        param=info.metadata.get("param"),
        message=call.details(),
        refusal_id=info.metadata.get("refusal_id", ""),
        retry_after_s=delay.ToMilliseconds() / 1000,
        figures=metadata,
    )


def _serialized(message: Any) -> bytes:
    sent: bytes = message.SerializeToString()
    return sent


def _end_of(call: Any, *, stream: bool = False) -> Answer:
    """Of a call that is under way."""
    try:
        _ = list(call) if stream else call.result()
    except grpc.RpcError:
        return error_of(call)
    return Answer(200, figures=metadata_of(call))


def usage_of(message: Any) -> dict[str, int]:
    return {field.name: value for field, value in message.usage.ListFields()}


class GrpcStream:
    def __init__(self, call: Any) -> None:
        self._call = call
        self.error: Answer | None = None
        self.figures: Mapping[str, Any] = dict(call.initial_metadata() or ())
        self.request_id = self.figures.get("x-request-id", "")

    def __iter__(self) -> Iterator[Event]:
        try:
            for event in self._call:
                yield Event(event.number, event.text, event.finish_reason)
        except grpc.RpcError as error:
            self.error = error_of(error)
        self.figures = metadata_of(self._call)


class GrpcClient:
    def __init__(
        self, channel: grpc.Channel, metadata: list[tuple[str, str]], timeout_s: float
    ) -> None:
        self._channel = channel
        self._along: dict[str, Any] = {"metadata": metadata, "timeout": timeout_s}

    def unary(self, method: str, request: Any, response: Any, path: str = SERVICE) -> Any:
        """(message, call). Raises grpc.RpcError."""
        ask: Any = self._channel.unary_unary(
            path + method, type(request).SerializeToString, response.FromString
        )
        return ask.with_call(request, **self._along)

    def _answered(self, method: str, make: Callable[[], Any], response: Any) -> Answer:
        try:
            message, call = self.unary(method, make(), response)
        except grpc.RpcError as error:
            return error_of(error)
        return Answer(
            200,
            request_id=message.request_id,
            text=message.text,
            finish_reason=message.finish_reason,
            usage=usage_of(message),
            figures=metadata_of(call),
        )

    def chat(self, **fields: Any) -> Answer:
        return self._answered("Chat", lambda: chat_request(fields), pb.ChatResponse)

    def plain(self, **fields: Any) -> Answer:
        sent = {"prompt": "Say hi.", **fields}
        request = pb.InferenceRequest(**sent)
        return self._answered("Inference", lambda: request, pb.InferenceResponse)

    def _streaming(self, method: str) -> Any:
        return self._channel.unary_stream(SERVICE + method, _serialized, pb.AnswerEvent.FromString)

    @contextmanager
    def _streamed(self, method: str, request: Any) -> Iterator[GrpcStream]:
        call = self._streaming(method)(request, **self._along)
        try:
            yield GrpcStream(call)
        finally:
            call.cancel()

    def chat_stream(self, **fields: Any) -> Any:
        return self._streamed("ChatStream", chat_request(fields))

    def resume(self, request_id: str, after: int = 0) -> Any:
        return self._streamed("Resume", pb.ResumeRequest(request_id=request_id, after_event=after))

    def cancel(self, request_id: str) -> pb.CancelResponse:
        request = pb.CancelRequest(request_id=request_id)
        message: pb.CancelResponse = self.unary("Cancel", request, pb.CancelResponse)[0]
        return message

    def at_once(self, n: int, how: str, **fields: Any) -> list[Answer]:
        if how == "chat_stream":
            ask = self._streaming("ChatStream")
            request: Any = chat_request(fields)
            calls = [ask(request, **self._along) for _ in range(n)]
            return [_end_of(call, stream=True) for call in calls]
        if how == "plain":
            method, request = "Inference", pb.InferenceRequest(prompt="Say hi.", **fields)
        else:
            method, request = "Chat", chat_request(fields)
        single: Any = self._channel.unary_unary(SERVICE + method, _serialized)
        calls = [single.future(request, **self._along) for _ in range(n)]
        return [_end_of(call) for call in calls]

    def models(self) -> Answer:
        try:
            message, call = self.unary("ListModels", pb.ListModelsRequest(), pb.ListModelsResponse)
        except grpc.RpcError as error:
            return error_of(error)
        names = " ".join(model.id for model in message.models)
        return Answer(200, text=names, figures=metadata_of(call))


class Grpc:
    role = "grpc"

    def __init__(self, platform: Any) -> None:
        self.address = f"127.0.0.1:{platform.grpc_port}"

    @contextmanager
    def client(
        self,
        key: str | None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 60,
    ) -> Iterator[GrpcClient]:
        sent = {"authorization": f"Bearer {key}"} if key is not None else {}
        sent |= {name.lower(): value for name, value in (headers or {}).items()}
        # Each client a connection of its own, and no proxy of this machine in between.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        with grpc.insecure_channel(self.address, options) as channel:
            yield GrpcClient(channel, list(sent.items()), timeout_s)


def chat_request(fields: Mapping[str, Any]) -> pb.ChatRequest:
    sent = {"model": "mock", "messages": HI, **fields}
    return pb.ChatRequest(**sent)
