"""Maps the paths of Anthropic's API to views.

`/v1/models` is OpenAI's too: a request with `anthropic-version`, which each of Anthropic's clients
sends, gets Anthropic's shape.
"""

import re
from typing import Any

from inference.api.anthropic import document, errors, headers, views
from inference.api.http.router import ErrorWriter, Route, Router, View
from inference.metrics.labels import ROUTES as COUNTED

_OWN = "/v1/messages"
VERSION = b"anthropic-version"
ROUTES: dict[str, dict[str, View]] = {
    "/v1/messages": {"POST": views.messages},
    "/v1/messages/count_tokens": {"POST": views.count_tokens},
    "/v1/messages/{id}/events": {"GET": views.events},
    "/v1/models": {"GET": views.list_models},
    "/v1/models/{model}": {"GET": views.model},
}
COUNTED.update(ROUTES)
_EXACT = {path: Route(path, views) for path, views in ROUTES.items() if "{" not in path}
_WITH_A_NAME = {
    "/v1/messages/{id}/events": re.compile("/v1/messages/([^/]*)/events"),
    "/v1/models/{model}": re.compile("/v1/models/(.+)", re.DOTALL),
}


def owns(path: str) -> bool:
    """Returns whether the path is the front end's, also if it does not exist."""
    return path == _OWN or path.startswith(f"{_OWN}/")


def find(path: str) -> Route | None:
    if not path.startswith("/v1/m"):
        return None
    path = path.rstrip("/")
    return _EXACT.get(path) or _with_a_name(path)


def claims(scope: Any) -> bool:
    """Returns whether a request is for Anthropic's API."""
    return owns(scope["path"]) or any(name == VERSION for name, _ in scope["headers"])


def _with_a_name(path: str) -> Route | None:
    for template, pattern in _WITH_A_NAME.items():
        if match := pattern.fullmatch(path):
            return Route(template, ROUTES[template], match.groups())
    return None


router = Router(
    find,
    owns,
    ErrorWriter(errors.body, errors.last_words),
    claims=claims,
    headers=headers.own,
    document=document.section,
)
