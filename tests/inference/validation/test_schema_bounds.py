"""What a JSON schema may ask of an engine: no pattern, count or choice stops one for everybody.

Each refused schema here made llama.cpp's server loop, grow, or stand still for all others.
"""

import contextlib
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engines.base import Engine, EngineConfig
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.kinds.sglang import SglangEngine
from inference.engines.kinds.vllm import VllmEngine
from inference.errors import BadRequest
from inference.validation import requests
from inference.validation.pattern_bounds import PatternBudget, WrongPattern, check_pattern

pytestmark = pytest.mark.unit
CONFIG = EngineConfig("m", "x", "http://127.0.0.1:1", "m")
VLLM, LLAMA_CPP, SGLANG = VllmEngine(CONFIG), LlamaCppEngine(CONFIG), SglangEngine(CONFIG)
KINDS = {"vLLM": VLLM, "llama.cpp": LLAMA_CPP, "SGLang": SGLANG}
FIELDS = ("response_format", "guided_json", "structured_outputs", "tools")
Schema = dict[str, Any]


def asked(field: str, schema: Schema) -> dict[str, Any]:
    values: dict[str, Any] = {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": schema},
        },
        "guided_json": schema,
        "structured_outputs": {"json": schema},
        "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}],
    }
    return {"messages": [{"role": "user", "content": "hi"}], field: values[field]}


def check(schema: Schema, engine: Engine = VLLM, field: str = "response_format") -> dict[str, Any]:
    body = asked(field, schema)
    requests.check_chat(body, engine)
    return body


def matching(pattern: str) -> Schema:
    return {"type": "string", "pattern": pattern}


def optional(count: int) -> Schema:
    return {"type": "object", "properties": {f"p{n}": {"type": "integer"} for n in range(count)}}


def arrays(levels: int, **bounds: int) -> Schema:
    schema: Schema = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema, **bounds}
    return schema


def of_two_types(levels: int) -> Schema:
    """An engine copies all that stands below for each type."""
    schema: Schema = {"type": "string"}
    for _ in range(levels):
        schema = {"type": ["object", "array"], "properties": {"a": schema}}
    return schema


def enum_behind_references(alternatives: int, values: int) -> Schema:
    """Each alternative leads to the same values by a way of its own."""
    return {
        "anyOf": [{"$ref": "#/$defs/words"} for _ in range(alternatives)],
        "$defs": {"words": {"enum": [f"word-{n}" for n in range(values)]}},
    }


def beside(schemas: list[Schema]) -> Schema:
    """A union of schemas that may hold each other by `#/$defs/N`."""
    ways = [{"$ref": f"#/$defs/{n}"} for n in range(len(schemas))]
    return {"anyOf": ways, "$defs": {str(n): each for n, each in enumerate(schemas)}}


def any_of(count: int) -> Schema:
    return {"anyOf": [{"$ref": f"#/$defs/{n}"} for n in range(count)]}


def lists_in_lists(width: int, levels: int) -> Schema:
    """Lists that begin alike, in each other: their ways multiply."""
    inner: list[Schema] = [{"type": "string", "maxLength": 50 + n} for n in range(width)]
    for _ in range(levels):
        items = {"anyOf": inner}
        inner = [{"type": "array", "maxItems": 50 + n, "items": items} for n in range(width)]
    return {"anyOf": inner}


def terms(*required: str, names: Sequence[str] = ("add", "mul")) -> Schema:
    """Of arithmetic: each term has a kind, and holds two others."""
    inner = any_of(len(names))
    return beside(
        [
            {
                "type": "object",
                "properties": {"kind": {"const": name}, "left": inner, "right": inner},
                "required": list(required),
            }
            for name in names
        ]
    )


