"""The class of a request: told in the answer, on record, and never raised by who asks."""

from typing import Any

import httpx
import pytest

from tests.e2e.ask import Record, body, client
from tests.e2e.conftest import Platform
from tests.e2e.front_ends.base import FrontEnd

pytestmark = pytest.mark.e2e
HEADER = "x-forebay-class"


def on_record(platform: Platform, request_id: str) -> Any:
    (row,) = Record(platform, request_id).usage()
    return row["klass"]


@pytest.mark.parametrize(("asked", "klass"), [({}, "realtime"), ({HEADER: "batch"}, "batch")])
def test_an_answer_tells_the_class_that_it_ran_in(
    staged: Platform, front: FrontEnd, asked: dict[str, str], klass: str
) -> None:
    with front.client(staged.key, headers=asked) as asking:
        answer = asking.chat(max_tokens=2)
        with asking.chat_stream(max_tokens=2) as stream:
            assert list(stream)
    assert answer.figures[HEADER] == stream.figures[HEADER] == klass
    assert on_record(staged, answer.request_id) == on_record(staged, stream.request_id) == klass


def test_a_repeated_request_is_told_its_first_class(staged: Platform, front: FrontEnd) -> None:
    same = {HEADER: "batch", "idempotency-key": f"class-{type(front).__name__}"}
    with front.client(staged.key, headers=same) as asking:
        first, again = asking.chat(max_tokens=2), asking.chat(max_tokens=2)
    assert (first.request_id, first.figures[HEADER]) == (again.request_id, again.figures[HEADER])
    with front.client(staged.key, headers={**same, HEADER: "realtime"}) as asking:
        assert asking.chat(max_tokens=2).code == "idempotency_key_reused"


@pytest.mark.parametrize("name", ["highest", "vip", "preprocess", "realtime,batch", ""])
def test_no_other_class_can_be_asked_for(staged: Platform, front: FrontEnd, name: str) -> None:
    with front.client(staged.key, headers={HEADER: name}) as asking:
        answer = asking.chat(max_tokens=2)
    assert (answer.status, answer.param) == (400, HEADER)
    assert "`realtime` or `batch`" in answer.message


@pytest.mark.parametrize("name", ["class", "klass", "x-forebay-class", "priority", "weight"])
def test_a_class_in_a_body_is_refused(staged: Platform, name: str) -> None:
    """gRPC messages take no field that is not in the proto (tests/inference/api/grpc)."""
    with client(staged) as asking:
        fields = body(**{name: "realtime"})
        answer: httpx.Response = asking.post("/v1/chat/completions", json=fields)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)
        answer = asking.post("/v1/inference", json={"prompt": "hi", name: "realtime"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)


def test_a_class_that_was_lowered_stays_so_whatever_the_body_says(staged: Platform) -> None:
    with client(staged) as asking:
        fields = body(max_tokens=2, service_tier="default", metadata={HEADER: "realtime"})
        answer = asking.post("/v1/chat/completions", json=fields, headers={HEADER: "batch"})
    assert answer.headers[HEADER] == "batch"
    assert on_record(staged, answer.json()["id"]) == "batch"
    with client(staged) as asking:
        fields = body(max_tokens=2, service_tier="priority")
        answer = asking.post("/v1/chat/completions", json=fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "service_tier")
