"""No prompt has more tokens than its body can have: every byte may be a token of its own."""

import json
import unicodedata
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.engines import prompt_bound as module
from inference.engines.prompt_bound import GROWTH, Form, Template, prompt_bound

pytestmark = pytest.mark.unit
CHATML = Template(base=30, per_message=8, tools=40)
# Longer in a normal form: a composition that is excluded, a ligature, musical signs, a salutation.
GROWING = "\u0958\ufb2c\U0001d160\ufdfa\u00e9\u0323"
texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(GROWING), max_size=60)


def words(count: int) -> str:
    """A template's own, each byte one token."""
    return "|" * count


def rendered(body: dict[str, Any]) -> str:
    """As ChatML and Llama 3 do it: tools and calls in JSON of their own layout."""
    said = [words(CHATML.base)]
    said += [json.dumps(tool, indent=4) for tool in body.get("tools", ())]  # `\\u4e2d`, too
    if "tools" in body:
        said.append(words(CHATML.tools))
    for message in body["messages"]:
        content = message.get("content") or ""
        if message["role"] == "tool":
            content = json.dumps(content)
        said.append(words(CHATML.per_message) + message["role"] + content)
        for call in message.get("tool_calls", ()):
            name, arguments = call["function"]["name"], call["function"]["arguments"]
            said.append(json.dumps({"name": name, "arguments": json.loads(arguments)}))
    return "".join(said)


def tokens(text: str, form: Form | None) -> int:
    """The most that there can be."""
    return len((unicodedata.normalize(form, text) if form else text).encode())


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
calls = st.fixed_dictionaries(
    {
        "id": st.just("1"),
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {
                "name": texts,
                "arguments": st.dictionaries(texts, values, max_size=3).map(
                    lambda found: orjson.dumps(found).decode()
                ),
            }
        ),
    }
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": texts},
    optional={"tool_calls": st.lists(calls, max_size=2)},
)
bodies = st.fixed_dictionaries(
    {"messages": st.lists(messages, min_size=1, max_size=5)},
    optional={"tools": st.lists(values, max_size=3)},
)
NESTED: Any = {"a": [[[[1, 2, 3], [4]], "中文"]], "é": {"b": {"c": {}}}}


@given(bodies, st.sampled_from([None, *GROWTH]))
@example({"messages": [{"role": "user", "content": GROWING * 9}]}, "NFC")
@example({"messages": [{"role": "user", "content": GROWING * 9}]}, "NFKC")
@example({"messages": [{"role": "user", "content": ""}] * 40}, None)
@example({"messages": [{"role": "tool", "content": "中文" * 50}], "tools": [NESTED] * 9}, None)
@example({"messages": [{"role": "user", "content": "x"}], "tools": [[0] * 50]}, "NFC")
def test_no_prompt_has_more_tokens_than_its_bound(body: dict[str, Any], form: Form | None) -> None:
    assert tokens(rendered(body), form) <= prompt_bound(orjson.dumps(body), CHATML, form)


@given(texts, st.sampled_from([None, *GROWTH]))
def test_nor_has_a_text(text: str, form: Form | None) -> None:
    body = orjson.dumps({"model": "m", "prompt": text})
    assert tokens(text, form) + 2 <= prompt_bound(body, None, form)  # begin and end of a text


def test_a_plain_text_is_charged_as_it_is() -> None:
    for text in ("Hello", "你好，世界", "नमस्ते", "naïve"):
        body = orjson.dumps({"messages": [{"role": "user", "content": text}]})
        assert prompt_bound(body, CHATML, "NFC") == len(body) + CHATML.base
    quoted = orjson.dumps(
        {"messages": [{"role": "user", "content": '{"tools":[1],"role":"tool"}'}]}
    )
    assert prompt_bound(quoted, CHATML, "NFC") == len(quoted) + CHATML.base


@pytest.mark.parametrize(
    "beside",
    [
        {"tools": [NESTED]},
        {"response_format": NESTED},
        {"guided_json": NESTED},
        {"structured_outputs": NESTED},
        {"messages": [{"role": "tool", "content": "中文"}]},
        {"messages": [{"role": "assistant", "content": "", "tool_calls": [NESTED]}]},
        {"messages": [{"role": "assistant", "content": "", "function_call": NESTED}]},
        {},
    ],
)
def test_what_is_no_text_counts_as_much_beside_a_long_text(beside: dict[str, Any]) -> None:
    def beyond(content: str) -> int:
        """What the bound adds to the body's bytes."""
        messages = [*beside.get("messages", ()), {"role": "user", "content": content}]
        body = orjson.dumps({**beside, "messages": messages})
        return prompt_bound(body, CHATML, None) - len(body)

    text = '{"tools":[1],"role":"tool","tool_calls":[]}'
    assert beyond(text * 1600) == beyond(text)
    assert (beyond(text) == CHATML.base) == (not beside)


@pytest.mark.parametrize("form", GROWTH)
def test_no_text_grows_more_than_its_normal_form_can(form: Form) -> None:
    for character in map(chr, [*range(0xD800), *range(0xE000, 0x30000)]):
        grown = len(unicodedata.normalize(form, character).encode())
        assert grown <= GROWTH[form] * len(character.encode())


def test_a_long_text_is_not_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    body = orjson.dumps({"prompt": GROWING * 10_000})
    exact = tokens(GROWING * 10_000, "NFC")
    monkeypatch.setattr(module, "unicodedata", None)
    assert prompt_bound(body, None, "NFC") >= exact
