"""A version of a decision policy in words, for people who review it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from inference.decisions import calibration
from inference.decisions.spec import OUTCOMES, PolicySpec, Rule

_PROBES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
_SIGNS = {"at_least": "≥", "at_most": "≤", "above": ">", "below": "<", "is": "=", "is_not": "≠"}
_WORDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "minLength", "maxLength")
_BOUNDS = dict(zip(_WORDS, ("≥", ">", "≤", "<", "≥", "≤"), strict=True))


@dataclass(frozen=True, slots=True)
class Input:
    name: str
    kind: str
    bounds: str
    default: str
    neutral: str
    in_template: bool


@dataclass(frozen=True, slots=True)
class Readable:
    spec: PolicySpec
    inputs: list[Input]
    bands: list[tuple[str, str]]  # outcome, probabilities
    calibrated: list[tuple[float, float]]  # score, probability
    fallback: list[str]


def readable(spec: PolicySpec) -> Readable:
    probes = [(p, calibration.apply(spec.calibration, p)) for p in _PROBES if spec.calibration]
    return Readable(spec, list(_inputs(spec)), list(_bands(spec)), probes, list(_fallback(spec)))


def outcome_word(outcome: str) -> str:
    return dict(zip(OUTCOMES, (_("Approve"), _("Review"), _("Block")), strict=True))[outcome]


def _inputs(spec: PolicySpec) -> Iterator[Input]:
    for name, schema in spec.inputs.items():
        yield Input(
            name,
            schema["type"],
            _bounds(schema),
            _shown(schema.get("default")),
            _shown(spec.neutral.get(name)),
            f"{{{{{name}}}}}" in spec.template.replace(" ", ""),
        )


def _bounds(schema: dict[str, Any]) -> str:
    if values := schema.get("enum"):
        return ", ".join(map(str, values))
    unit = " " + _("characters") if schema["type"] == "string" else ""
    texts = [f"{sign} {schema[word]}{unit}" for word, sign in _BOUNDS.items() if word in schema]
    return ", ".join(texts)


def _shown(value: Any) -> str:
    return "" if value is None else str(value)


def _bands(spec: PolicySpec) -> Iterator[tuple[str, str]]:
    review, block = spec.thresholds.review, spec.thresholds.block
    yield outcome_word("approve"), f"< {review}"
    if review < block:
        yield outcome_word("review"), f"{review} – {block}"
    yield outcome_word("block"), f"≥ {block}"


def _fallback(spec: PolicySpec) -> Iterator[str]:
    fallback = spec.fallback
    if fallback.kind == "tree":
        yield _("The boosted tree decides, by the same thresholds.")
        return
    yield from map(_rule, fallback.rules)
    word = outcome_word(fallback.outcome)
    yield _("Otherwise: %s") % word if fallback.rules else _("Always: %s") % word


def _rule(rule: Rule) -> str:
    return f"{rule.input} {_SIGNS[rule.test]} {rule.value}: {outcome_word(rule.outcome)}"
