"""The course of a request as moments and as a picture to scale."""

from datetime import UTC, datetime

import pytest

from console.request_log.timeline import Timeline
from inference.models import Completion, State, Usage

pytestmark = pytest.mark.unit
AT = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)


def timeline(**usage: object) -> Timeline:
    completion = Completion(created_at=AT, state=State.DONE)
    return Timeline.of(completion, Usage(**{"duration_ms": 1000, "cache": "", **usage}))


def test_a_stream_waits_reads_and_writes() -> None:
    course = timeline(queue_ms=200, ttft_ms=300)
    assert [span.name for span in course.spans] == ["queued", "started", "answered"]
    assert [span.ms for span in course.spans] == [200, 100, 700]
    assert [(span.x, span.width) for span in course.spans] == [
        ("0.00%", "20.00%"),
        ("20.00%", "10.00%"),
        ("30.00%", "70.00%"),
    ]
    assert [moment.after_ms for moment in course.moments] == [0, 200, 300, 1000]
    assert course.moments[-1].at == datetime(2026, 12, 1, 9, 0, 1, tzinfo=UTC)


def test_an_answer_in_one_piece_has_no_first_token() -> None:
    course = timeline(queue_ms=200, ttft_ms=None)
    assert [(span.name, span.ms) for span in course.spans] == [("queued", 200), ("answered", 800)]


def test_a_request_that_never_began_only_waited() -> None:
    course = timeline(queue_ms=None, ttft_ms=None)
    assert [(span.name, span.ms) for span in course.spans] == [("queued", 1000)]


def test_an_answer_of_the_cache_did_not_wait() -> None:
    course = timeline(queue_ms=None, ttft_ms=None, cache="l1")
    assert [span.name for span in course.spans] == ["cached"]


def test_clocks_that_disagree_and_spans_of_no_time_stay_in_the_picture() -> None:
    course = timeline(queue_ms=0, ttft_ms=1000, duration_ms=990)
    for span in course.spans:
        x, width = float(span.x[:-1]), float(span.width[:-1])
        assert span.ms >= 0
        assert width > 0
        assert x + width <= 100.01


def test_an_open_request_waits_until_now() -> None:
    course = Timeline.of(Completion(created_at=AT, state=State.OPEN), None)
    assert not course.is_over
    assert [span.name for span in course.spans] == ["queued"]
