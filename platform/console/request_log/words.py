"""Words for the columns of a request."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

# By the beginning of a route, the first match counts.
_FRONT_ENDS: tuple[tuple[str, Promise | str], ...] = (
    ("chat", pgettext_lazy("front end", "Chat")),
    ("playground", pgettext_lazy("front end", "Playground")),
    ("/v1/messages", "Anthropic Messages"),
    ("/v1/responses", "OpenAI Responses"),
    ("/v1/dialogues", pgettext_lazy("front end", "Dialogues")),
    ("/v1/decisions", pgettext_lazy("front end", "Decisions")),
    ("decisions", pgettext_lazy("front end", "Decisions")),
    ("/v1/batches", pgettext_lazy("front end", "Batches")),
    ("/v1/", "OpenAI API"),
    ("/api/", "Ollama API"),
    ("/forebay.", "gRPC"),
)
CACHE: dict[str, Promise] = {  # by Usage.cache
    "": _("not asked"),
    "miss": _("asked, had no answer"),
    "l1": _("answered, from this process"),
    "l2": _("answered, from Redis"),
    "shared": _("shared with an identical request"),
}


def front_end(route: str) -> str:
    """Returns the front end that took a request; the route itself where it is none of these."""
    return next((str(name) for start, name in _FRONT_ENDS if route.startswith(start)), route)
