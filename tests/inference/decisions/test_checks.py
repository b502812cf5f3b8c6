"""Faults of a policy are refused when it is written, with a sentence that names the field."""

from typing import Any

import msgspec
import pytest
from django.core.exceptions import ValidationError

from inference.decisions.checks import check
from inference.decisions.spec import as_json, of_json, packed, unpacked
from tests.inference.decisions.specs import SCHEMA, TEMPLATE, payments, stump

pytestmark = pytest.mark.unit
ISOTONIC = {"method": "isotonic", "rows": 600, "positives": 30, "fitted_at": "2026-11-30"}
ISOTONIC |= {"model": "deepseek-r1", "model_version": "v1"}
RULE = {"input": "amount", "test": "above", "value": 100, "outcome": "review"}


def schema(**inputs: Any) -> dict[str, Any]:
    return {**SCHEMA, "properties": {**SCHEMA["properties"], **inputs}}


def test_a_whole_policy_passes_and_keeps_all_in_json() -> None:
    spec = payments(
        model_version="v1",
        calibration={**ISOTONIC, "scores": [0.1, 0.9], "values": [0.01, 0.7]},
        tree=stump(),
        stack={"model": 1, "tree": 0.4},
        fallback={"kind": "rules", "rules": [RULE]},
        second_person={"input": "amount", "sum": 1000},
        neutral={"amount": 20, "merchant": "a shop"},
    )
    check(spec)
    assert unpacked(packed(spec)) == spec == of_json(as_json(spec))


@pytest.mark.parametrize(
    ("field", "fields", "words"),
    [
        ("input_schema", {"input_schema": {"type": "array"}}, 'type "object"'),
        ("input_schema", {"input_schema": {**SCHEMA, "anyOf": [{}]}}, "`anyOf` is not taken"),
        ("input_schema", {"input_schema": {**SCHEMA, "additionalProperties": True}}, "Foreign"),
        ("input_schema", {"input_schema": {**SCHEMA, "required": ["age"]}}, "age is required"),
        ("input_schema", {"input_schema": schema(x={"type": "object"})}, "type of an input"),
        ("input_schema", {"input_schema": schema(x={"type": "string"})}, "needs a `default`"),
        (
            "input_schema",
            {"input_schema": schema(x={"type": "string", "pattern": "^(a+)+$", "default": ""})},
            "`pattern` is not taken",
        ),
        (
            "input_schema",
            {"input_schema": schema(x={"type": "string", "minLength": 9, "maxLength": 3})},
            "above its `maxLength`",
        ),
        (
            "input_schema",
            {"input_schema": schema(x={"type": "integer", "default": 0.5})},
            "default does not fit",
        ),
        ("input_schema", {"input_schema": schema(**{"a b": {"type": "string"}})}, "A name has"),
        ("input_schema", {"input_schema": schema(x={"type": "number", "minimum": "1"})}, "no JSON"),
        ("input_schema", {"input_schema": schema(x={"$ref": "http://x/y"})}, "local references"),
        ("template", {"template": "Pay {{sum}} {{amount}}"}, "sum"),
        ("template", {"template": "Is it fraud?"}, "must hold an input"),
        ("template", {"template": f"{TEMPLATE} {{{{ amount.x }}}}"}, "names none"),
        ("positive", {"positive": "  "}, "A label is a word"),
        ("negative", {"negative": " YES "}, "must differ"),
        ("model", {"model": ""}, "Name the model"),
        ("deadline_ms", {"deadline_ms": 10}, "from 50 to 30000"),
        ("thresholds", {"thresholds": {"review": 0.9, "block": 0.8}}, "not above"),
        ("thresholds", {"thresholds": {"review": 0.0, "block": 0.8}}, "above 0"),
        ("thresholds", {"thresholds": {"review": 0.1, "block": 1.1}}, "at most 1"),
        ("thresholds", {"thresholds": {"review": 0.1, "block": 1, "cost_missed": -1}}, "A cost"),
        ("calibration", {"calibration": ISOTONIC}, "older than its model"),
        ("calibration", {"model_version": "v2", "calibration": ISOTONIC}, "older than its model"),
        ("calibration", {"model_version": "v1", "calibration": ISOTONIC}, "must rise"),
        (
            "calibration",
            {
                "model_version": "v1",
                "calibration": {**ISOTONIC, "scores": [0.1, 0.2], "values": [0.5, 0.4]},
            },
            "must rise",
        ),
        (
            "calibration",
            {
                "model_version": "v1",
                "calibration": {**ISOTONIC, "method": "temperature", "temperature": 0},
            },
            "temperature is above 0",
        ),
        ("stack", {"stack": {"model": 1, "tree": 1}}, "There is no tree"),
        ("fallback", {"fallback": {"kind": "tree"}}, "There is no tree"),
        ("tree", {"tree": {**stump(), "features": ["age"]}}, "age is no input"),
        ("tree", {"tree": {**stump(), "trees": [[[0, 1, 0, 0, 1]]]}}, "no leaf and no split"),
        ("fallback", {"fallback": {"kind": "rules"}}, "1 to 100 rules"),
        ("fallback", {"fallback": {"kind": "outcome", "rules": [RULE]}}, "Only a fallback"),
        ("fallback", {"fallback": {"kind": "rules", "rules": [RULE | {"input": "x"}]}}, "x is no"),
        (
            "fallback",
            {"fallback": {"kind": "rules", "rules": [RULE | {"value": "much"}]}},
            "compares numbers",
        ),
        ("tree", {"tree": {**stump(), "trees": [[[1e308]], [[-1e308]]]}}, "no leaf"),
        ("tree", {"tree": {**stump(), "intercept": 1e300}}, "intercept"),
        ("stack", {"tree": stump(), "stack": {"model": 1e308, "tree": -1e308}}, "at most"),
        ("second_person", {"second_person": {"input": "merchant", "sum": 5}}, "is a number"),
        ("neutral", {"neutral": {"age": 5}}, "age is no input"),
        ("neutral", {"neutral": {"amount": -5}}, "amount"),
        ("neutral", {"neutral": {"country": "FR"}}, "country"),
    ],
)
def test_faults(field: str, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        check(payments(**fields))
    ((name, problems),) = refused.value.message_dict.items()
    assert name == field
    assert words in problems[0]


@pytest.mark.parametrize(
    "odd",
    [
        {"type": "string", "minLength": 3.0},
        {"type": "number", "minimum": 1e23},
        {"type": "integer", "exclusiveMinimum": 1.7e308},
        {"type": "integer", "maximum": -1e300},
        {"type": "number", "minimum": 1.6e308, "maximum": 1.7e308},
        {"type": "integer", "minimum": 1.6e308, "maximum": 1.7e308},
    ],
)
def test_bounds_that_few_values_fit_are_taken_or_refused(odd: dict[str, Any]) -> None:
    """Some have no sample: then a neutral value is asked for."""
    inputs = {**SCHEMA, "properties": {**SCHEMA["properties"], "odd": odd}}
    spec = payments(input_schema={**inputs, "required": [*SCHEMA["required"], "odd"]})
    try:
        check(spec)
    except ValidationError as refused:
        assert [*refused.message_dict] == ["neutral"]
    assert unpacked(packed(spec)) == spec


@pytest.mark.parametrize(
    "fields",
    [
        {"threshold": 0.7},
        {"thresholds": {"review": "0.3", "block": 0.8}},
        {"fallback": {"kind": "none"}},
        {"tree": {"features": []}},
        {"form": "image"},
    ],
)
def test_json_of_another_form_is_refused_by_name(fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        payments(**fields)
