"""The question of a policy to its model: the body of a request, and the score in its answer.

Serving, evaluations and explanations ask by these, so all of them ask the same.
"""

from collections.abc import Collection, Mapping
from typing import Any

import orjson

from inference.decisions import inputs, scoring
from inference.decisions.scoring import TopLogprob
from inference.decisions.spec import CHAT, PolicySpec

TOKENS = 20  # likely first tokens, the most that engines report


def body_of(
    spec: PolicySpec, input: Mapping[str, Any], control_tokens: Collection[str] = ()
) -> dict[str, Any]:
    """Returns the body of a request for a checked input: one token, with its log-probabilities.

    `control_tokens` are the model's own. Raises BadRequest for a value that holds one.
    """
    prompt = inputs.prompt_of(spec, input, control_tokens)
    common = {"model": spec.model, "max_tokens": 1, "temperature": 0}
    if spec.form == CHAT:
        messages = [{"role": "user", "content": prompt}]
        return {**common, "messages": messages, "logprobs": True, "top_logprobs": TOKENS}
    return {**common, "prompt": prompt, "logprobs": TOKENS}


def score_in(answer: bytes, spec: PolicySpec) -> float | None:
    """Returns the raw score of a whole answer; None if it has none."""
    return scoring.score(top_logprobs(answer), spec)


def top_logprobs(answer: bytes) -> list[TopLogprob]:
    """Returns the likely first tokens of a whole answer in OpenAI's form; [] if it names none."""
    try:
        choice = orjson.loads(answer)["choices"][0]
        return _tokens(choice["logprobs"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return []


def _tokens(logprobs: dict[str, Any]) -> list[TopLogprob]:
    if "content" in logprobs:
        rows = [(row["token"], row["logprob"]) for row in logprobs["content"][0]["top_logprobs"]]
    else:
        rows = list(logprobs["top_logprobs"][0].items())
    return [TopLogprob(str(token), float(logprob)) for token, logprob in rows]
