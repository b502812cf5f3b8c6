"""Headers in Anthropic's names, from those that every answer has."""

import re
from datetime import UTC, datetime, timedelta

from inference.errors import Headers

_FIGURES = (b"limit", b"remaining")
_DURATION = re.compile(rb"(?:(\d+)h)?(?:(\d+)m)?(?:([\d.]+)s)?|(\d+)ms")


def own(headers: Headers) -> Headers:
    """Returns `request-id`, and `anthropic-ratelimit-*` of the tightest tier that has a limit."""
    present = dict(headers)
    lines: Headers = [(b"request-id", present[b"x-request-id"])]
    for what in (b"requests", b"tokens"):
        if b"x-ratelimit-limit-" + what in present:
            lines += _limit(present, what)
    return lines


def _limit(present: dict[bytes, bytes], what: bytes) -> Headers:
    name = b"anthropic-ratelimit-%b-" % what
    lines = [(name + figure, present[b"x-ratelimit-%b-%b" % (figure, what)]) for figure in _FIGURES]
    reset = datetime.now(UTC) + until(present[b"x-ratelimit-reset-" + what])
    return [*lines, (name + b"reset", reset.strftime("%Y-%m-%dT%H:%M:%SZ").encode())]


def until(duration: bytes) -> timedelta:
    """Returns the length of a duration in OpenAI's form: 120ms, 7.66s, 6m0s, 1h0m0s."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(f"no duration: {duration!r}")
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds)
