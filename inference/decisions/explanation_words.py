"""Explanations in sentences, in the languages of people whom decisions are about."""

from collections.abc import Iterator
from typing import Any

from inference.decisions.explaining import Effect, Explanation
from inference.decisions.spec import Rule

ENGLISH, CHINESE = LANGUAGES = ("en", "zh")
LEAST = 0.005  # a smaller effect is none in words
MOST = 5  # effects in sentences
Values = dict[str, Any]

_WORDS: dict[str, dict[str, str]] = {
    "score": {
        ENGLISH: "The policy put the probability at {score}. From {review} a person reviews it; "
        "from {block} it is blocked.",
        CHINESE: "策略给出的概率为 {score}。达到 {review} 时由人工复核，达到 {block} 时拦截。",
    },
    "raised": {
        ENGLISH: "“{input}” = {value} raised it: with {neutral} instead, it would be {other}.",
        CHINESE: "“{input}”为 {value}，使其升高：若为 {neutral}，则为 {other}。",
    },
    "lowered": {
        ENGLISH: "“{input}” = {value} lowered it: with {neutral} instead, it would be {other}.",
        CHINESE: "“{input}”为 {value}，使其降低：若为 {neutral}，则为 {other}。",
    },
    "none": {
        ENGLISH: "No single input moved it by {least} or more.",
        CHINESE: "没有任何单项输入使其变化达到 {least}。",
    },
    "again": {
        ENGLISH: "Asked again for this explanation, the policy put it at {again}; the figures of "
        "the inputs are against that.",
        CHINESE: "为本说明再次询问时，策略给出 {again}；各项输入的数值以此为准。",
    },
    "rule": {
        ENGLISH: "The model did not decide. A rule of the policy did: “{input}” {test} {value}.",
        CHINESE: "未由模型决定，而是策略的一条规则：“{input}”{test} {value}。",
    },
    "fallback": {
        ENGLISH: "The model did not decide. The policy has a fixed outcome for that: {outcome}.",
        CHINESE: "未由模型决定。策略对此规定了固定结果：{outcome}。",
    },
    "changes": {
        ENGLISH: "“{input}” = {value} mattered: with {neutral} instead, the outcome would be: "
        "{outcome}.",
        CHINESE: "“{input}”为 {value} 有影响：若为 {neutral}，结果将是：{outcome}。",
    },
    "tree": {
        ENGLISH: "The model did not decide; a statistical model of the policy did.",
        CHINESE: "未由语言模型决定，而是策略中的统计模型。",
    },
    "not_examined": {
        ENGLISH: "Not examined, because the policy names no neutral value: {inputs}.",
        CHINESE: "未考察以下输入，因为策略没有规定中性值：{inputs}。",
    },
}
_TESTS: dict[str, dict[str, str]] = {
    "at_least": {ENGLISH: "is at least", CHINESE: "不低于"},
    "at_most": {ENGLISH: "is at most", CHINESE: "不高于"},
    "above": {ENGLISH: "is above", CHINESE: "高于"},
    "below": {ENGLISH: "is below", CHINESE: "低于"},
    "is": {ENGLISH: "is", CHINESE: "等于"},
    "is_not": {ENGLISH: "is not", CHINESE: "不等于"},
}
_OUTCOMES: dict[str, dict[str, str]] = {
    "approve": {ENGLISH: "approve", CHINESE: "通过"},
    "review": {ENGLISH: "review by a person", CHINESE: "人工复核"},
    "block": {ENGLISH: "block", CHINESE: "拦截"},
}


def sentences(explanation: Explanation, language: str) -> list[str]:
    """Returns the explanation in sentences of a language of LANGUAGES."""
    parts = _parts(explanation, language)
    return [_WORDS[key][language].format(**values) for key, values in parts]


def _parts(explanation: Explanation, language: str) -> Iterator[tuple[str, Values]]:
    """Yields the sentences: their keys in _WORDS, and the values in them."""
    if explanation.rule:
        yield "rule", _of_rule(explanation.rule, language)
    elif explanation.source == "rules":
        yield "fallback", {"outcome": _OUTCOMES[explanation.outcome][language]}
    elif explanation.source == "tree":
        yield "tree", {}
    if explanation.score is not None:
        yield "score", _of_score(explanation, explanation.score)
    if explanation.again is None:
        for effect in explanation.effects[:MOST]:
            yield "changes", _values(effect) | {"outcome": _OUTCOMES[effect.outcome][language]}
    else:
        yield from _effects(explanation, explanation.again)
    if explanation.not_examined:
        yield "not_examined", {"inputs": ", ".join(explanation.not_examined)}


def _effects(explanation: Explanation, again: float) -> Iterator[tuple[str, Values]]:
    if explanation.score is not None and abs(again - explanation.score) >= LEAST:
        yield "again", {"again": _percent(again)}
    moved = [(effect, again - (effect.score or 0.0)) for effect in explanation.effects]
    large = [(effect, by) for effect, by in moved if abs(by) >= LEAST][:MOST]
    if not large:
        yield "none", {"least": _percent(LEAST)}
    for effect, by in large:
        other = _percent(effect.score or 0.0)
        yield "raised" if by > 0 else "lowered", _values(effect) | {"other": other}


def _of_score(explanation: Explanation, score: float) -> Values:
    figures = {"score": score, "review": explanation.review_at, "block": explanation.block_at}
    return {name: _percent(figure) for name, figure in figures.items()}


def _values(effect: Effect) -> Values:
    names = {"input": effect.input, "value": effect.value, "neutral": effect.neutral}
    return {name: _text(value) for name, value in names.items()}


def _of_rule(rule: Rule, language: str) -> Values:
    test = _TESTS[rule.test][language]
    return {"input": rule.input, "test": test, "value": _text(rule.value)}


def _percent(p: float) -> str:
    return f"{p:.1%}"


def _text(value: object) -> str:
    """Returns a value as people write it. A long text is cut, an empty one is shown as one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text[:79] + "…" if len(text) > 80 else text or "“”"
