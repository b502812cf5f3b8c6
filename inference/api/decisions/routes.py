"""Maps the paths of decisions to views."""

import re

from inference.api.decisions import document, rights, views
from inference.api.http.router import ErrorWriter, Route, Router, View
from inference.errors import ApiError
from inference.metrics.labels import ROUTES as COUNTED

_OWN = "/v1/decisions"
ROUTES: dict[str, dict[str, View]] = {
    "/v1/decisions": {"GET": views.listed, "POST": views.create},
    "/v1/decisions/{id}": {"GET": views.retrieve},
    "/v1/decisions/{id}/outcome": {"POST": views.outcome},
    "/v1/decisions/{id}/contest": {"GET": rights.contest_state, "POST": rights.contest},
    "/v1/decisions/{id}/explanation": {"GET": rights.explanation},
}
COUNTED.update(ROUTES)
_PATTERNS = {path: re.compile(path.replace("{id}", "([^/]+)")) for path in ROUTES}


def owns(path: str) -> bool:
    """Returns whether the path is the front end's, also if it does not exist."""
    return path == _OWN or path.startswith(f"{_OWN}/")


def find(path: str) -> Route | None:
    if not owns(path):
        return None
    for template, pattern in _PATTERNS.items():
        if match := pattern.fullmatch(path.rstrip("/")):
            return Route(template, ROUTES[template], match.groups())
    return None


router = Router(find, owns, ErrorWriter(ApiError.body, ApiError.body), document=document.section)
