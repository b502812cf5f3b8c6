"""The routes of an HTTP front end, by the templates of their paths."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from inference.metrics import labels

View = Callable[..., Awaitable[None]]
Views = Mapping[str, View]  # by method


@dataclass(frozen=True, slots=True)
class Route:
    """A route. Records have its `template`, not the client's path."""

    template: str
    views: Views
    arguments: tuple[str, ...] = ()

    def view(self, method: str) -> View | None:
        return self.views.get("GET" if method == "HEAD" else method)

    @property
    def allow(self) -> str:
        methods = ["GET, HEAD" if method == "GET" else method for method in self.views]
        return ", ".join([*methods, "OPTIONS"])


class RouteTable:
    """Finds the route of a path. Its templates are labels of metrics.

    A variable such as `{id}` is one part of a path, which `part` describes; `{model}` is all of the
    rest, as the name of a model may have a slash.
    """

    def __init__(self, routes: Mapping[str, Views], part: str = "[^/]*") -> None:
        labels.ROUTES.update(routes)
        self._exact = {path: Route(path, routes[path]) for path in routes if "{" not in path}
        self._patterns = {path: _pattern(path, part) for path in routes if "{" in path}
        self._routes = routes

    def find(self, path: str) -> Route | None:
        if exact := self._exact.get(path):
            return exact
        for template, pattern in self._patterns.items():
            if match := pattern.fullmatch(path):
                return Route(template, self._routes[template], match.groups())
        return None


def _pattern(template: str, part: str) -> re.Pattern[str]:
    variables = template.replace("{model}", "(.+)")
    return re.compile(re.sub(r"\{\w+\}", f"({part})", variables), re.DOTALL)


def is_below(path: str, *fronts: str) -> bool:
    """Returns whether the path is one of `fronts`, or below it."""
    return any(path == front or path.startswith(f"{front}/") for front in fronts)
