"""Explains a decision: which inputs moved its score, and by how much.

Each input is replaced by the policy's neutral value for it, one at a time (occlusion), and the
policy decides again. So every figure is a score that the policy gave; nothing is a model's own
account of itself. Inputs without a neutral value are named as not examined.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from inference.decisions import scoring
from inference.decisions.scoring import MODEL, RULES, STACK, TREE, Verdict
from inference.decisions.spec import PolicySpec, Rule, Value

ASKING = (MODEL, STACK)  # sources whose score needs the model


class Effect(msgspec.Struct, frozen=True):
    """The policy's answer with the neutral value in the place of the input's."""

    input: str
    value: Value
    neutral: Value
    outcome: str
    score: float | None


class Explanation(msgspec.Struct, frozen=True):
    """`score` is the recorded one, `again` that of the same input asked anew.

    `effects` are sorted by how far they moved the score; where rules decided, there are those that
    change the outcome.
    """

    outcome: str
    source: str
    score: float | None
    again: float | None
    review_at: float
    block_at: float
    effects: tuple[Effect, ...] = ()
    not_examined: tuple[str, ...] = ()
    rule: Rule | None = None


class Progress(msgspec.Struct, frozen=True):
    """The model's raw scores so far, and how often somebody tried since the latest of them."""

    scores: list[float | None] = []
    attempts: int = 0


class Recorded(msgspec.Struct, frozen=True):
    """A decision as it is on record."""

    outcome: str
    source: str
    score: float | None
    review_at: float
    block_at: float


def variants(spec: PolicySpec, input: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the input with one neutral value each, by the name of the input."""
    return {
        name: {**input, name: spec.neutral[name]}
        for name in input
        if name in spec.neutral and not _same(input[name], spec.neutral[name])
    }


def inputs_to_ask(
    spec: PolicySpec, input: Mapping[str, Any], source: str
) -> list[Mapping[str, Any]]:
    """Returns the inputs whose scores `explain` needs from the model: [] where it needs none."""
    return [input, *variants(spec, input).values()] if source in ASKING else []


def explain(
    spec: PolicySpec,
    input: Mapping[str, Any],
    recorded: Recorded,
    raw_scores: Sequence[float | None] = (),
) -> Explanation:
    """Returns the explanation. `raw_scores` are the model's for `inputs_to_ask`, in that order."""
    changed = variants(spec, input)
    first, *others = _verdicts(spec, [input, *changed.values()], recorded.source, raw_scores)
    effects = [
        Effect(name, input[name], spec.neutral[name], verdict.outcome, verdict.score)
        for name, verdict in zip(changed, others, strict=True)
        if verdict is not None
    ]
    again = first.score if first else None
    return Explanation(
        **msgspec.structs.asdict(recorded),
        again=again,
        effects=tuple(_that_matter(effects, again, recorded)),
        not_examined=tuple(name for name in input if name not in spec.neutral),
        rule=_rule(spec, input) if recorded.source == RULES else None,
    )


def _verdicts(
    spec: PolicySpec,
    inputs: Sequence[Mapping[str, Any]],
    source: str,
    raw_scores: Sequence[float | None],
) -> list[Verdict | None]:
    if source not in ASKING:
        return [scoring.fallback(spec, each) for each in inputs]
    return [
        None if raw is None else scoring.verdict(raw, spec, each)
        for raw, each in zip(raw_scores, inputs, strict=True)
    ]


def _that_matter(
    effects: Sequence[Effect], again: float | None, recorded: Recorded
) -> list[Effect]:
    """Returns effects by their size; of rules, those that change the outcome."""
    if recorded.source not in (*ASKING, TREE) or again is None:
        return [effect for effect in effects if effect.outcome != recorded.outcome]
    scored = [effect for effect in effects if effect.score is not None]
    return sorted(scored, key=lambda effect: -abs(again - (effect.score or 0.0)))


def _rule(spec: PolicySpec, input: Mapping[str, Any]) -> Rule | None:
    rules = spec.fallback.rules if spec.fallback.kind == "rules" else ()
    return next((rule for rule in rules if scoring.holds(rule, input)), None)


def _same(value: Any, neutral: Value) -> bool:
    return isinstance(value, bool) is isinstance(neutral, bool) and bool(value == neutral)


packed, unpacked = msgspec.json.encode, msgspec.json.Decoder(Explanation).decode
_progress = msgspec.json.Decoder(Progress).decode


def progress_of(stored: bytes) -> Progress:
    return _progress(stored) if stored else Progress()
