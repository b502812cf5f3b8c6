"""Any OpenAI-compatible server by base URL: a hosted API, a second cluster, a proxy."""

from inference.engines.base import Engine
from inference.engines.fields import BOOL, LIST, OBJECT, STRUCTURED, integer, number, tokens


class OpenAIEngine(Engine):
    """`url` is what an OpenAI SDK would get as base_url, e.g. http://gpu-1:8000/v1."""

    own_fields = {
        "top_k": integer(-1, 2**31 - 1),
        "min_p": number(0, 1),
        "repetition_penalty": number(0, 10),
        "min_tokens": integer(0, 2**31 - 1),
        "stop_token_ids": tokens(64),
        "ignore_eos": BOOL,
        "skip_special_tokens": BOOL,
        "include_stop_str_in_output": BOOL,
        "add_generation_prompt": BOOL,
        "continue_final_message": BOOL,
        "include_reasoning": BOOL,
        "separate_reasoning": BOOL,
        "enable_thinking": BOOL,
        "thinking_budget": integer(0, 2**31 - 1),
        "guided_json": OBJECT,
        "guided_choice": LIST,
        "structured_outputs": STRUCTURED,
    }
