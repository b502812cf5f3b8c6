"""Servers that continue an unfinished message (vLLM, SGLang): `continue_final_message`."""

import logging
from typing import Any, ClassVar

from inference.engines.continuation import append_to_answer, continued_body, takes_prefix
from inference.engines.kinds.cache_salt import SaltedEngine
from inference.order import Order

log = logging.getLogger(__name__)


class OpenEndedEngine(SaltedEngine):
    """Resumes an answer by its text. `product` is the server's name in the log."""

    product: ClassVar[str]

    def prepare(self, body: dict[str, Any], *, chat: bool) -> dict[str, Any]:
        if chat and takes_prefix(body.get("messages") or []):
            *before, last = body["messages"]
            body["messages"] = [*before, {k: v for k, v in last.items() if k != "prefix"}]
            self.open_ended(body)
        return super().prepare(body, chat=chat)

    def continued(self, order: Order, text: str, tokens: int) -> bytes | None:
        return continued_body(order, text, tokens, self._append)

    def _append(self, body: dict[str, Any], text: str) -> None:
        append_to_answer(
            body["messages"], text, open_ended=bool(body.get("continue_final_message"))
        )
        self.open_ended(body)

    def open_ended(self, body: dict[str, Any]) -> None:
        """Ask the server to continue the last message and to return only the new part."""
        body["continue_final_message"] = True

    def learn_model(self, listed: Any) -> None:
        """Learn the context length from its list of models. A LoRA adapter has its parent's."""
        served = {each["id"]: each for each in listed["data"]}
        if (model := served.get(self.config.model)) is None:
            names = self.product, self.config.model, ", ".join(sorted(served))
            log.warning("%s: %s has no model %s, but %s", self.config.id, *names)
            return
        parent = served.get(model.get("parent")) or {}
        if longest := model.get("max_model_len") or parent.get("max_model_len"):
            self.learn_context(int(longest))
