"""The schema of each rule says what the rule does: the document cannot differ from the checks."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from inference.api.anthropic.fields import FIELDS as MESSAGES
from inference.api.ollama import fields as ollama
from inference.api.openai import batches, fine_tuning_fields, part_uploads
from inference.api.responses.fields import FIELDS as RESPONSES
from inference.engines.fields import (
    ANY,
    DETOKENIZING,
    EMBEDDINGS,
    HINTS,
    RERANKING,
    STRUCTURED,
    TOKENIZING,
    FieldRule,
    Fields,
    optional,
    tokens,
)
from inference.engines.kind_samples import samples
from inference.validation.requests import PLAIN

pytestmark = pytest.mark.unit
OLLAMA = (ollama.CHAT, ollama.GENERATE, ollama.EMBED, ollama.EMBEDDINGS, ollama.SHOW)
TABLES: dict[str, Fields] = {
    **{f"chat {name}": engine.fields(chat=True) for name, engine in samples().items()},
    **{f"text {name}": engine.fields(chat=False) for name, engine in samples().items()},
    "hints": HINTS,
    "plain": PLAIN,
    "tokenize": TOKENIZING,
    "detokenize": DETOKENIZING,
    "embeddings": EMBEDDINGS,
    "rerank": RERANKING,
    "messages": {name: field.rule for name, field in MESSAGES.items()},
    "responses": {name: field.rule for name, field in RESPONSES.items()},
    **{
        f"ollama {number}": {name: field.rule for name, field in table.items()}
        for number, table in enumerate(OLLAMA)
    },
    "batches": batches.FIELDS,
    "uploads": part_uploads.fields(),
    "parts": part_uploads.PARTS,
    "fine-tuning": fine_tuning_fields.FIELDS,
    "hyperparameters": fine_tuning_fields.HYPERPARAMETERS,
    "tokens": {"structured": STRUCTURED, "few": tokens(2), "perhaps": optional(tokens(2))},
}


def rules() -> Iterator[tuple[str, FieldRule]]:
    for table, fields in TABLES.items():
        for name, rule in fields.items():
            yield f"{table}: {name}", rule


# Whole floats are left out: JSON Schema takes 1.0 for an integer, and the rules do not.
numbers = st.one_of(
    st.integers(),
    st.integers(-3, 20),
    st.floats(-3, 300, allow_nan=False).filter(lambda n: not n.is_integer()),
    st.sampled_from([2**31 - 1, 2**31, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1]),
)
known = sorted(
    {word for _, rule in rules() for word in rule.schema.get("enum", ()) if isinstance(word, str)}
    | {"json", "choice", "json_object", "include_usage", "user_id", "type", "thinking", "text"}
    | {"created_at", "24h", "in_memory", "medium", "standard", "50", "", "x" * 129, "x" * 1025}
)
words = st.sampled_from(known) | st.text(max_size=5)
plain = st.none() | st.booleans() | numbers | words
values = st.recursive(
    plain,
    lambda each: (
        st.lists(each, max_size=3)
        | st.lists(words, max_size=20)
        | st.dictionaries(words, each, max_size=3)
    ),
    max_leaves=6,
)


def test_each_rule_has_a_schema() -> None:
    for name, rule in rules():
        assert rule.schema is not ANY, name
        Draft202012Validator.check_schema(rule.schema)


CHECKED = {
    id(rule): (name, rule, Draft202012Validator(rule.schema))
    for name, rule in rules()
    if not (rule.holds(None) and rule.holds(()))  # which another check looks at
}


@settings(max_examples=150, deadline=None)
@given(value=values)
def test_a_rule_holds_where_its_schema_does(value: Any) -> None:
    for name, rule, schema in CHECKED.values():
        assert bool(rule.holds(value)) == schema.is_valid(value), (name, value)
