"""Maps the paths of OpenAI's Responses API to views, also where Azure's clients have them."""

import re

from inference.api.http.router import ErrorWriter, Route, Router, View
from inference.api.responses import document, errors, views
from inference.api.responses.stored import input_items
from inference.api.responses.stored import views as stored
from inference.errors import ApiError
from inference.metrics.labels import ROUTES as COUNTED

_OWN = "/v1/responses"
ROUTES: dict[str, dict[str, View]] = {
    "/v1/responses": {"POST": views.create},
    "/v1/responses/input_tokens": {"POST": views.input_tokens},
    "/v1/responses/compact": {"POST": views.compact},
    "/v1/responses/{id}": {"GET": stored.retrieve, "DELETE": stored.delete},
    "/v1/responses/{id}/cancel": {"POST": stored.cancel},
    "/v1/responses/{id}/input_items": {"GET": input_items.listed},
    "/v1/responses/{id}/events": {"GET": views.events},
}
COUNTED.update(ROUTES)
_BESIDE_V1 = ("/openai/v1/responses", "/openai/responses")  # Azure's
_EXACT = {path: Route(path, by_method) for path, by_method in ROUTES.items() if "{" not in path}
_WITH_A_NAME = {
    path: re.compile(path.replace("{id}", "([^/]+)")) for path in ROUTES if "{id}" in path
}


def owns(path: str) -> bool:
    """Returns whether the path is the front end's, also if it does not exist."""
    path = _under_v1(path)
    return path == _OWN or path.startswith(f"{_OWN}/")


def find(path: str) -> Route | None:
    path = _under_v1(path).rstrip("/")
    if not path.startswith(_OWN):
        return None
    return _EXACT.get(path) or _with_a_name(path)


def _under_v1(path: str) -> str:
    front = next((front for front in _BESIDE_V1 if path.startswith(front)), None)
    return path if front is None else _OWN + path.removeprefix(front)


def _with_a_name(path: str) -> Route | None:
    for template, pattern in _WITH_A_NAME.items():
        if match := pattern.fullmatch(path):
            return Route(template, ROUTES[template], match.groups())
    return None


router = Router(
    find, owns, ErrorWriter(ApiError.body, errors.last_words), document=document.section
)
