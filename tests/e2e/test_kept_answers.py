"""Kept answers through a running platform, over each front end."""

from uuid import uuid4

import pytest

from tests.e2e.ask import Record
from tests.e2e.conftest import Mock, Platform
from tests.e2e.front_ends.base import FrontEnd

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
USE, ONLY = {"x-forebay-cache": "use"}, {"x-forebay-cache": "only"}


def test_the_same_request_is_answered_by_an_engine_once(
    staged: Platform, mock: Mock, front: FrontEnd
) -> None:
    ran, seed = mock.state()["requests"], uuid4().int % 2**32
    with front.client(staged.key, headers=USE) as asking:
        first = asking.chat(temperature=0, seed=seed, max_tokens=5)
        again = asking.chat(temperature=0, seed=seed, max_tokens=5)
        with asking.chat_stream(temperature=0, seed=seed, max_tokens=5) as stream:
            streamed = "".join(event.text for event in stream)
    assert first.text == again.text == streamed != ""
    assert first.request_id != again.request_id
    hits = [answer.figures["x-forebay-cache"] for answer in (first, again)]
    assert hits == ["miss", "hit"]
    assert mock.state()["requests"] == ran + 1
    for answer, level in ((first, "miss"), (again, "l2")):
        record = Record(staged, answer.request_id)
        assert record.actions() == ["completion:received", "completion:completed"]
        (usage,) = record.usage()
        assert usage["cache"] in (level, level.replace("l2", "l1"))


def test_who_wants_a_kept_one_alone_is_told_that_there_is_none(
    staged: Platform, mock: Mock, front: FrontEnd
) -> None:
    ran = mock.state()["requests"]
    with front.client(staged.key, headers=ONLY) as asking:
        answer = asking.chat(temperature=0, seed=uuid4().int % 2**32)
    assert (answer.status, answer.code, answer.param) == (404, "not_cached", "x-forebay-cache")
    assert mock.state()["requests"] == ran


def test_many_at_once_ask_an_engine_once(staged: Platform, mock: Mock, front: FrontEnd) -> None:
    mock.behave(tokens=10, interval_ms=30)
    ran, seed = mock.state()["requests"], uuid4().int % 2**32
    with front.client(staged.key, headers=USE) as asking:
        answers = asking.at_once(8, "chat", temperature=0, seed=seed)
    assert {answer.status for answer in answers} == {200}, answers
    assert mock.state()["requests"] == ran + 1
