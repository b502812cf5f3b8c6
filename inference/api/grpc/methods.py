"""Maps the methods of the services to views, by the descriptors in the stubs."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from inference.api.grpc import views
from inference.api.grpc.requests import parsed
from inference.api.grpc.rpc import Rpc, Wire
from inference.api.grpc.server import CALLS
from inference.api.grpc.stubs import deepseek_pb2
from inference.api.grpc.stubs.forebay.v1 import inference_pb2
from inference.intake.context import Context
from inference.intake.limits.concurrency import ConcurrencyLimit
from inference.metrics.labels import ROUTES
from tenants.caller import Caller

View = Callable[[Rpc, Caller, Any], Awaitable[Message | None]]
SERVICES: dict[ServiceDescriptor, dict[str, View]] = {
    inference_pb2.DESCRIPTOR.services_by_name["InferenceService"]: {
        "Inference": partial(views.whole, inference_pb2.InferenceResponse, views.plain_call),
        "InferenceStream": partial(views.stream, views.plain_call),
        "Chat": partial(views.whole, inference_pb2.ChatResponse, views.chat),
        "ChatStream": partial(views.stream, views.chat),
        "Resume": views.resume,
        "Cancel": views.cancel,
        "ListModels": views.list_models,
    },
    deepseek_pb2.DESCRIPTOR.services_by_name["DeepSeekService"]: {
        "Inference": partial(views.whole, deepseek_pb2.InferenceResponse, views.plain_call),
    },
}
NAMES = tuple(service.full_name for service in SERVICES)


def handlers(context: Context) -> list[grpc.GenericRpcHandler]:
    open_calls = ConcurrencyLimit(CALLS)
    services = []
    for service, views_by_name in SERVICES.items():
        methods = {
            name: _handler(context, service.methods_by_name[name], view, open_calls)
            for name, view in views_by_name.items()
        }
        services.append(grpc.method_handlers_generic_handler(service.full_name, methods))
    return services


def _handler(
    context: Context, method: MethodDescriptor, view: View, open_calls: ConcurrencyLimit
) -> "grpc.RpcMethodHandler[bytes, bytes]":
    """Register as a stream of requests, so that the message is read after the key is checked."""
    kind = (
        grpc.stream_stream_rpc_method_handler
        if method.server_streaming
        else grpc.stream_unary_rpc_method_handler
    )
    return kind(_answering(context, method, view, open_calls))


def _answering(
    context: Context, method: MethodDescriptor, view: View, open_calls: ConcurrencyLimit
) -> Callable[[Any, Wire], Awaitable[bytes | None]]:
    route = f"/{method.containing_service.full_name}/{method.name}"
    ROUTES.add(route)
    kind = message_factory.GetMessageClass(method.input_type)

    async def answer(_: Any, wire: Wire) -> bytes | None:
        rpc = Rpc(context, wire, route)
        try:
            caller = await rpc.authenticate()
            rpc.enter(caller, open_calls)
            message = await view(rpc, caller, parsed(kind, await rpc.read()))
        except Exception as problem:
            return await rpc.refuse(problem)
        else:
            rpc.end()
            return None if message is None else message.SerializeToString()
        finally:
            rpc.over()

    return answer