def test_alternatives_that_begin_alike_do_not_multiply_in_llama_cpp() -> None:
    """Each held its server for longer than a client waits; others cannot tell them apart sooner."""
    lists: list[Schema] = [{"type": "array", "minItems": n, "items": any_of(3)} for n in range(3)]
    for schema in (beside(lists), lists_in_lists(9, 2), terms("left", "right")):
        for field in ("response_format", "tools"):
            with pytest.raises(BadRequest, match="begin alike hold each other"):
                check(schema, LLAMA_CPP, field)
            check(schema, VLLM, field)


def with_lists(count: int) -> Schema:
    """Properties of lists that begin alike; no two the same object, as none is in a request."""
    properties: Schema = {}
    for n in range(count):
        kinds = ("null", "object")
        lists = {"anyOf": [{"type": "array", "items": {"type": kind}} for kind in kinds]}
        properties[f"p{n}"] = {"type": "array", "items": lists}
    return {"properties": properties, "required": list(properties)}


def test_in_a_large_schema_no_alternatives_begin_alike() -> None:
    """Counting how they multiply would take too long."""
    check(with_lists(200), LLAMA_CPP)
    with pytest.raises(BadRequest, match="too large"):
        check(with_lists(300), LLAMA_CPP)


def with_unions(schema: Schema, unions: int, alternatives: int) -> Schema:
    """Unions of references, all of which lead to one schema."""
    union = {"anyOf": [{"$ref": "#/$defs/a"}] * alternatives}
    properties = {f"p{n}": {**union} for n in range(unions)}
    return {"properties": properties, "required": [*properties], "$defs": {"a": schema}}


def requiring(count: int) -> Schema:
    required = [str(n) for n in range(count)]
    return {"type": "object", "properties": {required[-1]: {}}, "required": required}


def telling_apart(values: int) -> Schema:
    kind = {"enum": list(range(values))}
    return {"type": "object", "properties": {"a": kind}, "required": ["a"]}


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (with_unions(requiring(15_000), 12, 400), ""),
        (with_unions({"enum": [*range(500)]}, 3_000, 1), ""),
        (with_unions(telling_apart(400), 12, 400), "names and values"),
        (with_unions(optional(250), 2_000, 2), "names and values"),
    ],
)
def test_reading_a_schema_of_many_references_takes_little_work(schema: Schema, says: str) -> None:
    """Of processor time, as for patterns: all else waits for it."""
    began = time.process_time()
    with pytest.raises(BadRequest, match=says) if says else contextlib.nullcontext():
        check(schema, LLAMA_CPP, "tools")
    assert time.process_time() - began < 0.5


def test_functions_of_llama_cpp_can_be_told_apart() -> None:
    """Their calls are alternatives of one grammar."""
    for names, problem in (
        (["f", "g", "f"], "two functions of the name f"),
        (
            [f"f{n}" for n in range(501)],
            "at most 500 functions",
        ),
    ):
        tools = [{"type": "function", "function": {"name": name}} for name in names]
        body = {"messages": [{"role": "user", "content": "a"}], "tools": tools}
        with pytest.raises(BadRequest, match=problem):
            requests.check_chat(body, LLAMA_CPP)
        requests.check_chat(body, VLLM)


