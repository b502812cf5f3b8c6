"""Maps the paths of dialogues and widgets to views."""

import re

from inference.api.dialogues import document, origins, sessions, socket, views
from inference.api.dialogues.sending import last_words
from inference.api.http.router import ErrorWriter, Route, Router, View
from inference.errors import ApiError
from inference.metrics.labels import ROUTES as COUNTED

_OWN = ("/v1/dialogues", "/v1/widget")
ROUTES: dict[str, dict[str, View]] = {
    "/v1/dialogues": {"POST": views.create},
    "/v1/dialogues/{id}": {"GET": views.retrieve},
    "/v1/dialogues/{id}/messages": {"GET": views.messages, "POST": views.send},
    "/v1/dialogues/{id}/close": {"POST": views.close},
    "/v1/widget/sessions": {"POST": sessions.create},
}
COUNTED.update((*ROUTES, socket.ROUTE))
_SOCKET = re.compile(socket.ROUTE.replace("{id}", "([^/]+)"))
_EXACT = {path: Route(path, by_method) for path, by_method in ROUTES.items() if "{" not in path}
_WITH_A_NAME = {
    path: re.compile(path.replace("{id}", "([^/]+)")) for path in ROUTES if "{id}" in path
}


def owns(path: str) -> bool:
    """Returns whether the path is the front end's, also if it does not exist."""
    return any(path == own or path.startswith(f"{own}/") for own in _OWN)


def find(path: str) -> Route | None:
    path = path.rstrip("/")
    return _EXACT.get(path) or _with_a_name(path)


def _with_a_name(path: str) -> Route | None:
    for template, pattern in _WITH_A_NAME.items():
        if match := pattern.fullmatch(path):
            return Route(template, ROUTES[template], match.groups())
    return None


def socket_of(path: str) -> str | None:
    """Returns the dialogue whose websocket has this path; None for other paths."""
    match = _SOCKET.fullmatch(path)
    return match[1] if match else None


router = Router(
    find,
    owns,
    ErrorWriter(ApiError.body, last_words),
    document=document.section,
    greet=origins.greet,
)
