"""Maps the paths of Anthropic's API to views.

`/v1/models` is OpenAI's too: a request with `anthropic-version`, which each of Anthropic's clients
sends, gets Anthropic's shape.
"""

from typing import Any

from inference.api.anthropic import document, errors, headers, views
from inference.api.http.route_table import Route, RouteTable, Views, is_below
from inference.api.http.router import ErrorWriter, Router

_OWN = "/v1/messages"
VERSION = b"anthropic-version"
ROUTES: dict[str, Views] = {
    "/v1/messages": {"POST": views.messages},
    "/v1/messages/count_tokens": {"POST": views.count_tokens},
    "/v1/messages/{id}/events": {"GET": views.events},
    "/v1/models": {"GET": views.list_models},
    "/v1/models/{model}": {"GET": views.model},
}
_TABLE = RouteTable(ROUTES)


def owns(path: str) -> bool:
    """Returns whether the path is the front end's, also if it does not exist."""
    return is_below(path, _OWN)


def find(path: str) -> Route | None:
    return _TABLE.find(path.rstrip("/")) if path.startswith("/v1/m") else None


def claims(scope: Any) -> bool:
    """Returns whether a request is for Anthropic's API."""
    return owns(scope["path"]) or any(name == VERSION for name, _ in scope["headers"])


router = Router(
    find,
    owns,
    ErrorWriter(errors.body, errors.last_words),
    claims=claims,
    headers=headers.own,
    document=document.section,
)
