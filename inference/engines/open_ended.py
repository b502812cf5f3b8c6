"""Servers that go on with an unfinished message (vLLM, SGLang): `continue_final_message`."""

import logging
from typing import Any, ClassVar

from inference.engines.salted import SaltedEngine
from inference.engines.taking_up import said_last, taken_up, takes_prefix
from inference.order import Order

log = logging.getLogger(__name__)


class OpenEndedEngine(SaltedEngine):
    """Takes an answer up where it broke off, by its text. `product`: for the log."""

    product: ClassVar[str]

    def prepare(self, body: dict[str, Any], *, chat: bool) -> dict[str, Any]:
        if chat and takes_prefix(body.get("messages") or []):
            *before, last = body["messages"]
            body["messages"] = [*before, {k: v for k, v in last.items() if k != "prefix"}]
            self.open_ended(body)
        return super().prepare(body, chat=chat)

    def continued(self, order: Order, text: str, tokens: int) -> bytes | None:
        return taken_up(order, text, tokens, self._say_last)

    def _say_last(self, body: dict[str, Any], text: str) -> None:
        said_last(body["messages"], text, open_ended=bool(body.get("continue_final_message")))
        self.open_ended(body)

    def open_ended(self, body: dict[str, Any]) -> None:
        """The last message is gone on with, and only what is new comes back."""
        body["continue_final_message"] = True

    def learn_model(self, listed: Any) -> None:
        """From its list. A LoRA adapter stands there too, and has the context of its parent."""
        served = {model["id"]: model for model in listed["data"]}
        if (mine := served.get(self.config.model)) is None:
            names = self.product, self.config.model, ", ".join(sorted(served))
            log.warning("%s: %s has no model %s, but %s", self.config.id, *names)
            return
        parent = served.get(mine.get("parent")) or {}
        if longest := mine.get("max_model_len") or parent.get("max_model_len"):
            self.learn_context(int(longest))
