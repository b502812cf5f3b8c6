"""A collector of traces: OTLP over gRPC, as Jaeger and Tempo take it. It keeps what it gets."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status

FAILED = Status.STATUS_CODE_ERROR


@dataclass(frozen=True)
class Span:
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    began: int  # nanoseconds since the epoch
    ended: int
    failed: bool
    attributes: dict[str, Any]
    by: dict[str, Any] = field(repr=False)  # the process


class Collector(TraceServiceServicer):
    def __init__(self) -> None:
        self.port = 0
        self.requests: list[ExportTraceServiceRequest] = []

    def Export(self, request: Any, context: Any) -> ExportTraceServiceResponse:
        self.requests.append(request)
        return ExportTraceServiceResponse()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def text(self) -> bytes:
        """All that it was told."""
        return b"\n".join(request.SerializeToString() for request in self.requests)

    def spans(self, trace: str = "") -> list[Span]:
        found = [span for request in list(self.requests) for span in _spans(request)]
        return [span for span in found if not trace or span.trace == trace]


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for by_process in request.resource_spans:
        process = dict(map(_attribute, by_process.resource.attributes))
        for scope in by_process.scope_spans:
            for sent in scope.spans:
                yield Span(
                    name=sent.name,
                    kind=Sent.SpanKind.Name(sent.kind).removeprefix("SPAN_KIND_"),
                    trace=sent.trace_id.hex(),
                    id=sent.span_id.hex(),
                    parent=sent.parent_span_id.hex(),
                    began=sent.start_time_unix_nano,
                    ended=sent.end_time_unix_nano,
                    failed=sent.status.code == FAILED,
                    attributes=dict(map(_attribute, sent.attributes)),
                    by=process,
                )


def _attribute(told: KeyValue) -> tuple[str, Any]:
    kind = told.value.WhichOneof("value")
    value = getattr(told.value, kind or "string_value")
    if kind == "array_value":
        value = [each.string_value for each in value.values]
    return told.key, value


@contextmanager
def collecting() -> Iterator[Collector]:
    collector, server = Collector(), grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]  # generated
    collector.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield collector
    finally:
        server.stop(0).wait()
