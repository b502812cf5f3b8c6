"""The dashboards ask for what there is, by labels that it has, and say what they show."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from config.environment import PROJECT
from deploy.grafana.board import written
from deploy.grafana.every import DASHBOARDS, FOLDER
from deploy.grafana.panel import WINDOW, Dashboard, Panel
from deploy.grafana.prometheus import filled_in
from deploy.grafana.units import said
from infrastructure.metrics import FAMILIES, Histogram
from tests.config.metrics import table

pytestmark = pytest.mark.unit
# Prometheus puts them to each figure; `host` where several hosts have lists.
TARGET = {"process", "role", "number", "job", "instance", "host"}
# What Prometheus itself exports, and its client in each process.
FOREIGN: dict[str, set[str]] = {
    "up": set(),
    "process_cpu_seconds_total": set(),
    "process_resident_memory_bytes": set(),
    "ALERTS": {"alertname", "alertstate", "severity"},
}
_NAME = re.compile(r"\b(?:(?:forebay|process|DCGM)_\w+|(?:up|ALERTS)\b)")
_CHOSEN = re.compile(r"\b((?:forebay|process|DCGM)_\w+|up|ALERTS)\{([^}]*)\}")
_BY = re.compile(r"\bby \(([^)]*)\)")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
Query = tuple[Dashboard, Panel, str]


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """The labels of each metric; of a histogram those of what it is made of."""
    table.load_all()
    found = {name: set(labels) for name, labels in FOREIGN.items()}
    for name, family in FAMILIES.items():
        labels = {label.name for label in family.labels}
        if isinstance(family, Histogram):
            found |= {f"{name}_sum": labels, f"{name}_count": labels}
            found[f"{name}_bucket"] = labels | {"le"}
        else:
            found[name] = labels
    return found


def queries() -> Iterator[Query]:
    for board in DASHBOARDS:
        for panel in board.panels:
            for query in panel.queries:
                yield board, panel, query.expr


def of_grafana(board: Dashboard) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{board.name}.json").read_text())
    return found


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.name)
def test_the_file_is_what_the_code_makes(board: Dashboard) -> None:
    there = (FOLDER / f"{board.name}.json").read_text()
    assert there == written(board), "run: python -m deploy.grafana"


def test_there_is_no_other_file_and_no_name_twice() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {board.name for board in DASHBOARDS}
    assert len({board.uid for board in DASHBOARDS}) == len(DASHBOARDS)
    for board in DASHBOARDS:
        titles = [(row.title, panel.title) for row in board.rows for panel in row.panels]
        assert len(set(titles)) == len(titles), board.name


def test_every_metric_is_exported(known: dict[str, set[str]]) -> None:
    for board, panel, expr in queries():
        names = set(_NAME.findall(expr))
        assert names, (board.name, panel.title)
        assert names <= known.keys(), (board.name, panel.title, names - known.keys())


def test_every_label_is_one_that_the_metric_has(known: dict[str, set[str]]) -> None:
    for board, panel, expr in queries():
        where = f"{board.name}: {panel.title}: {expr}"
        for name, matchers in _CHOSEN.findall(expr):
            asked = {label for label, _is, _value in _MATCHER.findall(matchers)}
            assert asked <= known[name] | TARGET, where
        labels = set().union(*(known[name] for name in _NAME.findall(expr))) | TARGET
        grouped = {each.strip() for one in _BY.findall(expr) for each in one.split(",")}
        assert grouped <= labels, where


def test_words_in_a_query_are_words_that_the_label_may_say() -> None:
    """A misspelt reason would match nothing, and no error would tell."""
    table.load_all()
    for board, panel, expr in queries():
        for name, matchers in _CHOSEN.findall(expr):
            family = FAMILIES.get(re.sub("_(sum|count|bucket)$", "", name)) or FAMILIES.get(name)
            allowed = {label.name: label.words() for label in family.labels} if family else {}
            for label, _is, value in _MATCHER.findall(matchers):
                words = re.findall(r"\w+", value) if "$" not in value and "." not in value else []
                if label in ("reason", "status", "state", "class", "level", "source", "outcome"):
                    assert all(each in allowed[label] for each in words), (board.name, panel.title)


def test_legends_name_labels_that_the_query_leaves() -> None:
    for board in DASHBOARDS:
        for panel in board.panels:
            for query in panel.queries:
                named = set(re.findall(r"{{(\w+)}}", query.legend))
                grouped = {
                    each.strip() for one in _BY.findall(query.expr) for each in one.split(",")
                }
                assert not grouped or named <= grouped, (board.name, panel.title)


def test_variables_are_chosen_by_and_defined(known: dict[str, set[str]]) -> None:
    for board in DASHBOARDS:
        text = " ".join(query.expr for panel in board.panels for query in panel.queries)
        used = set(re.findall(r"\$(\w+)", text)) - {WINDOW.removeprefix("$")}
        assert used == {variable.label for variable in board.variables}, board.name
        for variable in board.variables:
            assert variable.label in known[variable.metric]
        assert "$" not in filled_in(text, board, "1m")


def test_in_grafana_a_dashboard_opens_with_everything_chosen() -> None:
    for board in DASHBOARDS:
        source, *choices = of_grafana(board)["templating"]["list"]
        assert (source["type"], source["query"], source["name"]) == (
            "datasource",
            "prometheus",
            "datasource",
        )
        for choice, variable in zip(choices, board.variables, strict=True):
            assert (choice["name"], choice["query"]) == (variable.label, variable.query)
            assert choice["current"]["value"] == "$__all"
            assert choice["allValue"] == variable.every
            assert choice["includeAll"]
            assert choice["multi"]


def test_every_panel_says_what_it_shows_and_asks_the_chosen_source() -> None:
    for board in DASHBOARDS:
        panels = [each for each in of_grafana(board)["panels"] if each["type"] != "row"]
        assert len(panels) == len(list(board.panels))
        for panel in panels:
            assert panel["title"]
            assert len(panel["description"]) > 10, panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert all(target["expr"] for target in panel["targets"])
        ids = [each["id"] for each in of_grafana(board)["panels"]]
        assert len(set(ids)) == len(ids)


def test_panels_do_not_lie_on_each_other() -> None:
    for board in DASHBOARDS:
        taken = set[tuple[int, int]]()
        for panel in of_grafana(board)["panels"]:
            place = panel["gridPos"]
            rows = range(place["y"], place["y"] + place["h"])
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in rows}
            assert not cells & taken, panel["title"]
            assert max(x for x, _y in cells) < 24
            taken |= cells


def test_every_unit_has_words() -> None:
    for board in DASHBOARDS:
        for panel in board.panels:
            assert said(0.5, panel.unit)
            assert said(12_345.0, panel.unit)


def test_the_docs_show_each() -> None:
    page = (PROJECT / "docs" / "operations" / "monitoring.md").read_text()
    for board in DASHBOARDS:
        picture = f"images/dashboard-{board.name}.svg"
        assert f"../{picture}" in page
        assert (PROJECT / "docs" / picture).read_text().endswith("</svg>\n")


def test_grafana_is_told_of_the_same_folder_as_the_docs_say() -> None:
    told = PROJECT / "deploy" / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((told / "dashboards" / "forebay.yaml").read_text())["providers"]
    (source,) = yaml.safe_load((told / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    page = (PROJECT / "docs" / "operations" / "monitoring.md").read_text()
    assert f"`{provider['options']['path']}/`" in page
    assert (source["type"], source["url"]) == ("prometheus", "$PROMETHEUS_URL")
    compose = yaml.safe_load((PROJECT / "deploy" / "compose" / "compose.yaml").read_text())
    grafana = compose["services"]["grafana"]
    assert f"../grafana/dashboards:{provider['options']['path']}:ro" in grafana["volumes"]
    assert "PROMETHEUS_URL" in grafana["environment"]
