"""Turns a model's answer into an outcome.

The score comes from the log-probabilities of the first token, never from a number in the text: a
text of one token cannot hold `0.83`, and a model that writes `0.9` was asked for a word, not for a
rate.
"""

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from inference.decisions import calibration, tree
from inference.decisions.calibration import logit, sigmoid
from inference.decisions.spec import APPROVE, BLOCK, REVIEW, PolicySpec, Rule, Value

MODEL, TREE, RULES, STACK = SOURCES = ("model", "tree", "rules", "stack")
_LEAST = 1e-9  # of a label that is not reported
_COMPARES: dict[str, Callable[[Any, Any], bool]] = {
    "at_least": operator.ge,
    "at_most": operator.le,
    "above": operator.gt,
    "below": operator.lt,
}


class TopLogprob(msgspec.Struct, frozen=True):
    """A likely first token. `logprob` is a natural logarithm."""

    token: str
    logprob: float


class Verdict(msgspec.Struct, frozen=True):
    """An outcome. `score` is None where nothing gave a probability."""

    outcome: str
    score: float | None
    source: str


def score(top_logprobs: Iterable[TopLogprob], spec: PolicySpec) -> float | None:
    """Returns p(positive) / (p(positive) + p(negative)) of the first token.

    A label's probability is that of all tokens which are it, whatever their case and white space. A
    label that is not among the reported ones counts with the most that it can have: it is no
    likelier than the least of them, nor than what they leave. None if neither is among them.
    """
    tokens = [(label(top.token), _probability(top.logprob)) for top in top_logprobs]
    yes = sum(p for token, p in tokens if token == label(spec.positive))
    no = sum(p for token, p in tokens if token == label(spec.negative))
    if not yes and not no:
        return None
    likelihoods = [p for _, p in tokens]
    most = max(min(1 - sum(likelihoods), *likelihoods), _LEAST)
    yes, no = yes or most, no or most
    return yes / (yes + no)


def label(text: str) -> str:
    """Returns a text as tokens are compared: without white space, in one case."""
    return text.strip().casefold()


def _probability(logprob: float) -> float:
    return math.exp(min(logprob, 0.0)) if logprob > -700 else 0.0  # also of NaN


def calibrated(p: float, spec: PolicySpec) -> float:
    """Returns the probability that a raw score stands for."""
    return calibration.apply(spec.calibration, p) if spec.calibration else p


def tree_score(spec: PolicySpec, input: Mapping[str, Any]) -> float | None:
    """Returns what the policy's tree says; None without one."""
    return tree.probability(spec.tree, input) if spec.tree else None


def combined(model_p: float | None, tree_p: float | None, spec: PolicySpec) -> float | None:
    """Returns the raw score of both, in log-odds, by the policy's stack; else the model's."""
    if spec.stack is None or model_p is None or tree_p is None:
        return model_p
    stack = spec.stack
    return sigmoid(stack.intercept + stack.model * logit(model_p) + stack.tree * logit(tree_p))


def outcome(p: float, spec: PolicySpec) -> str:
    if p >= spec.thresholds.block:
        return BLOCK
    return REVIEW if p >= spec.thresholds.review else APPROVE


def verdict(model_p: float, spec: PolicySpec, input: Mapping[str, Any]) -> Verdict:
    """Returns the outcome of the model's raw score, with the tree where they are stacked."""
    source = STACK if spec.stack else MODEL
    tree_p = tree_score(spec, input) if spec.stack else None
    p = calibrated(combined(model_p, tree_p, spec) or 0.0, spec)
    return Verdict(outcome(p, spec), p, source)


def fallback(spec: PolicySpec, input: Mapping[str, Any]) -> Verdict:
    """Returns what the policy says where the model has not answered."""
    if spec.fallback.kind == "tree" and (p := tree_score(spec, input)) is not None:
        return Verdict(outcome(p, spec), p, TREE)
    rules = spec.fallback.rules if spec.fallback.kind == "rules" else ()
    chosen = next((rule.outcome for rule in rules if holds(rule, input)), spec.fallback.outcome)
    return Verdict(chosen, None, RULES)


def holds(rule: Rule, input: Mapping[str, Any]) -> bool:
    """Returns whether a rule holds for an input. Values of other types never compare."""
    value, bound = input.get(rule.input), rule.value
    if rule.test in ("is", "is_not"):
        return _equal(value, bound) is (rule.test == "is")
    return _is_number(value) and _is_number(bound) and _COMPARES[rule.test](value, bound)


def _equal(value: Any, bound: Value) -> bool:
    return isinstance(value, bool) is isinstance(bound, bool) and value == bound


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
