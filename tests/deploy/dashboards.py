"""The dashboards as their files have them, in Grafana's own model."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from config.environment import PROJECT

FOLDER = PROJECT / "deploy" / "grafana" / "dashboards"
WINDOW = "__rate_interval"  # Grafana's variable: four scrapes at least
_VARIABLE = re.compile(r"\$\{?(\w+)(?::\w+)?\}?")
_VALUES = re.compile(r"label_values\((\w+), *(\w+)\)")


@dataclass(frozen=True)
class Variable:
    """A choice above the panels: the values of `label` that `metric` has, or `every`."""

    name: str
    metric: str
    label: str
    every: str


@dataclass(frozen=True)
class Dashboard:
    name: str
    model: dict[str, Any]

    @property
    def panels(self) -> Iterator[dict[str, Any]]:
        """Yield all but rows; a collapsed row has its panels in itself."""
        for panel in self.model["panels"]:
            if panel["type"] == "row":
                yield from panel.get("panels", ())
            else:
                yield panel

    @property
    def choices(self) -> list[dict[str, Any]]:
        """Return the variables that are chosen by a query."""
        return [one for one in self.model["templating"]["list"] if one["type"] == "query"]

    @property
    def variables(self) -> list[Variable]:
        return [_variable(choice) for choice in self.choices]

    def filled_in(self, expr: str, window: str) -> str:
        """Return the query with all values of each variable, as a dashboard opens."""
        values = {variable.name: variable.every for variable in self.variables}
        return _VARIABLE.sub(lambda match: {**values, WINDOW: window}[match[1]], expr)


def _variable(choice: dict[str, Any]) -> Variable:
    query = choice["query"]  # an object once Grafana has saved it
    match = _VALUES.fullmatch(query if isinstance(query, str) else query["query"])
    assert match, query
    return Variable(choice["name"], match[1], match[2], choice["allValue"])


def used_variables(text: str) -> set[str]:
    return set(_VARIABLE.findall(text))


DASHBOARDS = [
    Dashboard(path.stem, json.loads(path.read_text())) for path in sorted(FOLDER.iterdir())
]
