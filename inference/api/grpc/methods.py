"""The methods of the services: each reads its message, submits, and writes the answer.

SERVICES maps them by the descriptors in the stubs.
"""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from inference.api import cancelling, served_models, stream_resumption
from inference.api.grpc import answers, decisions, errors, requests
from inference.api.grpc.gathering import Gathering
from inference.api.grpc.rpc import Rpc, Wire
from inference.api.grpc.server import CALLS
from inference.api.grpc.stubs import deepseek_pb2
from inference.api.grpc.stubs.forebay.v1 import decisions_pb2
from inference.api.grpc.stubs.forebay.v1 import inference_pb2 as pb
from inference.errors import BadRequest
from inference.intake.access import allowed
from inference.intake.context import Context
from inference.intake.limits.concurrency import ConcurrencyLimit
from inference.intake.submission import Options, Submission
from inference.metrics.labels import ROUTES
from inference.stream.frames import Frame, Kind
from inference.validation import requests as validation
from inference.validation.requests import Form
from inference.validation.schemas import Body
from tenants.caller import Caller

Read = Callable[..., Awaitable[Submission]]
LATEST_EVENT = 2**40


# Reading messages --------------------------------------------------------------------------------
async def plain_call(rpc: Rpc, caller: Caller, request: Any, *, streamed: bool) -> Submission:
    body = requests.plain_call(request)
    if model := getattr(request, "model", ""):
        body["model"] = model
    return await _submission(rpc, caller, body, request, Form.PLAIN, streamed=streamed)


async def chat(rpc: Rpc, caller: Caller, request: pb.ChatRequest, *, streamed: bool) -> Submission:
    """Count the messages before the body is built: millions of them would take seconds."""
    engine = allowed.engine_for(caller, validation.model_of({"model": request.model}))
    validation.check_count(len(request.messages), engine)
    body = requests.chat(request)
    return await _submission(rpc, caller, body, request, Form.CHAT, streamed=streamed)


async def _submission(
    rpc: Rpc, caller: Caller, body: Body, request: Message, form: Form, *, streamed: bool
) -> Submission:
    options = Options.of(rpc.header, streamed=streamed, time_limit_s=rpc.time_left_s)
    return await rpc.call.read(caller, body, request.ByteSize(), form, options)


# Answering ---------------------------------------------------------------------------------------
async def whole(kind: type[Message], read: Read, rpc: Rpc, caller: Caller, request: Any) -> Message:
    """Answer with one message of this kind."""
    answer = await rpc.submit(await read(rpc, caller, request, streamed=False))
    frame = await answer.whole()
    rpc.call.tell_whole(answer, frame)
    if frame.kind == Kind.ERROR:
        raise errors.of_frame(frame)
    fields = {**vars(answers.Whole(frame)), "request_id": rpc.call.request_id}
    return kind(**{name: fields[name] for name in kind.DESCRIPTOR.fields_by_name})


async def stream(read: Read, rpc: Rpc, caller: Caller, request: Any) -> None:
    """Answer with events."""
    answer = await rpc.submit(await read(rpc, caller, request, streamed=True))
    await rpc.begin(answer)
    events = answers.Events(rpc.call.request_id)
    async with aclosing(answer.frames()) as frames:
        async for frame in frames:
            if frame:
                rpc.call.tell_frame(frame)
                await rpc.write(events.of(frame))


# Earlier requests --------------------------------------------------------------------------------
async def resume(rpc: Rpc, caller: Caller, request: pb.ResumeRequest) -> None:
    await rpc.call.add_limit_headers(caller)
    after = request.after_event
    if not 0 <= after < LATEST_EVENT:
        raise BadRequest("`after_event` must be the number of an event", param="after_event")
    completion = await stream_resumption.own(rpc.call, caller, request.request_id)

    events = answers.Events(str(completion.pk))

    async def write(frame: Frame | None) -> None:
        if frame:
            await rpc.write(events.of(frame))

    with stream_resumption.counted(rpc.call, caller):
        await stream_resumption.read_on(rpc.call, caller, completion, after, write)


async def cancel(rpc: Rpc, caller: Caller, request: pb.CancelRequest) -> pb.CancelResponse:
    await rpc.call.add_limit_headers(caller)
    was_running = await cancelling.cancel(rpc.call, caller, request.request_id)
    return pb.CancelResponse(was_running=was_running)


async def list_models(
    rpc: Rpc, caller: Caller, request: pb.ListModelsRequest
) -> pb.ListModelsResponse:
    await rpc.call.add_limit_headers(caller)
    models = await served_models.listed(caller)
    return pb.ListModelsResponse(models=map(_model, models))


def _model(fields: dict[str, Any]) -> pb.Model:
    known = pb.Model.DESCRIPTOR.fields_by_name
    return pb.Model(**{name: fields[name] for name in fields if name in known})


# The services ------------------------------------------------------------------------------------
View = Callable[[Rpc, Caller, Any], Awaitable[Message | None]]
Begin = Callable[[Wire, str], Rpc]
SERVICES: dict[ServiceDescriptor, dict[str, View]] = {
    pb.DESCRIPTOR.services_by_name["InferenceService"]: {
        "Inference": partial(whole, pb.InferenceResponse, plain_call),
        "InferenceStream": partial(stream, plain_call),
        "Chat": partial(whole, pb.ChatResponse, chat),
        "ChatStream": partial(stream, chat),
        "Resume": resume,
        "Cancel": cancel,
        "ListModels": list_models,
    },
    decisions_pb2.DESCRIPTOR.services_by_name["DecisionService"]: {"Decide": decisions.decide},
    deepseek_pb2.DESCRIPTOR.services_by_name["DeepSeekService"]: {
        "Inference": partial(whole, deepseek_pb2.InferenceResponse, plain_call),
    },
}
NAMES = tuple(service.full_name for service in SERVICES)


def handlers(context: Context) -> list[grpc.GenericRpcHandler]:
    open_calls, gathering = ConcurrencyLimit(CALLS), Gathering()
    begin = partial(Rpc, context, gathering=gathering)
    services = []
    for service, views_by_name in SERVICES.items():
        methods = {
            name: _handler(begin, service.methods_by_name[name], view, open_calls)
            for name, view in views_by_name.items()
        }
        services.append(grpc.method_handlers_generic_handler(service.full_name, methods))
    return services


def _handler(
    begin: Begin, method: MethodDescriptor, view: View, open_calls: ConcurrencyLimit
) -> "grpc.RpcMethodHandler[bytes, bytes]":
    """Register as a stream of requests, so that the message is read after the key is checked."""
    kind = (
        grpc.stream_stream_rpc_method_handler
        if method.server_streaming
        else grpc.stream_unary_rpc_method_handler
    )
    return kind(_answering(begin, method, view, open_calls))


def _answering(
    begin: Begin, method: MethodDescriptor, view: View, open_calls: ConcurrencyLimit
) -> Callable[[Any, Wire], Awaitable[bytes | None]]:
    route = f"/{method.containing_service.full_name}/{method.name}"
    ROUTES.add(route)
    kind = message_factory.GetMessageClass(method.input_type)

    async def answer(_: Any, wire: Wire) -> bytes | None:
        rpc = begin(wire, route)
        try:
            caller = await rpc.authenticate()
            rpc.enter(caller, open_calls)
            message = await view(rpc, caller, requests.parsed(kind, await rpc.read()))
        except Exception as problem:
            return await rpc.refuse(problem)
        else:
            rpc.end()
            return None if message is None else message.SerializeToString()
        finally:
            rpc.over()

    return answer
