"""The HTTP front ends of the inference API, and which of them answers a request."""

from typing import Any

from config.http import document
from inference.api.anthropic import routes as anthropic
from inference.api.decisions import routes as decisions
from inference.api.dialogues import routes as dialogues
from inference.api.http.router import Router
from inference.api.ollama import routes as ollama
from inference.api.openai import routes as openai
from inference.api.responses import routes as responses

ROUTERS: list[Router] = [
    anthropic.router,
    responses.router,
    decisions.router,
    dialogues.router,
    openai.router,
    ollama.router,
]
ROUTERS.append(document.router(ROUTERS))
PAGES = frozenset({"/v1/docs"})  # of Django, though a front end owns what is below /v1


def router_of(scope: Any) -> Router | None:
    """Returns the front end that has the path, else the first that owns it; None for pages.

    Where several have it, the first that claims the request.
    """
    path: str = scope["path"]
    for router in ROUTERS:
        if router.find(path) and router.claims(scope):
            return router
    if path in PAGES:
        return None
    return next((router for router in ROUTERS if router.owns(path)), None)
