"""Answers as an engine may give them, and as none should: every front end reads them all."""

from hypothesis import strategies as st

json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
_reasons = {
    "finish_reason": st.sampled_from(["stop", "length", "x", None]),
    "stop_reason": json,
    "logprobs": json,
}

# Whole answers ------------------------------------------------------------------------------------
whole_choice = st.fixed_dictionaries({"message": json}, optional=_reasons)
whole_message = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("content", "refusal", "reasoning", "tool_calls"), json)
)

# Streams ------------------------------------------------------------------------------------------
_function = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(max_size=3) | st.just("apply_patch"),
        "arguments": st.text(max_size=3),
    },
)
_call_piece = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 2) | st.none(),
        "id": st.sampled_from(["a", "b"]) | st.none(),
        "function": _function,
    },
)
_delta = st.fixed_dictionaries(
    {},
    optional={
        "content": st.text(max_size=3) | st.none(),
        "refusal": st.text(max_size=3),
        "reasoning_content": st.text(max_size=3) | json,
        "reasoning": json,
        "tool_calls": st.lists(_call_piece, max_size=2) | st.none(),
    },
)
_choice = st.fixed_dictionaries(
    {"delta": _delta | st.none()}, optional={"text": st.text(max_size=3) | st.none(), **_reasons}
)
_chunk = st.fixed_dictionaries(
    {"choices": st.lists(_choice, max_size=2) | st.none()}, optional={"usage": json, "model": json}
)
groups_of_chunks = st.lists(st.lists(_chunk | json, min_size=1, max_size=4), min_size=1, max_size=4)
