"""Bad requests for embeddings and rankings name the field and the place of the fault."""

from typing import Any

import pytest

from inference.engines import inputs
from inference.engines.base import EngineConfig
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.kinds.openai import OpenAIEngine
from inference.errors import BadRequest
from inference.order import EMBED, RERANK
from inference.validation import requests
from inference.validation.requests import Form
from inference.validation.vectors import checked_task

pytestmark = pytest.mark.unit
ENGINE = OpenAIEngine(EngineConfig("smol", "openai", "http://x/v1", "theirs", context_length=512))
LLAMA = LlamaCppEngine(EngineConfig("smol", "llama_cpp", "http://x", "theirs"))
LONG = "x" * (512 * 16 + 16)


def refused(task: str, **fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as problem:
        checked_task({"model": "smol", **fields}, ENGINE, task)
    return problem.value


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (None, "input"),
        ("", "input"),
        ([], "input"),
        (5, "input"),
        ({}, "input"),
        (True, "input"),
        ([True], "input"),
        ([None], "input"),
        ([1, -1], "input"),
        ([1, 2**31], "input"),
        ([1, "a"], "input"),
        ([1.5], "input"),
        ([["a"]], "input[0]"),
        ([[]], "input[0]"),
        ([[1], []], "input[1]"),
        ([[1], 2], "input[1]"),
        ([[[1]]], "input[0]"),
        (["a", ""], "input[1]"),
        (["a", 5], "input[1]"),
        (["a", ["b"]], "input[1]"),
        (["a", None], "input[1]"),
        (["a"] * 2049, "input"),
    ],
)
def test_bad_inputs(value: Any, param: str) -> None:
    error = refused(EMBED, input=value)
    assert (error.status, error.param, error.code) == (400, param, "invalid_request")


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (LONG, "input"),
        (["a", LONG], "input[1]"),
        ([7] * 513, "input"),
        ([[7], [7] * 513], "input[1]"),
    ],
)
def test_an_input_beyond_the_context_is_named(value: Any, param: str) -> None:
    error = refused(EMBED, input=value)
    assert (error.param, error.code) == (param, "context_length_exceeded")
    assert "maximum context length is 512 tokens" in error.message


def test_all_inputs_together_have_a_bound() -> None:
    error = refused(EMBED, input=[[7] * 512] * 600)
    assert (error.param, error.code) == ("input", "too_many_tokens")
    error = refused(RERANK, query="x" * 6000, documents=["a"] * 1000)
    assert (error.param, error.code) == ("documents", "too_many_tokens")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"encoding_format": 5}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": -3}, "dimensions"),
        ({"dimensions": 65537}, "dimensions"),
        ({"dimensions": 1.5}, "dimensions"),
        ({"dimensions": True}, "dimensions"),
        ({"user": 5}, "user"),
        ({"stream": True}, "stream"),
        ({"template": "greeting"}, "template"),
        ({"input_type": "query"}, "input_type"),
    ],
)
def test_bad_fields_of_embeddings(fields: dict[str, Any], param: str) -> None:
    assert refused(EMBED, input="a", **fields).param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"query": ""}, "query"),
        ({"query": None}, "query"),
        ({"query": ["a"]}, "query"),
        ({"query": LONG}, "query"),
        ({"documents": None}, "documents"),
        ({"documents": []}, "documents"),
        ({"documents": "a"}, "documents"),
        ({"documents": {"text": "a"}}, "documents"),
        ({"documents": ["a"] * 1001}, "documents"),
        ({"documents": ["a", ""]}, "documents[1]"),
        ({"documents": ["a", 5]}, "documents[1]"),
        ({"documents": ["a", {}]}, "documents[1]"),
        ({"documents": [{"text": None}]}, "documents[0]"),
        ({"documents": [{"text": "a", "title": "b"}]}, "documents[0]"),
        ({"documents": ["a", LONG]}, "documents[1]"),
        ({"query": "x" * 8000, "documents": ["x" * 1000]}, "documents[0]"),
        ({"top_n": 0}, "top_n"),
        ({"top_n": "3"}, "top_n"),
        ({"return_documents": "yes"}, "return_documents"),
        ({"max_tokens_per_doc": 100}, "max_tokens_per_doc"),
        ({"rank_fields": ["title"]}, "rank_fields"),
    ],
)
def test_bad_rankings(fields: dict[str, Any], param: str) -> None:
    assert refused(RERANK, **{"query": "who", "documents": ["a"]} | fields).param == param


def test_dimensions_want_a_model_that_was_made_for_them() -> None:
    with pytest.raises(BadRequest, match="one length") as problem:
        checked_task({"model": "smol", "input": "a", "dimensions": 8}, LLAMA, EMBED)
    assert (problem.value.code, problem.value.param) == ("unsupported_value", "dimensions")


def test_null_leaves_a_field_out() -> None:
    body = {"model": "smol", "input": ["a"], "dimensions": None, "user": None}
    assert checked_task(body, ENGINE, EMBED) == {
        "model": "smol",
        "input": ["a"],
        "encoding_format": "float",
    }


@pytest.mark.parametrize(
    "text", [rb'"\ud800"', rb'["a", "\udc00x"]', b'"\xff"', b"[NaN]", b"[1e999]"]
)
def test_what_no_text_can_be_is_no_json(text: bytes) -> None:
    with pytest.raises(BadRequest) as problem:
        body = requests.parsed(b'{"model":"smol","input":' + text + b"}")
        requests.checked(body, 100, Form.EMBEDDINGS, ENGINE)
    assert problem.value.status == 400


def test_deep_lists_are_refused_before_they_are_walked() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    with pytest.raises(BadRequest):
        requests.parsed(b'{"model":"smol","input":' + deep + b"}")


# What is set aside -------------------------------------------------------------------------------
def test_each_document_is_set_aside_with_its_query() -> None:
    one = ENGINE.inputs_bound({"query": "a" * 100, "documents": ["b"]}, RERANK)
    ten = ENGINE.inputs_bound({"query": "a" * 100, "documents": ["b"] * 10}, RERANK)
    assert ten == 10 * one
    assert one > 101
    assert ENGINE.inputs_bound({"input": [[7] * 50, [8]]}, EMBED) == 51 + 2 * inputs.OF_INPUT


def test_portions_are_bounded_by_number_and_by_length() -> None:
    assert [len(each) for each in inputs.portions(["a"] * 70, 32)] == [32, 32, 6]
    large = "x" * (inputs.PORTION_BYTES // 2)
    assert [len(each) for each in inputs.portions([large] * 5, 32)] == [2, 2, 1]