def test_alternatives_that_can_be_told_apart_may_hold_each_other() -> None:
    scalars: list[Schema] = [{"type": kind} for kind in ("string", "number", "null")]
    either = any_of(5)
    tree = beside(
        [
            *scalars,
            {"type": "array", "items": either},
            {"type": "object", "additionalProperties": either},
        ]
    )
    conditions = beside(
        [{"properties": {word: {"type": "array", "items": any_of(2)}}} for word in ("and", "or")]
    )
    node = {"properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}
    for schema in (tree, conditions, node, terms("kind", "left", "right"), lists_in_lists(4, 2)):
        check(schema, LLAMA_CPP)


REFUSED: list[tuple[Schema, str]] = [
    (matching("^a{3,1}$"), "least, 3, is above its most, 1"),
    (matching("^(a?){300}a{300}$"), "too many ways"),
    (matching("^(a?b?c?){20}$"), "too many ways"),
    (matching("^" + "[a-z]?" * 100 + "$"), "too large an automaton"),
    (matching("^" + "[a-z ]*" * 60 + "$"), "too many ways"),
    (matching("^((a{30}){30}){30}$"), "repetitions written out"),
    (matching("^a{1000000}$"), "too large"),
    (matching("[ab]*a[ab]{13}"), "too large an automaton"),
    (matching("^a**$"), "repeats a repetition"),
    (matching("^[z-a]$"), "ends before it begins"),
    (matching("^($"), "without its"),
    ({"patternProperties": {"^a{3,1}$": {}}}, "above its most"),
    ({"patternProperties": {"(" * 200: {}}}, "64 groups"),
    ({"properties": {"_" * 30_000: {"type": "string"}}}, "name is longer than 256"),
    ({"$ref": "#/$defs/" + "_" * 30_000, "$defs": {}}, "`\\$ref` is longer than 1000"),
    ({"type": "string", "minLength": 3, "maxLength": 1}, "`minLength` of 3 is above"),
    ({"type": "array", "minItems": 3, "maxItems": 1}, "`minItems` of 3 is above"),
    ({"type": "object", "minProperties": 2, "maxProperties": 1}, "`minProperties` of 2 is above"),
    ({"type": "array", "minContains": 2, "maxContains": 1}, "`minContains` of 2 is above"),
    ({"type": "array", "minItems": 10**9}, "`minItems` is above 2000"),
    ({"type": "array", "minItems": 2**32 + 1}, "`minItems` is above 2000"),
    ({"type": "string", "minLength": -1}, "no whole number"),
    ({"type": "string", "maxLength": 1.5}, "no whole number"),
    ({"type": "string", "maxLength": float("inf")}, "no whole number"),
    ({"type": "integer", "minimum": 5, "maximum": 1}, "least number is above"),
    ({"type": "integer", "exclusiveMinimum": 5, "maximum": 5}, "least number is above"),
    ({"type": "integer", "multipleOf": 0}, "`multipleOf` is not above 0"),
    (arrays(3, minItems=100), "arrays in arrays"),
    (arrays(4, maxItems=100), "arrays in arrays"),
    (of_two_types(14), "too many types"),
    ({"enum": [f"value-{n}" for n in range(2001)]}, "2000 choices"),
    (optional(2001), "2000 choices"),
    (enum_behind_references(100, 100), "2000 choices"),
]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(("schema", "says"), REFUSED)
def test_a_schema_that_would_stop_an_engine_is_refused(
    schema: Schema, says: str, field: str
) -> None:
    nested: Schema = {"type": "object", "properties": {"inner": schema}, "required": ["inner"]}
    with pytest.raises(BadRequest, match=says) as refused:
        check(schema if "$defs" in schema else nested, field=field)
    assert refused.value.param == field


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", ["response_format", "tools"])
@pytest.mark.parametrize("schema", [schema for schema, _ in REFUSED])
def test_no_kind_of_engine_is_sent_one_of_these(schema: Schema, field: str, kind: str) -> None:
    with pytest.raises(BadRequest) as refused:
        check(schema, KINDS[kind], field)
    assert refused.value.param == field


@pytest.mark.parametrize(
    "field", ["regex", "ebnf", "guided_regex", "guided_grammar", "json_schema", "guided_json"]
)
def test_sglang_is_sent_no_grammar_by_another_way(field: str) -> None:
    body = {"messages": [{"role": "user", "content": "a"}], field: "^(a?){300}a{300}$"}
    with pytest.raises(BadRequest) as refused:
        requests.check_chat(body, SGLANG)
    assert refused.value.param == field


def test_the_choices_of_a_list_of_words_are_bounded_too() -> None:
    words = [f"word-{n}" for n in range(2001)]
    for field in ({"guided_choice": words}, {"structured_outputs": {"choice": words}}):
        with pytest.raises(BadRequest, match="2000 choices"):
            requests.check_chat({"messages": [{"role": "user", "content": "a"}], **field}, VLLM)


def test_a_function_has_a_short_name() -> None:
    tool = {"type": "function", "function": {"name": "_" * 257, "parameters": {}}}
    with pytest.raises(BadRequest, match="name is longer than 256"):
        requests.check_chat({"messages": [{"role": "user", "content": "a"}], "tools": [tool]}, VLLM)


def test_llama_cpp_takes_fewer_choices_than_others() -> None:
    check({"enum": list(range(500))}, LLAMA_CPP)
    check({"enum": list(range(501))}, VLLM)
    with pytest.raises(BadRequest, match="500 choices"):
        check({"enum": list(range(501))}, LLAMA_CPP)


@pytest.mark.parametrize("kind", KINDS)
def test_a_most_that_is_no_limit_to_anybody_is_not_passed_on(kind: str) -> None:
    """Generated schemas have such ones; llama.cpp reads 2**32 + 1 as 1, xgrammar writes it out."""
    items = {"type": "array", "items": {}, "maxItems": 2**32 + 1}
    schema = {"properties": {"a": {"maxLength": 10_001}, "b": items, "c": {"maxLength": 99}}}
    body = check(schema, KINDS[kind])
    passed = body["response_format"]["json_schema"]["schema"]["properties"]
    assert passed == {"a": {}, "b": {"type": "array", "items": {}}, "c": {"maxLength": 99}}


@pytest.mark.parametrize(
    "schema",
    [
        matching(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$"),
        matching(r"^[\w.+-]{1,64}@[\w.-]{1,255}\.[a-z]{2,}$"),
        matching(r"^((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)$"),
        matching(r"^(?=.*[A-Z])(?=.*\d).{8,64}$"),
        matching(r"^https?://[^\s/$.?#].[^\s]*$"),
        matching("^[a-z]{1,1999}$"),
        matching("^([a-z]+ ?)+$"),
        matching(r"\S"),
        {"type": "object", "properties": {"pattern": {"type": "string"}, "maxItems": {}}},
        {"type": "integer", "minimum": -(2**53) + 1, "maximum": 2**53 - 1},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        {"type": "array", "items": {"type": "string", "maxLength": 500}, "maxItems": 100},
        {"enum": [f"value-{n}" for n in range(300)]},
        of_two_types(5),
        optional(200),
    ],
)
def test_what_people_write_passes(schema: Schema) -> None:
    for engine in KINDS.values():
        check(schema, engine)


@pytest.mark.parametrize(
    "pattern",
    [
        "a?" * 900,
        "".join(chr(500 + n) for n in range(1900)),
        "|".join(f"[{chr(200 + n)}-{chr(1200 + n)}]" for n in range(220)),
        "|".join("a" * n for n in range(1, 60)),
        "(" * 64 + "a?" + "){2}" * 64,
    ],
)
def test_refusing_a_pattern_takes_little_work(pattern: str) -> None:
    """Of processor time, which other processes do not lengthen; alone it is a tenth of this."""
    began = time.process_time()
    with pytest.raises(WrongPattern):
        check_pattern(pattern, PatternBudget())
    assert time.process_time() - began < 0.5


@given(st.text("ab()[]{}*+?|^$\\.,019-:=!<>dwPkxu", max_size=80))
def test_any_text_is_a_pattern_or_refused(pattern: str) -> None:
    with contextlib.suppress(WrongPattern):
        check_pattern(pattern, PatternBudget())


def test_many_patterns_share_one_budget() -> None:
    simple = {f"p{n}": matching("^[a-z]{1,20}-[a-z]{1,20}$") for n in range(300)}
    with pytest.raises(BadRequest, match="alone or with the others"):
        check({"type": "object", "properties": simple, "required": list(simple)})
