"""What clients heard against what is on record: losses, doubles, order, and the longest silence."""

import pytest

from config.drills.attempts import Attempt, Outcome, first_after, longest_gap
from config.drills.consistency import Recorded, compare

pytestmark = pytest.mark.unit


def answer(at: float, *ids: str, client: str = "rest 0") -> Attempt:
    return Attempt("rest", client, at - 0.1, at, Outcome.ANSWERED, ids)


def failure(at: float, outcome: Outcome = Outcome.UNKNOWN) -> Attempt:
    return Attempt("rest", "rest 0", at - 0.1, at, outcome)


def test_answers_that_are_on_record_once_and_in_order_are_exact() -> None:
    attempts = [answer(1, "a"), failure(2), answer(3, "b"), answer(2, "c", client="rest 1")]
    record = {"a": Recorded(1, 10), "c": Recorded(1, 12), "b": Recorded(1, 13)}
    result = compare(attempts, record)
    assert result.is_exact
    assert result.acknowledged == 3


def test_an_answer_that_is_not_on_record_is_lost() -> None:
    result = compare([answer(1, "a"), answer(2, "b")], {"a": Recorded(1, 1)})
    assert (result.lost, result.is_exact) == (["b"], False)


def test_an_answer_of_which_a_part_is_missing_is_lost() -> None:
    assert compare([answer(1, "a")], {"a": Recorded(0, 1)}).lost == ["a"]


def test_a_request_that_is_on_record_twice_is_doubled() -> None:
    assert compare([answer(1, "a")], {"a": Recorded(2, 1)}).doubled == ["a"]


def test_two_requests_with_one_answer_are_doubled() -> None:
    attempts = [answer(1, "a"), answer(2, "a", client="rest 1")]
    assert compare(attempts, {"a": Recorded(1, 1)}).doubled == ["a"]


def test_a_request_on_record_before_an_earlier_one_of_its_client_is_out_of_order() -> None:
    record = {"a": Recorded(1, 20), "b": Recorded(1, 10)}
    assert compare([answer(1, "a"), answer(2, "b")], record).out_of_order == ["b"]
    others = [answer(1, "a"), answer(2, "b", client="rest 1")]
    assert not compare(others, record).out_of_order


def test_requests_nobody_was_answered_may_be_on_record_or_not() -> None:
    attempts = [failure(1), failure(2, Outcome.REFUSED)]
    assert compare(attempts, {"x": Recorded(1, 1)}).is_exact


def test_what_ran_for_a_client_without_an_answer_is_on_record_once() -> None:
    unknown = Attempt("rest", "rest 0", 1, 2, Outcome.UNKNOWN, request="r1")
    attempts = [unknown, answer(3, "a")]
    assert compare(attempts, {"a": Recorded(1, 1)}, others=["x"]).is_exact
    assert compare(attempts, {"a": Recorded(1, 1)}, others=["x", "y"]).doubled == ["y"]


def test_a_request_that_ran_twice_and_was_answered_once_is_doubled() -> None:
    """Its client asked again after its connection broke, and knows the second answer alone."""
    first = Attempt("rest", "rest 0", 1, 2, Outcome.UNKNOWN, request="r1")
    second = Attempt("rest", "rest 0", 2, 3, Outcome.ANSWERED, ("b",), request="r1")
    assert compare([first, second], {"b": Recorded(1, 2)}, others=["a"]).doubled == ["a"]


def test_a_request_that_was_refused_before_it_began_must_not_have_run() -> None:
    refused = Attempt("rest", "rest 0", 1, 2, Outcome.REFUSED, request="r1", may_have_run=False)
    assert compare([refused], {}, others=["x"]).doubled == ["x"]


def test_a_batch_without_an_answer_may_have_run_all_its_lines() -> None:
    unknown = Attempt("batch", "batch 0", 1, 2, Outcome.UNKNOWN, request="r1", size=4)
    assert compare([unknown], {}, others=["1", "2", "3", "4"]).is_exact
    assert compare([unknown], {}, others=["1", "2", "3", "4", "5"]).doubled == ["5"]


def test_the_longest_silence_begins_with_the_last_answer_before_the_break() -> None:
    attempts = [answer(at, str(at)) for at in (1.0, 9.5, 31.0, 32.0)]
    assert longest_gap(attempts, broken_at=10.0, until=33.0) == pytest.approx(21.5)


def test_a_silence_before_the_break_is_not_its_fault() -> None:
    attempts = [answer(at, str(at)) for at in (1.0, 50.0, 51.0)]
    assert longest_gap(attempts, broken_at=50.5, until=52.0) == pytest.approx(1.0)


def test_a_silence_that_does_not_end_counts_to_the_end() -> None:
    assert longest_gap([answer(9, "a")], broken_at=10, until=70) == pytest.approx(61)
    assert first_after([answer(9, "a")], 10, 70) == pytest.approx(60)
    assert first_after([answer(9, "a"), answer(14, "b")], 10, 70) == pytest.approx(4)
