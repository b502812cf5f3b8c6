"""Maps the paths of OpenAI's Responses API to views, also where Azure's clients have them."""

from inference.api.http.route_table import Route, RouteTable, Views, is_below
from inference.api.http.router import ErrorWriter, Router
from inference.api.responses import document, errors, views
from inference.api.responses.stored import input_items
from inference.api.responses.stored import views as stored
from inference.errors import ApiError

_OWN = "/v1/responses"
ROUTES: dict[str, Views] = {
    "/v1/responses": {"POST": views.create},
    "/v1/responses/input_tokens": {"POST": views.input_tokens},
    "/v1/responses/compact": {"POST": views.compact},
    "/v1/responses/{id}": {"GET": stored.retrieve, "DELETE": stored.delete},
    "/v1/responses/{id}/cancel": {"POST": stored.cancel},
    "/v1/responses/{id}/input_items": {"GET": input_items.listed},
    "/v1/responses/{id}/events": {"GET": views.events},
}
_TABLE = RouteTable(ROUTES, part="[^/]+")
_BESIDE_V1 = ("/openai/v1/responses", "/openai/responses")  # Azure's


def owns(path: str) -> bool:
    """Returns whether the path is the front end's, also if it does not exist."""
    return is_below(_under_v1(path), _OWN)


def find(path: str) -> Route | None:
    return _TABLE.find(_under_v1(path).rstrip("/"))


def _under_v1(path: str) -> str:
    front = next((front for front in _BESIDE_V1 if path.startswith(front)), None)
    return path if front is None else _OWN + path.removeprefix(front)


router = Router(
    find, owns, ErrorWriter(ApiError.body, errors.last_words), document=document.section
)
