"""Any OpenAI-compatible server by base URL: a hosted API, a second cluster, a proxy."""

from inference.engines.base import Engine, EngineConfig
from inference.engines.fields import (
    BOOL,
    LIST,
    OBJECT,
    SERVICE,
    STRUCTURED,
    integer,
    number,
    tokens,
)
from inference.engines.kinds import openai_service
from inference.order import Order


class OpenAIEngine(Engine):
    """An engine whose `url` is an OpenAI SDK's base_url, e.g. http://gpu-1:8000/v1.

    Only OpenAI's own service gets the parameters that other servers ignore (`fields.SERVICE`).
    """

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

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self.is_openais = self.knows_refusals = openai_service.is_at(config.url)
        if self.is_openais:
            self._chat_fields = {**self._chat_fields, **SERVICE}

    @property
    def body_form(self) -> str:
        form = super().body_form
        return f"{form} at OpenAI" if self.is_openais else form

    def outgoing(self, order: Order) -> bytes:
        body = super().outgoing(order)
        if not self.is_openais:
            return body
        return openai_service.body_for(body, order.tenant_id, chat=order.chat)
