"""The dashboards ask for what there is, by labels that it has, and say what they show."""

import re
from collections.abc import Iterator

import pytest
import yaml

from config.environment import PROJECT
from infrastructure.metrics import FAMILIES, Histogram
from tests.config.metrics import table
from tests.deploy.dashboards import DASHBOARDS, WINDOW, Dashboard, used_variables

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
_TYPES = {"row", "stat", "timeseries", "bargauge"}
Query = tuple[str, str, str]  # its dashboard, its panel, and PromQL
each_dashboard = pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.name)


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
            for target in panel["targets"]:
                yield board.name, panel["title"], target["expr"]


def test_no_dashboard_has_the_address_of_another() -> None:
    assert {board.name for board in DASHBOARDS} == {"overview", "tenant", "pool", "gpu", "trust"}
    for board in DASHBOARDS:
        assert board.model["uid"] == f"forebay-{board.name}"


@each_dashboard
def test_grafana_can_import_it(board: Dashboard) -> None:
    assert board.model["schemaVersion"] >= 36
    assert board.model.get("id") is None  # a number of the Grafana that exported it
    assert "__inputs" not in board.model  # provisioning fills none in
    panels = [*board.panels, *board.model["panels"]]
    assert {panel["type"] for panel in panels} <= _TYPES
    letters = [[target["refId"] for target in panel["targets"]] for panel in board.panels]
    assert all(len(set(each)) == len(each) for each in letters)


def test_every_metric_is_exported(known: dict[str, set[str]]) -> None:
    for board, panel, expr in queries():
        names = set(_NAME.findall(expr))
        assert names, (board, panel)
        assert names <= known.keys(), (board, panel, names - known.keys())


def test_every_label_is_one_that_the_metric_has(known: dict[str, set[str]]) -> None:
    for board, panel, expr in queries():
        where = f"{board}: {panel}: {expr}"
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
                    assert all(each in allowed[label] for each in words), (board, panel)


@each_dashboard
def test_legends_name_labels_that_the_query_leaves(board: Dashboard) -> None:
    for panel in board.panels:
        for target in panel["targets"]:
            labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            grouped = {
                each.strip() for one in _BY.findall(target["expr"]) for each in one.split(",")
            }
            assert not grouped or labels <= grouped, panel["title"]


@each_dashboard
def test_variables_are_chosen_by_and_defined(board: Dashboard, known: dict[str, set[str]]) -> None:
    text = " ".join(target["expr"] for panel in board.panels for target in panel["targets"])
    assert used_variables(text) - {WINDOW} == {variable.name for variable in board.variables}
    for variable in board.variables:
        assert variable.label in known[variable.metric]
    assert "$" not in board.filled_in(text, "1m")


@each_dashboard
def test_in_grafana_a_dashboard_opens_with_everything_chosen(board: Dashboard) -> None:
    source = board.model["templating"]["list"][0]
    assert (source["type"], source["query"], source["name"]) == (
        "datasource",
        "prometheus",
        "datasource",
    )
    for choice in board.choices:
        assert choice["current"]["value"] in ("$__all", ["$__all"])
        assert choice["includeAll"]
        assert choice["multi"]


@each_dashboard
def test_every_panel_says_what_it_shows_and_asks_the_chosen_source(board: Dashboard) -> None:
    for panel in board.panels:
        assert panel["title"]
        assert len(panel["description"]) > 10, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["expr"] for target in panel["targets"])
    ids = [panel["id"] for panel in board.model["panels"]]
    assert len(set(ids)) == len(ids)


@each_dashboard
def test_no_row_has_a_title_twice(board: Dashboard) -> None:
    row, titles = "", []
    for panel in board.model["panels"]:
        row = panel["title"] if panel["type"] == "row" else row
        titles.append((row, panel["title"], panel["type"]))
    assert len(set(titles)) == len(titles)


@each_dashboard
def test_panels_do_not_lie_on_each_other(board: Dashboard) -> None:
    taken = set[tuple[int, int]]()
    for panel in board.model["panels"]:
        grid = panel["gridPos"]
        rows = range(grid["y"], grid["y"] + grid["h"])
        cells = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in rows}
        assert not cells & taken, panel["title"]
        assert max(x for x, _y in cells) < 24
        taken |= cells


@each_dashboard
def test_the_docs_show_each(board: Dashboard) -> None:
    page = (PROJECT / "docs" / "operations" / "monitoring.md").read_text()
    picture = f"images/dashboard-{board.name}.svg"
    assert f"../{picture}" in page
    assert (PROJECT / "docs" / picture).exists()


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
