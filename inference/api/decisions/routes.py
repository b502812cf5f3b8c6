"""Maps the paths of decisions to views."""

from inference.api.decisions import document, rights, views
from inference.api.http.route_table import Route, RouteTable, Views, is_below
from inference.api.http.router import ErrorWriter, Router
from inference.errors import ApiError

_OWN = "/v1/decisions"
ROUTES: dict[str, Views] = {
    "/v1/decisions": {"GET": views.listed, "POST": views.create},
    "/v1/decisions/{id}": {"GET": views.retrieve},
    "/v1/decisions/{id}/outcome": {"POST": views.outcome},
    "/v1/decisions/{id}/contest": {"GET": rights.contest_state, "POST": rights.contest},
    "/v1/decisions/{id}/explanation": {"GET": rights.explanation},
}
_TABLE = RouteTable(ROUTES, part="[^/]+")


def owns(path: str) -> bool:
    """Returns whether the path is the front end's, also if it does not exist."""
    return is_below(path, _OWN)


def find(path: str) -> Route | None:
    return _TABLE.find(path.rstrip("/")) if owns(path) else None


router = Router(find, owns, ErrorWriter(ApiError.body, ApiError.body), document=document.section)
