"""The interface for spans. While traces are off, its calls do nothing."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.tracing.recorder import Recorder

Value = str | int | float | bool | list[str]
Carrier = Callable[[str], str]  # returns a header's value; "" without one


class Span(AbstractContextManager["Span"]):
    """A span that records nothing; `is_on`: whether attributes are worth collecting."""

    is_on = False

    def tell(self, attributes: Mapping[str, Value]) -> None:
        """Set attributes."""

    def failed(self, kind: str) -> None:
        """Mark it as failed. `kind` is an error code or a class, never somebody's words."""

    def end(self, name: str = "") -> None:
        """End it, under another name if there is one."""

    def __exit__(self, *_problem: object) -> None:
        return None


OFF = Span()
_recorder: "Recorder | None" = None


def record_with(recorder: "Recorder | None") -> None:
    """Use this recorder in the process from now on."""
    global _recorder
    _recorder = recorder


def front(name: str, carrier: Carrier) -> Span:
    """Start the span of a request at a front end, in its task, until its `end`."""
    return _recorder.front(name, carrier) if _recorder else OFF


def front_step(name: str) -> AbstractContextManager[Span]:
    """Start the span of a request without a waiting client: its trace begins here."""
    return _recorder.front_step(name) if _recorder else OFF


def step(name: str) -> AbstractContextManager[Span]:
    """A step of the task's request."""
    return _recorder.step(name) if _recorder else OFF


def client_step(name: str) -> AbstractContextManager[Span]:
    """A step whose time passes in another server."""
    return _recorder.client_step(name) if _recorder else OFF


def continued(trace: str, name: str) -> AbstractContextManager[Span]:
    """A step of a trace from another process (`continuation`)."""
    return _recorder.continued(trace, name) if _recorder and trace else OFF


def past(trace: str, name: str, began: float, ended: float) -> None:
    """Record a step that is over; times are in seconds since the epoch."""
    if _recorder and trace:
        _recorder.past(trace, name, began, ended)


def continuation() -> str:
    """Returns `traceparent tracestate` (W3C Trace Context) of the task's request; "" for none."""
    return _recorder.continuation() if _recorder else ""


def header_lines() -> bytes:
    """Returns the same as header lines, for a server that continues the trace."""
    return _recorder.header_lines() if _recorder else b""


def ids() -> tuple[str, str]:
    """Returns the ids of trace and span, in hex; empty for none."""
    return _recorder.ids() if _recorder else ("", "")
