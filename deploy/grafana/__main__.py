"""Writes the dashboards: `python -m deploy.grafana`.

`--pictures FOLDER --of URL` draws them instead, from the last minutes of the Prometheus at URL.
"""

import argparse
from pathlib import Path

from deploy.grafana.board import written
from deploy.grafana.every import DASHBOARDS, FOLDER
from deploy.grafana.panel import Dashboard
from deploy.grafana.picture import picture
from deploy.grafana.prometheus import Prometheus, Series, Span, filled_in


def main() -> None:
    told = _told()
    if told.pictures:
        draw(Prometheus(told.of), told.pictures, Span.last(60 * told.minutes), told.footer)
        return
    for board in DASHBOARDS:
        (FOLDER / f"{board.name}.json").write_text(written(board))


def draw(asked: Prometheus, folder: Path, span: Span, footer: str) -> None:
    """One SVG for each. Raises Refused, OSError."""
    for board in DASHBOARDS:

        def ask(expr: str, of: Dashboard = board) -> list[Series]:
            return asked.series(filled_in(expr, of, span.window), span)

        drawn = picture(board, ask, span, footer)
        (folder / f"dashboard-{board.name}.svg").write_text(drawn)


def _told() -> argparse.Namespace:
    wanted = argparse.ArgumentParser(prog="python -m deploy.grafana", description=__doc__)
    wanted.add_argument("--pictures", type=Path, metavar="FOLDER")
    wanted.add_argument("--of", default="http://127.0.0.1:9090", metavar="URL")
    wanted.add_argument("--minutes", type=float, default=15)
    wanted.add_argument("--footer", default="")
    return wanted.parse_args()


if __name__ == "__main__":
    main()
