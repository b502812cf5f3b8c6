"""The HTTP front ends of the inference API, and which of them answers a path."""

from inference.api.http.router import Router
from inference.api.openai import routes

ROUTERS: list[Router] = [routes.router]


def router_of(path: str) -> Router | None:
    """Returns the front end that has the path, else the first that owns it; None for pages."""
    for router in ROUTERS:
        if router.find(path):
            return router
    return next((router for router in ROUTERS if router.owns(path)), None)
