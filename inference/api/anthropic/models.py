"""The models that a caller may use, in Anthropic's shape."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from inference.errors import BadRequest, must_be

MOST, USUAL = 1000, 20  # models of a page
_LIFECYCLE = "active"


def described(model: dict[str, Any]) -> dict[str, Any]:
    created = datetime.fromtimestamp(model["created"], UTC)
    return {
        "type": "model",
        "id": model["id"],
        "display_name": model["id"],
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": _LIFECYCLE,
        "max_input_tokens": model["context_length"],
        "max_tokens": model["context_length"],
    }


def page(models: list[dict[str, Any]], query: bytes) -> dict[str, Any]:
    """Returns the page that a query asks for. Raises BadRequest."""
    wanted = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
    limit = _limit(wanted.get("limit", str(USUAL)))
    names = [model["id"] for model in models]
    begin, end = 0, len(models)
    if after := wanted.get("after_id"):
        begin = _position(names, after, "after_id") + 1
    if before := wanted.get("before_id"):
        end = _position(names, before, "before_id")
    rest = models[begin:end]
    shown = rest[-limit:] if before and not after else rest[:limit]
    data = list(map(described, shown))
    return {
        "data": data,
        "has_more": len(rest) > len(shown),
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= MOST):
        raise must_be("limit", f"a whole number from 1 to {MOST}")
    return int(text)


def _position(names: list[str], name: str, field: str) -> int:
    if name not in names:
        raise BadRequest(f"`{field}` must be the id of a model", param=field)
    return names.index(name)
