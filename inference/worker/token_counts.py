"""Checks an engine's token counts: impossible ones are replaced by the platform's own."""

import logging
from time import monotonic
from typing import Any

from inference.codec.answer_translator import count

log = logging.getLogger(__name__)
ALERT_EVERY_S = 60.0  # for one engine
NAMES = ("prompt_tokens", "completion_tokens")
_alerted: dict[str, float] = {}


def believable(usage: Any, name: str, most: int, least: int = 0) -> int | None:
    """Returns the tokens; None without a figure, or for an impossible one.

    `least` is 1 for what has a text: some proxies report 0 for everything.
    """
    value = count(usage, name)
    return value if value is None or least <= value <= most else None


def usage_of(prompt: int, answer: int) -> dict[str, Any]:
    """Returns our own count in OpenAI's form."""
    total = prompt + answer
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": total}


def alert(engine: str, usage: Any) -> None:
    """Report bad figures to operators, at most once a minute, without any text."""
    now = monotonic()
    if now - _alerted.get(engine, -ALERT_EVERY_S) < ALERT_EVERY_S:
        return
    _alerted[engine] = now
    figures = {name: _shown(usage.get(name)) for name in NAMES} if isinstance(usage, dict) else {}
    log.error(
        "ALERT engine:usage %s: engine reported unusable token counts %.200r; using our own",
        engine,
        figures,
    )


def _shown(value: Any) -> Any:
    """Returns a number, or the type of anything else: an engine could quote a prompt there."""
    return value if isinstance(value, int | float) or value is None else type(value).__name__
