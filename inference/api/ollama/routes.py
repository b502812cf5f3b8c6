"""Maps the paths of Ollama's API to views.

They are at the root, where Ollama has them, beside the management API under `/api/v1/`, and under
`/ollama`. `/` itself is the console's: only Ollama's own clients, by their names, get an answer of
this front end there.
"""

from typing import Any

from inference.api.http.route_table import Route, RouteTable, Views, is_below
from inference.api.http.router import ErrorWriter, Router
from inference.api.ollama import document, embeddings, errors, views
from inference.metrics import labels

BASE = "/ollama"
ROUTES: dict[str, Views] = {
    "/api/version": {"GET": views.version},
    "/api/tags": {"GET": views.tags},
    "/api/ps": {"GET": views.processes},
    "/api/show": {"POST": views.show},
    "/api/chat": {"POST": views.chat},
    "/api/generate": {"POST": views.generate},
    "/api/embed": {"POST": embeddings.embed},
    "/api/embeddings": {"POST": embeddings.embed_one},
    "/api/streams/{id}": {"GET": views.stream},
    "/api/pull": {"POST": views.not_offered},
    "/api/push": {"POST": views.not_offered},
    "/api/create": {"POST": views.not_offered},
    "/api/copy": {"POST": views.not_offered},
    "/api/delete": {"DELETE": views.not_offered},
    "/api/blobs/{digest}": {"GET": views.not_offered, "POST": views.not_offered},
}
labels.ROUTES.add(BASE)
_GREETING = Route(BASE, {"GET": views.running})
_GREETED = ("/", BASE, f"{BASE}/")
_TABLE = RouteTable(ROUTES)
_NAMES = (b"ollama/", b"ollama-")  # the command and libraries for Go, Python, JavaScript


def owns(path: str) -> bool:
    """Returns whether the path is the front end's, also if it does not exist."""
    return is_below(path, BASE)


def find(path: str) -> Route | None:
    if path in _GREETED:
        return _GREETING
    path = path.removeprefix(BASE) if owns(path) else path
    return _TABLE.find(path.rstrip("/"))


def claims(scope: Any) -> bool:
    """Returns whether a request is for Ollama's API: at `/`, only one of its own clients."""
    if scope["path"] != "/":
        return True
    agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
    return bool(agent.lower().startswith(_NAMES))


router = Router(
    find,
    owns,
    ErrorWriter(errors.body, errors.last_words),
    claims=claims,
    document=document.section,
)
