"""Explanations of a score: every figure is one that the policy gave, in both languages."""

from typing import Any

import pytest

from inference.decisions import scoring
from inference.decisions.explaining import (
    Effect,
    Explanation,
    Recorded,
    explain,
    inputs_to_ask,
    packed,
    unpacked,
    variants,
)
from inference.decisions.explanation_words import LANGUAGES, sentences
from tests.inference.decisions.specs import payments, stump

pytestmark = pytest.mark.unit
NEUTRAL = {"amount": 20, "abroad": False}
INPUT: dict[str, Any] = {"amount": 5000, "merchant": "Watches", "country": "DE", "abroad": True}
RECORDED = Recorded("review", "model", 0.7, 0.3, 0.8)


def test_one_input_at_a_time_has_its_neutral_value() -> None:
    spec = payments(neutral=NEUTRAL)
    assert variants(spec, INPUT) == {
        "amount": {**INPUT, "amount": 20},
        "abroad": {**INPUT, "abroad": False},
    }
    assert inputs_to_ask(spec, INPUT, "model") == [INPUT, *variants(spec, INPUT).values()]


def test_an_input_that_is_neutral_already_is_not_asked_about() -> None:
    assert [*variants(payments(neutral=NEUTRAL), {**INPUT, "amount": 20})] == ["abroad"]
    assert [*variants(payments(neutral={"amount": 1}), {**INPUT, "amount": True})] == ["amount"]


def test_effects_come_by_their_size_and_are_the_policys_own_scores() -> None:
    explanation = explain(payments(neutral=NEUTRAL), INPUT, RECORDED, [0.7, 0.6, 0.1])
    assert explanation.again == 0.7
    assert explanation.effects == (
        Effect("abroad", True, False, "approve", 0.1),
        Effect("amount", 5000, 20, "review", 0.6),
    )
    assert explanation.not_examined == ("merchant", "country")
    assert unpacked(packed(explanation)) == explanation


def test_an_input_without_an_answer_of_the_model_is_left_out() -> None:
    explanation = explain(payments(neutral=NEUTRAL), INPUT, RECORDED, [0.7, None, 0.1])
    assert [effect.input for effect in explanation.effects] == ["abroad"]


def test_a_tree_explains_itself_without_the_model() -> None:
    spec = payments(neutral=NEUTRAL, tree=stump(), fallback={"kind": "tree"})
    assert inputs_to_ask(spec, INPUT, "tree") == []
    score = scoring.tree_score(spec, INPUT)
    explanation = explain(spec, INPUT, Recorded("block", "tree", score, 0.3, 0.8))
    first = explanation.effects[0]
    assert (first.input, first.outcome) == ("amount", "approve")
    assert explanation.again == score
    assert first.score == scoring.tree_score(spec, {**INPUT, "amount": 20})


def test_rules_name_the_rule_that_held_and_what_would_change_the_outcome() -> None:
    rule = {"input": "amount", "test": "at_least", "value": 500, "outcome": "block"}
    fallback = {"kind": "rules", "rules": [rule], "outcome": "approve"}
    spec = payments(neutral=NEUTRAL, fallback=fallback)
    explanation = explain(spec, INPUT, Recorded("block", "rules", None, 0.3, 0.8))
    assert explanation.rule
    assert explanation.rule.input == "amount"
    assert [(e.input, e.outcome) for e in explanation.effects] == [("amount", "approve")]
    english, chinese = (" ".join(sentences(explanation, each)) for each in LANGUAGES)
    assert "“amount” is at least 500" in english
    assert "the outcome would be: approve" in english
    assert "“amount”不低于 500" in chinese


def test_sentences_say_what_raised_and_what_lowered_it() -> None:
    explanation = explain(payments(neutral=NEUTRAL), INPUT, RECORDED, [0.7, 0.9, 0.1])
    assert sentences(explanation, "en") == [
        "The policy put the probability at 70.0%. From 30.0% a person reviews it; from 80.0% it is "
        "blocked.",
        "“abroad” = true raised it: with false instead, it would be 10.0%.",
        "“amount” = 5000 lowered it: with 20 instead, it would be 90.0%.",
        "Not examined, because the policy names no neutral value: merchant, country.",
    ]
    assert sentences(explanation, "zh")[1] == "“abroad”为 true，使其升高：若为 false，则为 10.0%。"


def test_sentences_say_if_nothing_moved_it_and_if_it_came_out_differently() -> None:
    explanation = explain(payments(neutral=NEUTRAL), INPUT, RECORDED, [0.6, 0.601, 0.599])
    english = " ".join(sentences(explanation, "en"))
    assert "No single input moved it by 0.5% or more." in english
    assert "Asked again for this explanation, the policy put it at 60.0%" in english


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("source", ["model", "stack", "tree", "rules"])
def test_every_source_has_words(source: str, language: str) -> None:
    effect = Effect("merchant", "x" * 200, "", "block", 0.2)
    score = None if source == "rules" else 0.5
    explanation = Explanation("review", source, score, score, 0.3, 0.8, (effect,))
    assert all(text for text in sentences(explanation, language))
    assert "x" * 100 not in " ".join(sentences(explanation, language))
