"""What the rest of the code says of its spans. While traces are off, nothing comes of it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from inference.tracing.recorder import Recorder

Value = str | int | float | bool | list[str]
Carrier = Callable[[str], str]  # what stands under a header's name; "" for nothing


class Span(Protocol):
    @property
    def is_on(self) -> bool:
        """Whether it is worth while to look for what it could be told."""

    def tell(self, attributes: Mapping[str, Value]) -> None: ...

    def failed(self, kind: str) -> None:
        """`kind`: a code of ours or a class, never somebody's words."""

    def end(self, name: str = "") -> None: ...


class NoSpan(AbstractContextManager["NoSpan"]):
    is_on = False

    def tell(self, attributes: Mapping[str, Value]) -> None:
        """Nobody hears it."""

    def failed(self, kind: str) -> None:
        """Nobody hears it."""

    def end(self, name: str = "") -> None:
        """It never began."""

    def __exit__(self, *_problem: object) -> None:
        return None


OFF = NoSpan()
_recorder: "Recorder | None" = None


def record_with(recorder: "Recorder | None") -> None:
    """From now on, in this process."""
    global _recorder
    _recorder = recorder


def front(name: str, carrier: Carrier) -> Span:
    """Of a request at one of our doors, in the task that answers it, until its `end`."""
    return _recorder.front(name, carrier) if _recorder else OFF


def front_step(name: str) -> AbstractContextManager[Span]:
    """Of a request that nobody waits for at a door: it begins with us."""
    return _recorder.front_step(name) if _recorder else OFF


def step(name: str) -> AbstractContextManager[Span]:
    """A part of what the task works for."""
    return _recorder.step(name) if _recorder else OFF


def asking(name: str) -> AbstractContextManager[Span]:
    """A step whose time passes elsewhere: at a server that is asked."""
    return _recorder.asking(name) if _recorder else OFF


def going_on(trace: str, name: str) -> AbstractContextManager[Span]:
    """A step in another process than the one that said `trace` (`continuation`)."""
    return _recorder.going_on(trace, name) if _recorder and trace else OFF


def past(trace: str, name: str, began: float, ended: float) -> None:
    """A step that is over: times in seconds since the epoch."""
    if _recorder and trace:
        _recorder.past(trace, name, began, ended)


def continuation() -> str:
    """`traceparent tracestate` (W3C Trace Context) of what the task works for; "" for none."""
    return _recorder.continuation() if _recorder else ""


def header_lines() -> bytes:
    """The same as lines of a request's head, for a server that is to go on with the trace."""
    return _recorder.header_lines() if _recorder else b""


def ids() -> tuple[str, str]:
    """Of trace and span, in hex; empty for none."""
    return _recorder.ids() if _recorder else ("", "")
