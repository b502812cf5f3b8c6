"""The reasons of an outcome: the steps that were taken, as codes and sentences.

They name no cause in the input beyond a rule that held. Which inputs moved a score is explained on
request, from further prompts.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from inference.decisions import scoring
from inference.decisions.scoring import RULES, TREE, Verdict
from inference.decisions.spec import BLOCK, REVIEW, PolicySpec, Rule
from inference.models import FallbackReason as Why
from inference.models.decisions.decision import Reason

FALLBACK = {
    Why.LATE: "The model had not answered when the policy's deadline came.",
    Why.REFUSED: "The model's engine refused the request.",
    Why.FAILED: "The model's engine failed.",
    Why.NO_SCORE: "The model's answer has neither of the policy's labels.",
    Why.QUEUE_FULL: "Too many requests waited for the model.",
    Why.PAUSED: "The model's engines are paused after repeated failures.",
    Why.AWAY: "The platform could not take a request to the model.",
    Why.LIMIT: "A limit or a quota had no room for a request to the model.",
    Why.CHANGED: "Another version of the model serves than the one that the policy is for.",
    Why.NOT_SERVED: "The policy's model is not served.",
}
_TESTS = {
    "at_least": "at least",
    "at_most": "at most",
    "above": "above",
    "below": "below",
    "is": "",
    "is_not": "not",
}


def of(verdict: Verdict, spec: PolicySpec, input: Mapping[str, Any], reason: str) -> list[Reason]:
    return [*_of(verdict, spec, input, reason)]


def _of(
    verdict: Verdict, spec: PolicySpec, input: Mapping[str, Any], reason: str
) -> Iterator[Reason]:
    if reason:
        yield Reason(reason, FALLBACK[Why(reason)])
    if verdict.source == RULES:
        yield _rule(spec, input, verdict.outcome)
    elif verdict.score is not None:
        yield _score(verdict.score, spec, verdict.source)


def _rule(spec: PolicySpec, input: Mapping[str, Any], outcome: str) -> Reason:
    rules = spec.fallback.rules if spec.fallback.kind == "rules" else ()
    rule = next((each for each in rules if scoring.holds(each, input)), None)
    if rule is None:
        return Reason("fallback_outcome", f"The policy's fallback is: {outcome}.")
    return Reason("rule", f"A rule of the policy's fallback held: {_text(rule)}.")


def _text(rule: Rule) -> str:
    words = ("is", _TESTS[rule.test], str(rule.value))
    return f"`{rule.input}` {' '.join(filter(None, words))}"


def _score(score: float, spec: PolicySpec, source: str) -> Reason:
    at = spec.thresholds
    whose = "The tree's score" if source == TREE else "The score"
    if score >= at.block:
        bounds = f"at least {at.block:g} (block)"
        return Reason(f"score_from_{BLOCK}", f"{whose} {score:.4f} is {bounds}.")
    if score >= at.review:
        bounds = f"at least {at.review:g} (review) and below {at.block:g} (block)"
        return Reason(f"score_from_{REVIEW}", f"{whose} {score:.4f} is {bounds}.")
    return Reason("score_below_review", f"{whose} {score:.4f} is below {at.review:g} (review).")
