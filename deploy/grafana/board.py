"""Dashboards in the form that Grafana reads, built with its own SDK."""

import json
from collections.abc import Callable

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat
from grafana_foundation_sdk.builders import timeseries as lines
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as words
from grafana_foundation_sdk.models import dashboard as parts

from deploy.grafana.panel import GOOD, Dashboard, Kind, Panel, Query, Row, Variable

SOURCE = "datasource"
_FROM = parts.DataSourceRef("prometheus", f"${{{SOURCE}}}")
_TAG = "forebay"
_HEIGHTS = {Kind.NUMBER: 4, Kind.LINES: 8, Kind.AREAS: 8, Kind.BARS: 8}
_Drawn = lines.Panel | stat.Panel | bargauge.Panel


def written(found: Dashboard) -> str:
    """The file as Grafana imports it."""
    text = json.dumps(built(found), cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False)
    return f"{text}\n"


def built(found: Dashboard) -> parts.Dashboard:
    board = dashboard.Dashboard(f"Forebay / {found.title}").uid(found.uid)
    board.description(found.text).tags([_TAG]).timezone("browser").editable()
    board.refresh("30s").time("now-3h", "now").tooltip(parts.DashboardCursorSync.CROSSHAIR)
    board.link(_others())
    board.with_variable(_source())
    for variable in found.variables:
        board.with_variable(_choice(variable))
    for row in found.rows:
        _add(board, row)
    made = board.build()
    for number, panel in enumerate(made.panels or [], 1):
        panel.id_val = number
    return made


def _add(board: dashboard.Dashboard, row: Row) -> None:
    board.with_row(dashboard.Row(row.title))
    for panel in row.panels:
        board.with_panel(_panel(panel))


def _others() -> dashboard.DashboardLink:
    link = dashboard.DashboardLink("Forebay").type(parts.DashboardLinkType.DASHBOARDS)
    return link.tags([_TAG]).as_dropdown(True).include_vars(True).keep_time(True)


def _source() -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable(SOURCE).label("Prometheus").type("prometheus")


def _choice(variable: Variable) -> dashboard.QueryVariable:
    everything = parts.VariableOption(selected=True, text="All", value="$__all")
    made = dashboard.QueryVariable(variable.label).label(variable.text).query(variable.query)
    made.datasource(_FROM).refresh(parts.VariableRefresh.ON_TIME_RANGE_CHANGED)
    made.sort(parts.VariableSort.ALPHABETICAL_ASC).multi(True).current(everything)
    return made.include_all(True).all_value(variable.every)


def _panel(panel: Panel) -> _Drawn:
    made = _DRAWN[panel.kind](panel)
    made.title(panel.title).description(_said(panel)).unit(panel.unit).datasource(_FROM)
    made.span(panel.span).height(_HEIGHTS[panel.kind]).min(0)
    made.no_value("no data")
    made.thresholds(_limits(panel))
    if panel.most is not None:
        made.max(panel.most)
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        made.with_target(_target(letter, query))
    return made


def _said(panel: Panel) -> str:
    return f"{panel.text}\n\nIt needs {panel.needs}." if panel.needs else panel.text


def _target(letter: str, query: Query) -> prometheus.Dataquery:
    made = prometheus.Dataquery().ref_id(letter).expr(query.expr).range()
    return made.legend_format(query.legend or "__auto")


def _limits(panel: Panel) -> dashboard.ThresholdsConfig:
    steps = [parts.Threshold(None, GOOD), *(parts.Threshold(*each) for each in panel.limits)]
    return dashboard.ThresholdsConfig().mode(parts.ThresholdsMode.ABSOLUTE).steps(steps)


def _lines(panel: Panel) -> lines.Panel:
    legend = common.VizLegendOptions().show_legend(True).placement(words.LegendPlacement.BOTTOM)
    legend.display_mode(words.LegendDisplayMode.LIST)
    tips = common.VizTooltipOptions().mode(words.TooltipDisplayMode.MULTI)
    made = lines.Panel().legend(legend).tooltip(tips.sort(words.SortOrder.DESCENDING))
    made.line_width(1).fill_opacity(10).show_points(words.VisibilityMode.NEVER)
    if panel.limits:
        style = common.GraphThresholdsStyleConfig()
        made.thresholds_style(style.mode(words.GraphTresholdsStyleMode.DASHED))
    if panel.kind is Kind.AREAS:
        stacked = common.StackingConfig().mode(words.StackingMode.NORMAL).group("A")
        made.stacking(stacked).fill_opacity(40)
    return made


def _number(panel: Panel) -> stat.Panel:
    made = stat.Panel().reduce_options(_last()).graph_mode(words.BigValueGraphMode.AREA)
    coloured = words.BigValueColorMode.VALUE if panel.limits else words.BigValueColorMode.NONE
    return made.color_mode(coloured)


def _bars(_panel: Panel) -> bargauge.Panel:
    made = bargauge.Panel().reduce_options(_last())
    made.orientation(words.VizOrientation.HORIZONTAL)
    return made.display_mode(words.BarGaugeDisplayMode.BASIC)


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


_DRAWN: dict[Kind, Callable[[Panel], _Drawn]] = {
    Kind.LINES: _lines,
    Kind.AREAS: _lines,
    Kind.NUMBER: _number,
    Kind.BARS: _bars,
}
