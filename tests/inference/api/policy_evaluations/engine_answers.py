"""Answers of an engine that finds a payment the more suspicious, the larger it is."""

import math
import re
from typing import Any


def score_of(amount: float) -> float:
    return 0.05 + 0.9 * min(amount, 100) / 100


def answer_of(body: dict[str, Any]) -> dict[str, Any]:
    """Returns an answer whose `yes` is the likelier, the larger the amount of the prompt."""
    words = re.search(r"Payment of ([\d.]+)", body["messages"][0]["content"])
    assert words
    yes = score_of(float(words[1]))
    top = [{"token": t, "logprob": math.log(p)} for t, p in (("yes", yes), ("no", 1 - yes))]
    choice = {
        "index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "yes"},
        "logprobs": {"content": [{**top[0], "top_logprobs": top}]},
    }  # fmt: skip
    usage = {"prompt_tokens": 20, "completion_tokens": 1, "total_tokens": 21}
    head = {"id": "theirs", "object": "chat.completion", "created": 1, "model": "theirs"}
    return {**head, "choices": [choice], "usage": usage}
