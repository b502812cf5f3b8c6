"""deploy/prometheus: each alert asks for what exists, fires, ends, and has a page that helps.

Needs promtool, which Debian has in the package `prometheus` (from trixie on in `promtool`).
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from config.command.command_line import SUBCOMMANDS
from config.urls import urlpatterns
from tests.config.metrics import table

pytestmark = pytest.mark.unit
FOLDER = table.PROJECT / "deploy" / "prometheus"
RUNBOOKS = table.PROJECT / "docs" / "operations" / "runbooks"
BASE = "https://forebay.example/docs/operations/runbooks/"
FOREIGN = {"up"}  # what Prometheus itself makes
SEVERITIES = {"critical", "warning", "info"}
_LANGUAGE = {
    *("and", "or", "unless", "on", "by", "group_left", "sum", "max", "min", "count", "absent"),
    *("rate", "increase", "vector", "clamp", "time", "avg_over_time", "max_over_time"),
    *("histogram_quantile", "label_replace", "offset"),
}
_STRINGS = re.compile(r'"[^"]*"')
_GROUPING = re.compile(r"\b(?:by|on|group_left)\s*\(([^)]*)\)")
_NOT_NAMES = re.compile(r"\{[^}]*\}|\[[^\]]*\]|\b\d[\w.]*")
_FIRING = 'count(ALERTS{alertname="%s", alertstate="firing"}) or vector(0)'
_SUFFIX = re.compile("_(?:bucket|sum|count|total)$")
_PAGE = re.compile(r"/console/[a-z-]*/?")


def rules() -> dict[str, dict[str, Any]]:
    """By the alert's name."""
    found: list[dict[str, Any]] = []
    for path in sorted((FOLDER / "rules").glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            found += group["rules"]
    return {rule["alert"]: rule for rule in found}


def staged() -> dict[str, list[int]]:
    """By the alert's name: how often it fires, at each moment of all its tests, in their order."""
    counts: dict[str, list[int]] = {}
    for path in sorted((FOLDER / "tests").glob("*.yml")):
        for test in yaml.safe_load(path.read_text())["tests"]:
            for asked in test["promql_expr_test"]:
                assert asked["expr"] == _FIRING % test["name"]
                counts.setdefault(test["name"], []).append(asked["exp_samples"][0]["value"])
    return counts


def page_of(rule: dict[str, Any]) -> Path:
    url = rule["annotations"]["runbook_url"]
    assert url.startswith(BASE)
    return RUNBOOKS / str(url.removeprefix(BASE))


def labels_kept(expression: str) -> set[str]:
    kept = (word.strip() for each in _GROUPING.findall(expression) for word in each.split(","))
    return set(kept) - {""}


def metrics_in(expression: str) -> set[str]:
    bare = _GROUPING.sub(" ", _STRINGS.sub(" ", expression))
    return set(re.findall(r"[a-zA-Z_:][\w:]*", _NOT_NAMES.sub(" ", bare))) - _LANGUAGE


# What an alert says -------------------------------------------------------------------------------
@pytest.mark.parametrize("name", rules())
def test_an_alert_says_how_bad_it_is_and_what_to_do_first(name: str) -> None:
    rule = rules()[name]
    assert name.startswith("Forebay")
    assert rule["labels"]["severity"] in SEVERITIES
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    asked = re.findall(r"\$labels\.(\w+)", " ".join(notes.values()))
    assert set(asked) <= labels_kept(rule["expr"]), "a label that the expression does not keep"


@pytest.mark.parametrize("name", rules())
def test_an_alert_asks_for_nothing_that_nobody_exports(name: str) -> None:
    told = table.documented()
    known = FOREIGN | set(told)
    for metric, (kind, *_) in told.items():
        known |= {f"{metric}_{part}" for part in ("bucket", "sum", "count") if kind == "histogram"}
    asked = metrics_in(rules()[name]["expr"])
    assert asked
    assert asked <= known


def test_the_search_for_names_finds_all_of_them() -> None:
    expression = (
        'sum by (le) (rate(node_x{le="up"}[5m])) > on () group_left () (0.5e3 * b) or vector(1)'
    )
    assert metrics_in(expression) == {"node_x", "b"}


# Its page -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", rules())
def test_an_alert_has_a_page_that_the_index_names(name: str) -> None:
    page = page_of(rules()[name])
    text = page.read_text()
    assert text.startswith(f"# {name}\n")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == ["Impact", "Diagnosis", "Remedy", "False alarm"]
    assert f"[{name}]({page.name})" in (RUNBOOKS / "README.md").read_text()


def test_there_is_no_page_of_an_alert_that_is_gone() -> None:
    pages = {path.name for path in RUNBOOKS.glob("*.md")} - {"README.md"}
    assert pages == {page_of(rule).name for rule in rules().values()}


def test_pages_name_commands_settings_metrics_and_console_pages_that_exist() -> None:
    commands = set(get_commands())
    console = {str(each.pattern) for each in _all(urlpatterns)}
    code = (path.read_text() for path in (table.PROJECT / "platform" / "config").rglob("*.py"))
    settings = set(re.findall(r"FOREBAY_[A-Z_]+", "".join(code)))
    told = [page.read_text() for page in RUNBOOKS.glob("*.md")]
    told += [path.read_text() for path in (FOLDER / "rules").glob("*.yml")]
    for text in told:
        assert set(re.findall(r"manage\.py (\w+)", text)) <= commands
        for found in _PAGE.findall(text):
            assert found.strip("/") + "/" in console, found
        assert set(re.findall(r"`forebay (\w+)", text)) - {"manage"} <= SUBCOMMANDS.keys()
        assert set(re.findall(r"FOREBAY_[A-Z_]+", text)) <= settings
        named = {_SUFFIX.sub("", name) for name in re.findall(r"\b(?:forebay|DCGM)_\w+", text)}
        assert named <= {_SUFFIX.sub("", name) for name in table.documented()}


def _all(patterns: Any, prefix: str = "") -> Any:
    for each in patterns:
        if hasattr(each, "url_patterns"):
            yield from _all(each.url_patterns)
        else:
            yield each


# By Prometheus' own tool --------------------------------------------------------------------------
def promtool(*arguments: str, cwd: Path = FOLDER) -> None:
    if not (tool := shutil.which("promtool")):
        pytest.skip("needs promtool: apt install prometheus")
    done = subprocess.run([tool, *arguments], cwd=cwd, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_and_not_just_below_and_ends() -> None:
    found = staged()
    assert found.keys() == rules().keys()
    for name, counts in found.items():
        assert 1 in counts, f"{name} never fires"
        first = counts.index(1)
        assert 0 in counts[:first], f"{name} is never just below"
        assert 0 in counts[first:], f"{name} never ends"
    promtool("test", "rules", *(f"tests/{path.name}" for path in (FOLDER / "tests").glob("*.yml")))


def test_a_test_of_an_alert_that_is_wrong_would_be_seen(tmp_path: Path) -> None:
    """promtool says nothing of a rule that it does not find."""
    text = (FOLDER / "tests" / "trust.yml").read_text().replace("../rules", str(FOLDER / "rules"))
    (tmp_path / "wrong.yml").write_text(text.replace("values: 60+0x4", "values: 61+0x4"))
    with pytest.raises(AssertionError, match="ForebaySealLag"):
        promtool("test", "rules", "wrong.yml", cwd=tmp_path)


def test_rules_and_configuration_are_valid(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    shutil.copytree(FOLDER / "rules", tmp_path / "rules")
    text = (FOLDER / "prometheus.yml").read_text()
    text = text.replace("/etc/prometheus/forebay.token", str(tmp_path / "token"))
    (tmp_path / "prometheus.yml").write_text(text)
    promtool("check", "config", "--lint=all", "--lint-fatal", "prometheus.yml", cwd=tmp_path)


def test_what_is_told_to_whom_is_valid() -> None:
    text = (FOLDER / "alertmanager.yml").read_text()
    assert set(re.findall(r"Forebay\w+", text)) <= rules().keys()
    if not (tool := shutil.which("amtool")):
        pytest.skip("needs amtool: apt install prometheus-alertmanager")
    asked = [tool, "check-config", str(FOLDER / "alertmanager.yml")]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
