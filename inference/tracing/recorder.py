"""Records spans with OpenTelemetry's SDK. Only this module imports it, and only if traces are on.

The SDK reads OTEL_EXPORTER_OTLP_*, OTEL_TRACES_SAMPLER, OTEL_BSP_*, OTEL_RESOURCE_ATTRIBUTES and
OTEL_SERVICE_NAME itself. Spans wait in a bounded queue for its own thread: an unavailable collector
costs spans, but delays no request.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from opentelemetry import context as contexts
from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from inference.tracing.attributes import ERROR_TYPE
from inference.tracing.spans import OFF, Carrier, Span, Value

NANOSECONDS = 1_000_000_000
LONGEST_STATE = 512  # characters; W3C requires that many to be propagated
END_S = 1.0  # for waiting spans at the end of the process
_HEADERS = ("traceparent", "tracestate")
_w3c = TraceContextTextMapPropagator()


class Recorded(Span):
    """A span that may be sampled."""

    def __init__(self, span: api.Span) -> None:
        self._span, self.is_on = span, span.is_recording()

    def tell(self, attributes: Mapping[str, Value]) -> None:
        self._span.set_attributes(attributes)

    def failed(self, kind: str) -> None:
        """Mark it as failed, without a description, which could quote an engine or a client."""
        self._span.set_attribute(ERROR_TYPE, kind)
        self._span.set_status(StatusCode.ERROR)

    def end(self, name: str = "") -> None:
        if name:
            self._span.update_name(name)
        self._span.end()


class Recorder:
    """The recorder. `clients` tells how much of their `traceparent` counts.

    `ids`: its ids, `sampling`: the sampling flag too, `off`: nothing.
    """

    def __init__(
        self,
        resource: Mapping[str, str],
        version: str,
        *,
        clients: str = "ids",
        exporter: SpanExporter | None = None,
    ) -> None:
        self._provider = TracerProvider(
            resource=Resource.create({**resource}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer, self._clients = self._provider.get_tracer("forebay", version), clients

    def close(self) -> None:
        """Give waiting spans END_S seconds to leave."""
        ending = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        ending.start()
        ending.join(END_S)

    # Spans ----------------------------------------------------------------------------------------
    def front(self, name: str, carrier: Carrier) -> Recorded:
        span = self._tracer.start_span(name, self._of_client(name, carrier), SpanKind.SERVER)
        contexts.attach(api.set_span_in_context(span, Context()))  # the task belongs to the request
        return Recorded(span)

    def front_step(self, name: str) -> AbstractContextManager[Span]:
        return self._within(self._tracer.start_span(name, Context(), SpanKind.SERVER))

    def step(self, name: str, kind: SpanKind = SpanKind.INTERNAL) -> AbstractContextManager[Span]:
        if not api.get_current_span().get_span_context().is_valid:  # outside of any request
            return OFF
        return self._within(self._tracer.start_span(name, kind=kind))

    def client_step(self, name: str) -> AbstractContextManager[Span]:
        return self.step(name, SpanKind.CLIENT)

    def continued(self, trace: str, name: str) -> AbstractContextManager[Span]:
        return self._within(self._tracer.start_span(name, _continued(trace), SpanKind.CONSUMER))

    def past(self, trace: str, name: str, began: float, ended: float) -> None:
        start, end = int(began * NANOSECONDS), int(max(began, ended) * NANOSECONDS)
        self._tracer.start_span(name, _continued(trace), start_time=start).end(end)

    @contextmanager
    def _within(self, span: api.Span) -> Iterator[Recorded]:
        recorded, token = Recorded(span), contexts.attach(api.set_span_in_context(span))
        try:
            yield recorded
        except Exception as problem:
            if not getattr(problem, "is_no_failure", False):
                recorded.failed(_kind(problem))
            raise
        finally:
            contexts.detach(token)
            span.end()

    # Propagation ----------------------------------------------------------------------------------
    def continuation(self) -> str:
        headers: dict[str, str] = {}
        _w3c.inject(headers)
        return " ".join(headers[name] for name in _HEADERS if name in headers)

    def header_lines(self) -> bytes:
        headers: dict[str, str] = {}
        _w3c.inject(headers)
        return "".join(f"{name}: {headers[name]}\r\n" for name in headers).encode("ascii", "ignore")

    def ids(self) -> tuple[str, str]:
        span_context = api.get_current_span().get_span_context()
        if not span_context.is_valid:
            return "", ""
        return api.format_trace_id(span_context.trace_id), api.format_span_id(span_context.span_id)

    def _of_client(self, name: str, carrier: Carrier) -> Context:
        """Returns the parent. A client may choose the trace's id; sampling is decided here."""
        if self._clients == "off":
            return Context()
        headers = {header: value for header in _HEADERS if (value := carrier(header))}
        if len(headers.get("tracestate", "")) > LONGEST_STATE:
            del headers["tracestate"]
        context = _w3c.extract(headers, Context())
        parent = api.get_current_span(context).get_span_context()
        if not parent.is_valid or self._clients == "sampling":
            return context
        result = self._provider.sampler.should_sample(Context(), parent.trace_id, name)
        sampled = result.decision is Decision.RECORD_AND_SAMPLE
        flags = api.TraceFlags.SAMPLED if sampled else api.TraceFlags.DEFAULT
        chosen = api.SpanContext(
            parent.trace_id,
            parent.span_id,
            is_remote=True,
            trace_flags=api.TraceFlags(flags),
            trace_state=parent.trace_state,
        )
        return api.set_span_in_context(api.NonRecordingSpan(chosen), Context())


def _kind(problem: Exception) -> str:
    """Returns the error's code, else its class."""
    code = getattr(problem, "code", "")
    return code if code and isinstance(code, str) else type(problem).__name__


def _continued(trace: str) -> Context:
    parent, _, state = trace.partition(" ")
    return _w3c.extract({"traceparent": parent, "tracestate": state}, Context())
