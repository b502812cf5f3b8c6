"""The course of a request: its moments, and the spans between them as a picture and a table."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from inference.models import Completion, State, Usage

LEAST_WIDTH = 0.6  # percent of the picture: a span of no time is still to be seen


@dataclass(frozen=True, slots=True)
class Moment:
    name: str  # for programs
    label: Promise
    at: datetime
    after_ms: int  # since the request was received


@dataclass(frozen=True, slots=True)
class Span:
    """The time between two moments. `x` and `width` are percentages of the picture, as SVG has."""

    name: str  # a class of the style sheet
    label: Promise
    begins_ms: int
    ms: int
    x: str
    width: str


@dataclass(frozen=True, slots=True)
class Timeline:
    moments: list[Moment]
    spans: list[Span]
    is_over: bool

    @classmethod
    def of(cls, completion: Completion, usage: Usage | None) -> "Timeline":
        marks = _marks(completion, usage)
        at = completion.created_at
        moments = [
            Moment(_MOMENTS[name], label, at + timedelta(milliseconds=ms), ms)
            for name, label, ms in marks
        ]
        return cls(moments, _spans(marks), completion.state != State.OPEN)


# The span that begins there, a label, and milliseconds since the request was received.
Mark = tuple[str, Promise, int]
_MOMENTS = {
    "queued": "received",
    "cached": "received",
    "started": "started",
    "answered": "first_token",
    "now": "now",
    "end": "settled",
}
_LABELS = {
    "queued": _("Waited in the queue"),
    "started": _("Prompt read"),
    "answered": _("Answer written"),
    "cached": _("Answered from the cache"),
}


def _marks(completion: Completion, usage: Usage | None) -> list[Mark]:
    """Returns the known moments in their order. An open request ends now, for the time being."""
    marks: list[Mark] = [("queued", _("Received and queued"), 0)]
    if usage is None:
        passed = (timezone.now() - completion.created_at) / timedelta(milliseconds=1)
        return [*marks, ("now", _("Now"), max(0, round(passed)))]
    if usage.queue_ms is None and usage.cache not in ("", "miss"):
        marks = [("cached", _("Received"), 0)]
    elif usage.queue_ms is not None:
        marks.append(("started", _("Started"), usage.queue_ms))
    if usage.ttft_ms is not None:
        marks.append(("answered", _("First token"), usage.ttft_ms))
    return [*marks, ("end", _("Settled"), usage.duration_ms)]


def _spans(marks: list[Mark]) -> list[Span]:
    """Returns the spans between marks. Clocks of several hosts may disagree by milliseconds."""
    whole = max(1, *(ms for _name, _label, ms in marks))
    has_first_token = any(name == "answered" for name, _label, _ms in marks)
    spans = []
    for (name, _label, begins), (_next, _l, ends) in pairwise(marks):
        shown = "answered" if name == "started" and not has_first_token else name
        ms = max(0, ends - begins)
        width = max(LEAST_WIDTH, ms * 100 / whole)
        x = min(begins * 100 / whole, 100 - width)
        span = Span(shown, _LABELS[shown], begins, ms, f"{x:.2f}%", f"{width:.2f}%")
        spans.append(span)
    return spans
