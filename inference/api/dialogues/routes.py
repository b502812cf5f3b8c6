"""Maps the paths of dialogues and widgets to views."""

import re

from inference.api.dialogues import document, origins, sessions, socket, views
from inference.api.dialogues.sending import last_words
from inference.api.http.route_table import Route, RouteTable, Views, is_below
from inference.api.http.router import ErrorWriter, Router
from inference.errors import ApiError
from inference.metrics import labels

_OWN = ("/v1/dialogues", "/v1/widget")
ROUTES: dict[str, Views] = {
    "/v1/dialogues": {"POST": views.create},
    "/v1/dialogues/{id}": {"GET": views.retrieve},
    "/v1/dialogues/{id}/messages": {"GET": views.messages, "POST": views.send},
    "/v1/dialogues/{id}/close": {"POST": views.close},
    "/v1/widget/sessions": {"POST": sessions.create},
}
labels.ROUTES.add(socket.ROUTE)
_SOCKET = re.compile(socket.ROUTE.replace("{id}", "([^/]+)"))
_TABLE = RouteTable(ROUTES, part="[^/]+")


def owns(path: str) -> bool:
    """Returns whether the path is the front end's, also if it does not exist."""
    return is_below(path, *_OWN)


def find(path: str) -> Route | None:
    return _TABLE.find(path.rstrip("/"))


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
