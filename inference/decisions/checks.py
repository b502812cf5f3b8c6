"""Checks of a version of a policy that need no engine. Faults are named by field."""

import math
from copy import deepcopy
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from inference.decisions import inputs, tree
from inference.decisions.input_schema import check_schema
from inference.decisions.inputs import InputCheck
from inference.decisions.scoring import label
from inference.decisions.spec import LONGEST, Calibration, PolicySpec, packed
from inference.errors import BadRequest
from inference.models.served import LONGEST_NAME
from inference.templating import content

SOONEST_MS, LATEST_MS = 50, 30_000  # deadlines
LARGEST_WEIGHT = 1_000_000  # of a stack: no sum is infinite
LONGEST_LABEL, MOST_RULES, MOST_POINTS = 40, 100, 20_000


def check(spec: PolicySpec) -> None:
    """Raises ValidationError for the first fault, with a sentence that says what to do."""
    check_schema(spec.input_schema)
    _check_template(spec)
    _check_labels(spec)
    _check_model(spec)
    _check_thresholds(spec)
    _check_calibration(spec)
    _check_tree(spec)
    _check_fallback(spec)
    _check_second_person(spec)
    _check_neutral(spec)
    if len(packed(spec)) > LONGEST:
        raise ValidationError(_("A version has at most %d bytes of JSON.") % LONGEST)


def _fault(field: str, text: str) -> ValidationError:
    return ValidationError({field: text})


def _check_template(spec: PolicySpec) -> None:
    template = inputs.content_of(spec)
    declared = {variable.name for variable in template.variables}
    if unknown := sorted(declared - spec.inputs.keys()):
        text = _("{{%s}} is no input: add it to the schema, or take it out of the template.")
        raise _fault("template", text % unknown[0])
    if not declared:
        raise _fault("template", _("The template must hold an input, as {{amount}}."))
    try:
        content.check(template)
    except ValidationError as problem:
        raise _fault("template", " ".join(problem.messages)) from None


def _check_labels(spec: PolicySpec) -> None:
    for field, text in (("positive", spec.positive), ("negative", spec.negative)):
        if not label(text) or len(text) > LONGEST_LABEL or "\n" in text:
            text = _("A label is a word of at most %d characters.") % LONGEST_LABEL
            raise _fault(field, text)
    if label(spec.positive) == label(spec.negative):
        text = _("The two labels must differ by more than case and white space.")
        raise _fault("negative", text)


def _check_model(spec: PolicySpec) -> None:
    if not spec.model or len(spec.model) > LONGEST_NAME or len(spec.model_version) > LONGEST_NAME:
        raise _fault("model", _("Name the model that is asked."))
    if not SOONEST_MS <= spec.deadline_ms <= LATEST_MS:
        text = _("The deadline is from %(soonest)d to %(latest)d milliseconds.")
        raise _fault("deadline_ms", text % {"soonest": SOONEST_MS, "latest": LATEST_MS})


def _check_thresholds(spec: PolicySpec) -> None:
    bounds = spec.thresholds
    if not 0 < bounds.review <= bounds.block <= 1:
        text = _(
            "Thresholds are above 0 and at most 1, and the one for review is not above the "
            "one for block."
        )
        raise _fault("thresholds", text)
    costs = (bounds.cost_false_alarm, bounds.cost_missed, bounds.cost_review)
    if not all(0 <= cost < math.inf for cost in costs):
        raise _fault("thresholds", _("A cost is a finite number from 0."))


def _check_calibration(spec: PolicySpec) -> None:
    fitted = spec.calibration
    if fitted is None:
        return
    if (fitted.model, fitted.model_version) != (spec.model, spec.model_version):
        text = _(
            "The calibration was fitted on %(fitted)s, and the policy asks %(now)s: the "
            "calibration is older than its model. Fit it anew."
        )
        names = {
            "fitted": _named(fitted.model, fitted.model_version),
            "now": _named(spec.model, spec.model_version),
        }
        raise _fault("calibration", text % names)
    if not _is_sound(fitted):
        text = _(
            "The numbers of the calibration are no %s: scores and values must rise from 0 "
            "to 1, and a temperature is above 0."
        )
        raise _fault("calibration", text % fitted.method)


def _named(model: str, version: str) -> str:
    return f"{model} ({version})" if version else model


def _is_sound(fitted: Calibration) -> bool:
    numbers = (fitted.temperature, fitted.slope, fitted.intercept)
    if not all(map(math.isfinite, numbers)) or fitted.temperature <= 0:
        return False
    if fitted.method != "isotonic":
        return not fitted.scores and not fitted.values
    xs, ys = fitted.scores, fitted.values
    if not 1 <= len(xs) == len(ys) <= MOST_POINTS:
        return False
    inside = all(0 <= value <= 1 for value in (*xs, *ys))
    pairs = zip(xs, xs[1:], ys, ys[1:], strict=False)
    return inside and all(x0 < x1 and y0 <= y1 for x0, x1, y0, y1 in pairs)


def _check_tree(spec: PolicySpec) -> None:
    if spec.tree is None:
        if spec.stack or spec.fallback.kind == "tree":
            field = "stack" if spec.stack else "fallback"
            raise _fault(field, _("There is no tree: add one, or leave this out."))
        return
    try:
        tree.check(spec.tree)
    except ValueError as problem:
        raise _fault("tree", str(problem)) from None
    names = {feature.partition("=")[0] for feature in spec.tree.features}
    if unknown := sorted(names - spec.inputs.keys()):
        raise _fault("tree", _("%s is no input of the schema.") % unknown[0][:80])
    weights = spec.stack and (spec.stack.model, spec.stack.tree, spec.stack.intercept)
    if weights and not all(abs(weight) <= LARGEST_WEIGHT for weight in weights):
        raise _fault("stack", _("A weight is a number of at most %d.") % LARGEST_WEIGHT)


def _check_fallback(spec: PolicySpec) -> None:
    fallback = spec.fallback
    if fallback.kind == "rules" and not 1 <= len(fallback.rules) <= MOST_RULES:
        raise _fault("fallback", _("A fallback of rules has 1 to %d rules.") % MOST_RULES)
    if fallback.kind != "rules" and fallback.rules:
        raise _fault("fallback", _("Only a fallback of rules has rules."))
    for rule in fallback.rules:
        if rule.input not in spec.inputs:
            raise _fault("fallback", _("%s is no input of the schema.") % rule.input[:80])
        compares = rule.test not in ("is", "is_not")
        if compares and (isinstance(rule.value, bool | str) or not math.isfinite(rule.value)):
            text = _("The rule for %s compares numbers: its value is none.")
            raise _fault("fallback", text % rule.input)


def _check_second_person(spec: PolicySpec) -> None:
    if (rule := spec.second_person) is None:
        return
    kind = spec.inputs.get(rule.input, {}).get("type")
    if kind not in ("number", "integer") or not math.isfinite(rule.sum):
        text = _("The sum from which two people review is a number, of an input that is one.")
        raise _fault("second_person", text)


def _check_neutral(spec: PolicySpec) -> None:
    if unknown := sorted(spec.neutral.keys() - spec.inputs.keys()):
        raise _fault("neutral", _("%s is no input of the schema.") % unknown[0][:80])
    trial: dict[str, Any] = deepcopy(inputs.sample(spec))
    try:
        inputs.prompt_of(spec, InputCheck(spec).checked(trial))
    except BadRequest as problem:
        text = _("The neutral values must fit the schema: %s. Give a neutral value there.")
        raise _fault("neutral", text % problem.message) from None
