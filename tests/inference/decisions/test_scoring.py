"""The score of an answer, and the outcome that follows."""

import math
from typing import Any

import orjson
import pytest

from inference.decisions import model_question, scoring
from inference.decisions.scoring import TopLogprob, Verdict
from tests.inference.decisions.specs import INPUT, payments, stump

pytestmark = pytest.mark.unit


def tops(**tokens: float) -> list[TopLogprob]:
    return [TopLogprob(token.replace("_", " "), math.log(p)) for token, p in tokens.items()]


def test_a_score_is_the_share_of_yes_among_both_labels() -> None:
    assert scoring.score(tops(yes=0.3, no=0.1, maybe=0.6), payments()) == pytest.approx(0.75)


def test_tokens_of_a_label_count_together_whatever_their_case_and_blanks() -> None:
    logprobs = tops(yes=0.1, Yes=0.2, _YES=0.1, _no=0.05, No=0.05)
    assert scoring.score(logprobs, payments()) == pytest.approx(0.8)


def test_a_label_that_is_not_reported_has_at_most_what_is_left() -> None:
    assert scoring.score(tops(yes=0.9, the=0.05), payments()) == pytest.approx(0.9 / 0.95)
    assert scoring.score(tops(no=0.98, a=0.015), payments()) == pytest.approx(0.005 / 0.985)


@pytest.mark.parametrize("logprobs", [[], tops(maybe=0.9, perhaps=0.1)])
def test_no_label_is_no_score(logprobs: list[TopLogprob]) -> None:
    assert scoring.score(logprobs, payments()) is None


@pytest.mark.parametrize("logprob", [math.nan, -math.inf, -10_000.0])
def test_an_odd_logprob_is_no_probability(logprob: float) -> None:
    logprobs = [TopLogprob("yes", logprob), TopLogprob("no", -0.1)]
    score = scoring.score(logprobs, payments())
    assert score is not None
    assert score < 0.2


@pytest.mark.parametrize(
    ("p", "outcome"),
    [(0.0, "approve"), (0.2999, "approve"), (0.3, "review"), (0.8, "block"), (1.0, "block")],
)
def test_thresholds(p: float, outcome: str) -> None:
    assert scoring.outcome(p, payments()) == outcome


# Answers -----------------------------------------------------------------------------------------
CHAT: dict[str, Any] = {
    "choices": [
        {
            "message": {"role": "assistant", "content": "yes"},
            "logprobs": {
                "content": [
                    {
                        "token": "yes",
                        "logprob": -0.1,
                        "top_logprobs": [
                            {"token": "yes", "logprob": -0.5},
                            {"token": "no", "logprob": -1.5},
                        ],
                    }
                ]
            },
        }
    ]
}
TEXT: dict[str, Any] = {
    "choices": [{"text": " yes", "logprobs": {"top_logprobs": [{" yes": -0.5, " no": -1.5}]}}]
}


@pytest.mark.parametrize("answer", [CHAT, TEXT])
def test_a_score_in_an_answer_of_either_form(answer: dict[str, Any]) -> None:
    score = model_question.score_in(orjson.dumps(answer), payments())
    assert score == pytest.approx(1 / (1 + math.exp(-1)))


@pytest.mark.parametrize(
    "answer",
    [b"", b"{}", b"[]", b'{"choices":[]}', b'{"choices":[{"text":"0.83","logprobs":null}]}'],
)
def test_an_answer_without_logprobs_has_no_score(answer: bytes) -> None:
    assert model_question.score_in(answer, payments()) is None


def test_the_question_asks_for_one_token_and_its_logprobs() -> None:
    body = model_question.body_of(payments(), INPUT | {"country": "DE"})
    prompt = "Payment of 12.5 to Corner shop in DE. Is it fraud? yes or no"
    assert body["messages"] == [{"role": "user", "content": prompt}]
    assert (body["max_tokens"], body["logprobs"], body["top_logprobs"]) == (1, True, 20)
    body = model_question.body_of(payments(form="text"), INPUT | {"country": "DE"})
    assert (body["prompt"], body["logprobs"]) == (prompt, 20)


# Verdicts ----------------------------------------------------------------------------------------
def test_a_stack_adds_the_log_odds_of_model_and_tree() -> None:
    spec = payments(tree=stump(), stack={"model": 1.0, "tree": 0.5, "intercept": -0.5})
    verdict = scoring.verdict(0.5, spec, {"amount": 500})
    assert verdict.source == "stack"
    assert verdict.score == pytest.approx(1 / (1 + math.exp(-0.5)))


def test_a_tree_without_a_stack_changes_no_verdict() -> None:
    verdict = scoring.verdict(0.5, payments(tree=stump()), {"amount": 500})
    assert verdict == Verdict("review", 0.5, "model")


def test_a_calibration_comes_before_the_thresholds() -> None:
    platt = {"method": "platt", "slope": 1.0, "intercept": -10.0, "rows": 100, "positives": 9}
    origin = {"model": "deepseek-r1", "model_version": "", "fitted_at": "2026-11-30"}
    verdict = scoring.verdict(0.9, payments(calibration=platt | origin), {})
    assert (verdict.outcome, round(verdict.score or 0, 4)) == ("approve", 0.0004)


def test_a_fallback_by_an_outcome_has_no_score() -> None:
    spec = payments(fallback={"kind": "outcome", "outcome": "approve"})
    assert scoring.fallback(spec, {}) == Verdict("approve", None, "rules")


def test_a_fallback_by_the_tree_has_its_score() -> None:
    spec = payments(tree=stump(), fallback={"kind": "tree"})
    verdict = scoring.fallback(spec, {"amount": 500})
    assert (verdict.outcome, verdict.source) == ("block", "tree")
    assert verdict.score == pytest.approx(1 / (1 + math.exp(-2)))


@pytest.mark.parametrize(
    ("input", "outcome"),
    [
        ({"amount": 5000, "abroad": True}, "block"),
        ({"amount": 500, "abroad": True}, "review"),
        ({"amount": 10, "abroad": False}, "approve"),
        ({"amount": "5000", "abroad": 1}, "approve"),  # of other types
        ({}, "approve"),
    ],
)
def test_the_first_rule_that_holds_decides(input: dict[str, Any], outcome: str) -> None:
    rules = [
        {"input": "amount", "test": "above", "value": 1000, "outcome": "block"},
        {"input": "abroad", "test": "is", "value": True, "outcome": "review"},
    ]
    spec = payments(fallback={"kind": "rules", "outcome": "approve", "rules": rules})
    assert scoring.fallback(spec, input).outcome == outcome
